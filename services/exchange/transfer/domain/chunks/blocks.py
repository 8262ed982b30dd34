"""Blocks: some rows of a chunk as columns of canonical texts, whatever format they came in."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.refusals import (
    ChunkTooLarge,
    ColumnMissing,
    ColumnUnknown,
    TextNotUtf8,
)
from services.exchange.transfer.domain.tables import BATCH_ROWS

OPERATION: Final = "_op"
"""Column or member of a batch of changes that says what to do with a row. No item is named so."""

MAX_ROWS: Final = 1_000_000
"""Rows of one chunk."""
MAX_UNPACKED: Final = 256 << 20
"""Bytes of one chunk when it is unpacked."""
_MAX_CELLS: Final = 4_000_000
"""Values of one block, so that a layout of many items does not make a block of few bytes big."""


@dataclass(frozen=True, slots=True)
class Column:
    """Values of one item.

    Attributes:
        texts: `utf8` array of canonical texts; null where there is no value or a wrong one.
        wrong: `bool` array: the value does not fit the type; None when all do.
    """

    texts: Any
    wrong: Any = None


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows in the order of the chunk.

    Attributes:
        columns: per item, and per `_op`; one that is absent has no value in any row.
    """

    rows: int
    columns: Mapping[str, Column]


def block_rows(layout: Layout) -> int:
    """Return how many rows a block has at most."""
    return min(BATCH_ROWS, _MAX_CELLS // len(layout.items))


def known_names(layout: Layout, *, changes: bool) -> dict[str, Item | None]:
    """Return the names that columns may have, with their items; None is the operation."""
    names: dict[str, Item | None] = dict(layout.by_name)
    return names | {OPERATION: None} if changes else names


def repeated_name(names: Sequence[str]) -> str | None:
    """Return a name that occurs twice, or None; in one pass, as there may be a million."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def require_columns(names: Collection[str], layout: Layout, where: str, *, changes: bool) -> None:
    """Check that a chunk whose columns are `names` has what it must have and nothing else.

    Where rows may be deleted, only the key must be there: deleted rows have nothing else, and
    the other rows are told one by one what they lack.

    Args:
        where: pointer of the place where columns are named.

    Raises:
        ColumnUnknown, ColumnMissing: with a pointer to the column.
    """
    known = known_names(layout, changes=changes)
    for name in names:
        if name not in known:
            raise ColumnUnknown(
                f"The entry has no item {name[:80]!r}.", pointer=where + pointer_of(name[:80])
            )
    missing = [
        item.name
        for item in layout.items
        if item.name not in names and (item.key or (item.required and OPERATION not in names))
    ]
    if missing:
        raise ColumnMissing(
            f"The column {missing[0]} is missing.",
            pointer=where + pointer_of(missing[0]),
            facts={"missing": missing},
        )


def require_rows(rows: int) -> None:
    """Check that a chunk of `rows` rows is not too large.

    Raises:
        ChunkTooLarge: it is.
    """
    if rows > MAX_ROWS:
        raise ChunkTooLarge(f"A chunk holds at most {MAX_ROWS} rows.", facts={"max_rows": MAX_ROWS})


def require_unpacked(size: int) -> None:
    """Check that a chunk that takes `size` bytes in memory is not too large.

    Raises:
        ChunkTooLarge: it is.
    """
    if size > MAX_UNPACKED:
        raise ChunkTooLarge(
            f"A chunk holds at most {MAX_UNPACKED} bytes when it is unpacked.",
            facts={"max_unpacked": MAX_UNPACKED},
        )


def require_utf8(body: Any) -> None:
    """Check that all bytes of `body`, a `pyarrow.Buffer`, are UTF-8.

    Raises:
        TextNotUtf8: with a pointer to the line.
    """
    offsets = (0).to_bytes(8, "little") + body.size.to_bytes(8, "little")
    one = pa.Array.from_buffers(pa.large_utf8(), 1, [None, pa.py_buffer(offsets), body])
    try:
        one.validate(full=True)
    except pa.ArrowInvalid:
        data = body.to_pybytes()
        line = data.count(b"\n", 0, _first_broken(data)) + 1
        raise TextNotUtf8(
            f"Line {line} holds bytes that are not UTF-8.",
            pointer=pointer_of(line),
            facts={"line": line},
        ) from None


def _first_broken(data: bytes) -> int:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.start
    return len(data)
