"""Canonical bytes and digests of many rows by whole columns (`contracts/rows.md`).

Only hashing makes an object per row, and those of one batch at a time.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import pairwise
from json.encoder import encode_basestring
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.entries import Item
from services.exchange.transfer.domain.tables import BATCH_ROWS
from services.exchange.transfer.domain.values import is_bare

MODULUS: Final = 1 << 256

_MAX_BYTES: Final = 64 << 20
"""Values of one batch: its canonical bytes, at most six times as many, must stay below 2 GiB."""

_LANE: Final = 36
"""Bytes in which hashes are summed: 32 of the hash, 4 for what 2^32 hashes may carry over."""

_ESCAPES: Final = tuple(
    (code.encode(), code, encode_basestring(code)[1:-1])
    for code in ("\\", '"', *(chr(n) for n in range(0x20)))
)
"""Byte, character and escape of what JSON must escape; the backslash first."""


class TableDigest:
    """Count and Σ SHA-256(row) mod 2^256 over rows of tables; the order does not matter."""

    def __init__(self, count: int = 0, total: int = 0) -> None:
        self.count = count
        self.total = total % MODULUS

    @classmethod
    def from_hex(cls, count: int, text: str) -> Self:
        """Return the digest that was written as `text`, over `count` rows."""
        return cls(count, int(text, 16))

    def add(self, table: Any, items: Sequence[Item], prefix: str = "") -> None:
        """Add every row of `table`.

        Args:
            items: that take part; the column of an item is named `prefix` and its name.
        """
        self.count += table.num_rows
        self.total = (self.total + _sum_of(table, items, prefix)) % MODULUS

    def add_rows(self, rows: Any) -> None:
        """Add rows that are canonical bytes already: a `binary` or `utf8` array."""
        self.count += len(rows)
        self.total = (self.total + _sum_of_hashes(rows)) % MODULUS

    def subtract(self, table: Any, items: Sequence[Item], prefix: str = "") -> None:
        """Take every row of `table` out again."""
        self.count -= table.num_rows
        self.total = (self.total - _sum_of(table, items, prefix)) % MODULUS

    def plus(self, other: "TableDigest") -> "TableDigest":
        """Return the digest of the rows of both."""
        return TableDigest(self.count + other.count, self.total + other.total)

    def minus(self, other: "TableDigest") -> "TableDigest":
        """Return the digest of these rows without those of `other`."""
        return TableDigest(self.count - other.count, self.total - other.total)

    def hexdigest(self) -> str:
        """Return the digest as 64 lower-case hexadecimal digits."""
        return f"{self.total:064x}"


def canonical_rows(table: Any, items: Sequence[Item]) -> Any:
    """Return the canonical bytes of each row of `table` as a `large_binary` array.

    Args:
        table: a column of canonical texts per item, null where there is no value.
        items: that take part.
    """
    rows = [array.cast(pa.large_binary()) for array in _written(table, items, "")]
    return pa.concat_arrays(rows) if rows else pa.array([], pa.large_binary())


def _sum_of(table: Any, items: Sequence[Item], prefix: str) -> int:
    return sum(_sum_of_hashes(array) for array in _written(table, items, prefix))


def _sum_of_hashes(rows: Any) -> int:
    """Return Σ SHA-256 over the values of a `binary` or `utf8` array without nulls."""
    if not len(rows):
        return 0
    _, offsets, data = rows.buffers()
    ends = memoryview(offsets).cast("i")[rows.offset : rows.offset + len(rows) + 1].tolist()
    view = memoryview(data if data is not None else b"")
    hashes = [sha256(view[start:end]).digest() for start, end in pairwise(ends)]
    # All hashes as one integer with room between them; halves are added until one is left.
    lanes = len(hashes)
    total = int.from_bytes(bytes(_LANE - 32).join(hashes), "big")
    while lanes > 1:
        lanes = (lanes + 1) // 2
        bits = lanes * _LANE * 8
        total = (total >> bits) + (total & ((1 << bits) - 1))
    return total


def _written(table: Any, items: Sequence[Item], prefix: str) -> Iterator[Any]:
    """Yield the canonical rows of `table`, a `utf8` array per batch."""
    # Members sort by their UTF-16 code units (RFC 8785 section 3.2.3).
    order = sorted(items, key=lambda item: item.name.encode("utf-16-be"))
    columns = pa.Table.from_arrays(
        [table.column(prefix + item.name) for item in order], [str(n) for n in range(len(order))]
    )
    if not order:
        if table.num_rows:
            yield pa.array(["{}"] * table.num_rows)
        return
    names = [encode_basestring(item.name) + ":" for item in order]
    bare = [is_bare(item.type) for item in order]
    for batch in _batches(columns):
        yield _rows_of(batch.columns, names, bare)


def _batches(table: Any) -> Iterator[Any]:
    """Yield `table` in batches that are bounded in rows and bytes."""
    for batch in table.to_batches(max_chunksize=BATCH_ROWS):
        parts = -(-batch.nbytes // _MAX_BYTES) or 1
        rows = -(-batch.num_rows // parts)
        if parts == 1:
            yield batch
            continue
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


def _rows_of(columns: Sequence[Any], names: Sequence[str], bare: Sequence[bool]) -> Any:
    """Join the members of each row, skipping those without a value.

    Where a comma goes is known beforehand around a member that every row has: in front of it
    members bring a comma behind them, after it one before them.
    """
    always = next((n for n, column in enumerate(columns) if not column.null_count), None)
    parts: list[Any] = ["{"]
    for n, column in enumerate(columns):
        quote = "" if bare[n] else '"'
        text = column if bare[n] else escaped(column)
        before = ("," if always is None or n > always else "") + names[n] + quote
        after = quote + ("," if always is not None and n < always else "")
        if column.null_count:
            parts.append(pc.binary_join_element_wise(before, text, after, ""))
        else:
            _add_literal(parts, before)
            parts.append(text)
            _add_literal(parts, after)
    _add_literal(parts, "}")
    rows = pc.binary_join_element_wise(*parts, "", null_handling="skip")
    if always is None:  # all members brought a comma before them
        rows = pc.replace_substring(rows, "{,", "{", max_replacements=1)
    return rows


def _add_literal(parts: list[Any], text: str) -> None:
    """Append to the literal before, if there is one: every part costs time in every row."""
    if isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)


def escaped(column: Any) -> Any:
    """Return a `utf8` array with what JSON must escape escaped (RFC 8785 section 3.2.2.2)."""
    _, offsets, data = column.buffers()
    if data is None:
        return column
    ends = memoryview(offsets).cast("i")
    start, end = ends[column.offset], ends[column.offset + len(column)]
    values = data.slice(start, end - start).to_pybytes()
    for byte, character, escape in _ESCAPES:
        if byte in values:
            column = pc.replace_substring(column, character, escape)
    return column
