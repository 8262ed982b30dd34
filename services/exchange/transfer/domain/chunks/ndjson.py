"""Chunks of JSON objects, one per line.

Arrow's JSON reader takes blocks of lines as they mostly are. It is lenient in places and says
nothing of use when it refuses, so its answer counts only where it cannot differ from that of
the strict reader, which decides everything else line by line.
"""

import json
from collections.abc import Iterator
from typing import Any, Final, NoReturn

import pyarrow as pa
from pyarrow import json as arrow_json

from services.exchange.transfer.domain.chunks.blocks import (
    Block,
    Column,
    block_rows,
    known_names,
    require_rows,
    require_utf8,
)
from services.exchange.transfer.domain.chunks.texts import FROM_JSON, from_texts
from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.refusals import ColumnUnknown, NdjsonMalformed
from services.exchange.transfer.domain.values import (
    CANONICAL,
    MAX_INTEGER,
    ItemType,
    ValueRefused,
)

_BLOCK: Final = 1 << 20
"""Bytes of lines, about, that are read at once."""
_FEW: Final = 64
"""Lines that are not divided further to find those that only the strict reader can judge."""

_ARROW: Final = {ItemType.INTEGER: pa.int64(), ItemType.BOOLEAN: pa.bool_()}


class _NotJson(ValueError):
    """A line is not strict JSON. The text says why."""


def read(body: Any, layout: Layout, *, changes: bool) -> Iterator[Block]:
    """Yield the rows of `body`, a `pyarrow.Buffer`.

    Raises:
        TextNotUtf8, NdjsonMalformed, ColumnUnknown: with a pointer to the line.
        ChunkTooLarge: too many rows.
    """
    require_utf8(body)
    reader = _Reader(layout, changes=changes)
    line = 1
    for block in _blocks(body, block_rows(layout)):
        lines = _lines_of(block)
        require_rows(line - 1 + lines)
        yield from reader.read(block, line, lines)
        line += lines


def _blocks(body: Any, most: int) -> Iterator[bytes]:
    """Yield whole lines, about 1 MiB and at most `most` of them, as far as they are short."""
    start, size = 0, body.size
    while start < size:
        length = min(_BLOCK, size - start)
        block = body.slice(start, length).to_pybytes()
        while (end := block.rfind(b"\n") + 1) == 0 and start + length < size:
            length = min(length * 2, size - start)
            block = body.slice(start, length).to_pybytes()
        if start + length < size:
            block = block[:end]
        if block.count(b"\n") > most:
            block = block[: len(block) - len(block.split(b"\n", most)[most])]
        yield block
        start += len(block)


def _lines_of(block: bytes) -> int:
    return block.count(b"\n") + (not block.endswith(b"\n"))


class _Reader:
    """Reads blocks of lines for one layout."""

    def __init__(self, layout: Layout, *, changes: bool) -> None:
        self._items = known_names(layout, changes=changes)
        self._options = arrow_json.ParseOptions(
            explicit_schema=pa.schema(
                [
                    (name, pa.utf8() if item is None else _ARROW.get(item.type, pa.utf8()))
                    for name, item in self._items.items()
                ]
            ),
            newlines_in_values=False,
            unexpected_field_behavior="error",
        )

    def read(self, block: bytes, first: int, lines: int) -> Iterator[Block]:
        """Yield `block`, whose first line is number `first`; hard lines are singled out."""
        table = self._parsed(block, lines)
        if table is not None:
            yield Block(
                lines,
                {
                    name: (from_texts if item is None else FROM_JSON[item.type])(
                        table.column(name).combine_chunks()
                    )
                    for name, item in self._items.items()
                },
            )
        elif lines <= _FEW:
            yield self._read_strictly(block, first)
        else:
            middle = block.find(b"\n", len(block) // 2) + 1
            if middle in (0, len(block)):  # the second half is one line
                middle = block.rindex(b"\n", 0, len(block) - 1) + 1
            upper, lower = block[:middle], block[middle:]
            half = _lines_of(upper)
            yield from self.read(upper, first, half)
            yield from self.read(lower, first + half, lines - half)

    def _parsed(self, block: bytes, lines: int) -> Any:
        """Return the table of a block whose lines are plain objects, otherwise None.

        A line that begins with `{` and ends with `}` holds at least one object: strings have no
        line feed and nothing nests, as no item takes an object. So there is one object per
        line when there are as many rows as lines. (Arrow 26 also dies of a block that begins
        with `null`.)
        """
        inner = block.count(b"}\n{")
        if inner < lines - 1 and b"\r" in block:
            inner += block.count(b"}\r\n{")
        if inner != lines - 1 or not block.startswith(b"{") or not block.rstrip().endswith(b"}"):
            return None
        try:
            table = arrow_json.read_json(
                pa.BufferReader(block),
                arrow_json.ReadOptions(use_threads=False, block_size=len(block) + 1),
                self._options,
            )
        except (pa.ArrowException, ValueError):
            return None
        return table if table.num_rows == lines else None

    def _read_strictly(self, block: bytes, first: int) -> Block:
        lines = block.split(b"\n")
        if not lines[-1]:
            lines.pop()
        rows = [self._row(line, first + n) for n, line in enumerate(lines)]
        return Block(
            len(rows),
            {
                name: _column([row.get(name) for row in rows], item)
                for name, item in self._items.items()
            },
        )

    def _row(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            row = _loads(line)
        except _NotJson as error:
            raise NdjsonMalformed(
                f"Line {number}: {error}", pointer=pointer_of(number), facts={"line": number}
            ) from error
        for name in row:
            if name not in self._items:
                raise ColumnUnknown(
                    f"Line {number}: the entry has no item {name[:80]!r}.",
                    pointer=pointer_of(number, name[:80]),
                    facts={"line": number},
                )
        return row


def _column(values: list[Any], item: Item | None) -> Column:
    canonical = CANONICAL[ItemType.TEXT if item is None else item.type]
    texts: list[str | None] = []
    wrong: list[bool] = []
    for value in values:
        text = None
        refused = False
        if value is not None:
            try:
                text = canonical(value)
            except ValueRefused:
                refused = True
        texts.append(text)
        wrong.append(refused)
    return Column(pa.array(texts, pa.utf8()), pa.array(wrong) if any(wrong) else None)


def _loads(line: bytes) -> dict[str, Any]:
    """Read one object of strict JSON. Numbers that are no integer item's come as floats.

    Raises:
        _NotJson: with one sentence that says what is wrong.
    """
    text = line.decode("utf-8")
    if not text.strip(" \t\r"):
        raise _NotJson("the line is empty.")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise _NotJson(f"not JSON at character {error.pos + 1}: {error.msg}.") from error
    except RecursionError as error:
        raise _NotJson("the line is nested too deeply.") from error
    if not isinstance(value, dict):
        raise _NotJson("a JSON object is expected.")
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise _NotJson("a lone surrogate is not text.") from error
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _NotJson("a name occurs twice in one object.")
    return members


def _refuse(name: str) -> NoReturn:
    raise _NotJson(f"{name} is not JSON.")


def _integer(text: str) -> int | float:
    # The length comes first: int() of a long digit string is quadratic.
    if len(text) > 17 or abs(int(text)) > MAX_INTEGER:
        return 0.5
    return int(text)


def _number(_text: str) -> float:
    return 0.5


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_constant=_refuse,
    parse_int=_integer,
    parse_float=_number,
)
