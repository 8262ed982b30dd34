"""Count and digest of rows: the platform's `contracts/rows.md`, written independently of it.

Rows come as Arrow batches of canonical text, one `utf8` column per item; null is no value. The
canonical bytes are joined by whole columns; only hashing goes row by row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from datong.tables.layout import Item

MODULUS = 1 << 256
BARE = frozenset({"integer", "boolean"})
"""Types whose canonical text stands without quotes."""

_NAMED = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r"}
_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    **{chr(code): _NAMED.get(code, f"\\u{code:04x}") for code in range(32)},
}
"""What RFC 8785 (section 3.2.2.2) escapes; the backslash must come first."""
_ESCAPED = "".join(_ESCAPES).encode()


class TableDigest:
    """Count and Σ SHA-256(row) mod 2²⁵⁶ of rows that come in batches, in any order."""

    def __init__(self, items: Sequence[Item]) -> None:
        """Begin with no rows of these items."""
        self.rows = 0
        self._items = tuple(items)
        self._sum = 0

    def add(self, batch: Any) -> None:
        """Take the rows of a `RecordBatch` or `Table` with a `utf8` column per item.

        A row may have at most 2 GiB in a batch; other columns than the items' do not count.
        """
        for part in batch.to_batches() if isinstance(batch, pa.Table) else [batch]:
            self._sum = (self._sum + _sum(canonical_rows(part, self._items))) % MODULUS
            self.rows += part.num_rows

    def hexdigest(self) -> str:
        """64 lower-case hexadecimal digits."""
        return f"{self._sum:064x}"


def canonical_rows(batch: Any, items: Sequence[Item]) -> Any:
    """The canonical bytes of each row, as one `utf8` array (section 2).

    Args:
        batch: a `RecordBatch` of canonical texts.
    """
    ordered = sorted(items, key=lambda item: item.name.encode("utf-16-be"))
    columns = [_column(batch.column(item.name), item) for item in ordered]
    if batch.num_rows == 0:
        return pa.array([], pa.string())
    present = [column.null_count == 0 for column in columns]
    if not any(present):
        return _joined_sparsely(ordered, columns)
    # Members before the first that every row has carry their comma behind, all others in front.
    anchor = present.index(True)
    parts: list[Any] = []
    text = "{"
    for number, (item, column) in enumerate(zip(ordered, columns, strict=True)):
        before, after = _frame(item)
        if present[number]:
            parts += [text + ("," if number > anchor else "") + before, column]
            text = after
            continue
        front, behind = ("", ",") if number < anchor else (",", "")
        member = pc.binary_join_element_wise(front + before, column, after + behind, "")
        parts += [text, pc.fill_null(member, "")]
        text = ""
    return pc.binary_join_element_wise(*parts, text + "}", "")


def _joined_sparsely(items: Sequence[Item], columns: Sequence[Any]) -> Any:
    """Rows of which no item always has a value."""
    members = []
    for item, column in zip(items, columns, strict=True):
        before, after = _frame(item)
        member = pc.binary_join_element_wise("," + before, column, after, "")
        members.append(pc.fill_null(member, ""))
    joined = pc.binary_join_element_wise(*members, "", "")
    return pc.binary_join_element_wise(
        pc.utf8_replace_slice(joined, start=0, stop=1, replacement="{"), "}", ""
    )


def _frame(item: Item) -> tuple[str, str]:
    """What stands before and after a value in its row."""
    name = item.name
    for character, escape in _ESCAPES.items():
        name = name.replace(character, escape)
    quote = "" if item.type in BARE else '"'
    return f'"{name}":{quote}', quote


def _column(column: Any, item: Item) -> Any:
    if column.type != pa.string():
        column = column.cast(pa.string())
    if item.type in BARE or not _needs_escapes(column):
        return column
    for character, escape in _ESCAPES.items():
        if character in '\\"' or pc.any(pc.match_substring(column, character)).as_py():
            column = pc.replace_substring(column, character, escape)
    return column


def _needs_escapes(column: Any) -> bool:
    """Whether a character that is escaped stands anywhere in the column."""
    bounds, data = _buffers(column)
    values = bytes(data[bounds[0] : bounds[-1]])
    return len(values.translate(None, _ESCAPED)) < len(values)


def _sum(rows: Any) -> int:
    bounds, data = _buffers(rows)
    total, start = 0, bounds[0]
    for end in bounds[1:]:
        total += int.from_bytes(hashlib.sha256(data[start:end]).digest(), "big")
        start = end
    return total


def _buffers(column: Any) -> tuple[memoryview, memoryview]:
    """Offsets of the values of a `utf8` array, and the bytes that they point into."""
    _, offsets, data = column.buffers()
    if offsets is None or len(column) == 0:
        return memoryview(bytes(4)).cast("i"), memoryview(b"")
    bounds = memoryview(offsets).cast("i")[column.offset : column.offset + len(column) + 1]
    return bounds, memoryview(b"" if data is None else data)
