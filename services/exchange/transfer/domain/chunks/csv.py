"""Chunks of comma-separated values (RFC 4180) with a header line.

Arrow's CSV reader forgives stray quotes and lone carriage returns, so the grammar is checked
first, over all bytes at once.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv as arrow_csv

from services.exchange.transfer.domain.chunks.blocks import (
    Block,
    block_rows,
    known_names,
    repeated_name,
    require_columns,
    require_rows,
    require_utf8,
)
from services.exchange.transfer.domain.chunks.texts import FROM_CSV, from_texts
from services.exchange.transfer.domain.entries import Layout
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.refusals import CsvMalformed

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
# Possessive, so that the time is linear and a failure is where the fault is.
_FIELD: Final = rb'(?:"[^"]*+(?:""[^"]*+)*+"|[^",\r\n]*+)'
_END: Final = rb"(?:\r?\n|\Z)"
_FIELDS: Final = re.compile(rb"(" + _FIELD + rb"),")
_RECORD: Final = re.compile(_FIELD + rb"(?:," + _FIELD + rb")*+" + _END)


def read(body: Any, layout: Layout, *, changes: bool) -> Iterator[Block]:
    """Yield the rows of `body`, a `pyarrow.Buffer`.

    Raises:
        TextNotUtf8, CsvMalformed, ColumnUnknown, ColumnMissing: with a pointer to the line.
        ChunkTooLarge: too many rows.
    """
    if body.slice(0, min(3, body.size)).to_pybytes() == _BYTE_ORDER_MARK:
        body = body.slice(3)
    require_utf8(body)
    names, header = _header(body)
    repeated = repeated_name(names)
    if repeated is not None:
        raise _malformed(1, f"the column {repeated[:80]!r} occurs twice.", repeated[:80])
    require_columns(names, layout, pointer_of(1), changes=changes)
    if header == body.size:
        return
    _require_records(body, header, len(names))
    if body.slice(body.size - 1).to_pybytes() == b",":
        # Arrow 26 takes an empty field at the very end for quoted when the one before was.
        body = pa.py_buffer(body.to_pybytes() + b"\n")
    table = arrow_csv.read_csv(
        body,
        arrow_csv.ReadOptions(use_threads=False, block_size=body.size + 1),
        arrow_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        arrow_csv.ConvertOptions(
            check_utf8=False,
            column_types=dict.fromkeys(names, pa.utf8()),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    require_rows(table.num_rows)
    items = known_names(layout, changes=changes)
    for batch in table.to_batches(max_chunksize=block_rows(layout)):
        columns = {}
        for name in names:
            item = items[name]
            take = from_texts if item is None else FROM_CSV[item.type]
            columns[name] = take(batch.column(name))
        yield Block(batch.num_rows, columns)


def _header(body: Any) -> tuple[list[str], int]:
    """Return the names in the header, and where the first record begins."""
    if not body.size:
        raise _malformed(1, "a header with the names of the items is expected.")
    header = _RECORD.match(body)
    if header is None:
        raise _malformed(1, "a quote is out of place, or not closed.")
    fields = _FIELDS.findall(header[0].rstrip(b"\r\n") + b",")
    return [_unquoted(field) for field in fields], header.end()


def _unquoted(field: bytes) -> str:
    if field.startswith(b'"'):
        field = field[1:-1].replace(b'""', b'"')
    return field.decode("utf-8")


@lru_cache(maxsize=64)
def _records(width: int) -> re.Pattern[bytes]:
    """Return what matches some thousand records, all of `width` fields.

    No more at once, so that other threads have their turn in between.
    """
    more = rb"(?:," + _FIELD + rb"){%d}" % (width - 1) if width > 1 else b""
    return re.compile(rb"(?:" + _FIELD + more + _END + rb"){1,4096}+")


def _require_records(body: Any, start: int, width: int) -> None:
    """Check that from `start` on there are records of `width` fields and nothing else."""
    end = start
    while (records := _records(width).match(body, end)) is not None:
        end = records.end()
        if end == body.size:
            return
    line = body.slice(0, end).to_pybytes().count(b"\n") + 1
    record = _RECORD.match(body, end)
    if record is None:
        raise _malformed(line, "a quote or carriage return is out of place, or a quote not closed.")
    found = len(_FIELDS.findall(record[0].rstrip(b"\r\n") + b","))
    raise _malformed(line, f"{width} values are expected and {found} found.")


def _malformed(line: int, fault: str, *column: str) -> CsvMalformed:
    return CsvMalformed(
        f"Line {line}: {fault}", pointer=pointer_of(line, *column), facts={"line": line}
    )
