"""Chunks of a batch: read in three formats, checked by whole columns."""

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

import pyarrow as pa

from services.exchange.transfer.domain.chunks import arrow, csv, ndjson
from services.exchange.transfer.domain.chunks.blocks import MAX_ROWS, MAX_UNPACKED, Block
from services.exchange.transfer.domain.chunks.checks import MAX_FAULTS, Checked, Fault, check
from services.exchange.transfer.domain.entries import Layout

__all__ = [
    "MAX_FAULTS",
    "MAX_ROWS",
    "MAX_UNPACKED",
    "Checked",
    "ChunkFormat",
    "Fault",
    "check_chunk",
]


class ChunkFormat(StrEnum):
    """Formats of chunks, by content type."""

    NDJSON = "application/x-ndjson"
    CSV = "text/csv"
    ARROW = "application/vnd.apache.arrow.stream"


_READERS: Final[Mapping[ChunkFormat, Callable[..., Iterator[Block]]]] = {
    ChunkFormat.NDJSON: ndjson.read,
    ChunkFormat.CSV: csv.read,
    ChunkFormat.ARROW: arrow.read,
}


def check_chunk(body: Any, chunk_format: ChunkFormat, layout: Layout, *, changes: bool) -> Checked:
    """Read a chunk and check every row against the items.

    A fault of a value quarantines its row; a fault of the chunk's structure refuses the chunk.

    Args:
        body: the whole chunk: a `pyarrow.Buffer`, `bytes` or a contiguous `memoryview`.
        changes: the batch holds changes: rows may say in `_op` that they delete.

    Raises:
        ColumnUnknown, ColumnMissing, SchemaMismatch, CsvMalformed, NdjsonMalformed,
        ArrowMalformed, TextNotUtf8: with a pointer to the line or column.
        ChunkTooLarge: more than 1,000,000 rows or 256 MiB unpacked.
        PermissionUnreadable: a rule of the entry cannot be applied.
    """
    blocks = _READERS[chunk_format](pa.py_buffer(body), layout, changes=changes)
    return check(blocks, layout)
