"""Tables of canonical texts: as an Arrow stream, as CSV for COPY, and back from COPY.

Inside the platform every value is its canonical text (`contracts/rows.md` section 3) in a
`utf8` column; null is no value. PostgreSQL speaks CSV on both sides of COPY: a value is always
quoted, no value is an empty field without quotes.
"""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa
from pyarrow import csv

BATCH_ROWS: Final = 65_536
"""Greatest number of rows of one record batch, and of one table that is read from COPY."""
BATCH_BYTES: Final = 32 << 20
"""Bytes of values, about, after which a table from COPY is handed out with fewer rows."""
_PARSE_BYTES: Final = 4 << 20
"""How much of a COPY is collected before it is parsed: enough to make parsing cheap."""

_QUOTE: Final = b'"'
_WRITE_CSV: Final = csv.WriteOptions(
    include_header=False, quoting_style="all_valid", batch_size=BATCH_ROWS
)
_ZSTD: Final = pa.ipc.IpcWriteOptions(compression="zstd")


def to_stream(table: Any) -> bytes:
    """Return `table` as an Arrow IPC stream: zstd, batches of at most 65,536 rows, no metadata.

    The same rows in the same order make the same bytes, however `table` is chunked.
    """
    plain = table.replace_schema_metadata(None).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema, options=_ZSTD) as writer:
        writer.write_table(plain, max_chunksize=BATCH_ROWS)
    stream: bytes = sink.getvalue().to_pybytes()
    return stream


def from_stream(data: Any) -> Any:
    """Return the table of an Arrow IPC stream that the platform itself wrote.

    Streams of others are read by `chunks`, which trusts nothing.

    Args:
        data: bytes or a `pyarrow.Buffer`.
    """
    with pa.ipc.open_stream(data) as reader:
        return reader.read_all()


def to_copy(batch: Any) -> bytes:
    """Return a record batch or table as CSV for `COPY … FROM STDIN (FORMAT csv)`."""
    sink = pa.BufferOutputStream()
    csv.write_csv(batch, sink, _WRITE_CSV)
    copied: bytes = sink.getvalue().to_pybytes()
    return copied


class CopyReader:
    """Turns the CSV of `COPY … TO STDOUT (FORMAT csv, FORCE_QUOTE *)` into tables of texts.

    The bytes come in pieces of any size. A table is handed out when it has 65,536 rows or about
    32 MiB; at most that, what is being parsed and one record are held.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Read columns named `names`."""
        self._names = list(names)
        self._schema = pa.schema([(name, pa.utf8()) for name in names])
        self._convert = csv.ConvertOptions(
            column_types=self._schema,
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            null_values=[""],
        )
        self._parse = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
        self._waiting = bytearray()
        self._seen = 0  # of `_waiting`: bytes that were looked through
        self._quotes = 0  # in those bytes
        self._end = 0  # of the last whole record in those bytes
        self._tables: list[Any] = []
        self._rows = 0
        self._bytes = 0

    def feed(self, data: bytes) -> list[Any]:
        """Take the next bytes; return the tables that are full."""
        self._waiting += data
        if len(self._waiting) - self._seen < _PARSE_BYTES:
            return []
        self._look()
        if not self._end:
            return []
        whole = bytes(memoryview(self._waiting)[: self._end])
        del self._waiting[: self._end]
        # What is left was looked through as well; up to the end of a record quotes are even.
        self._seen -= self._end
        self._quotes = self._waiting.count(_QUOTE, 0, self._seen)
        self._end = 0
        return self._read(whole)

    def close(self) -> list[Any]:
        """Return what is left, after the last bytes."""
        full = self._read(bytes(self._waiting)) if self._waiting else []
        self._waiting.clear()
        return [*full, self._take()] if self._rows else full

    def _look(self) -> None:
        """Find the end of the last record: a line feed after an even number of quotes."""
        quotes = self._quotes + self._waiting.count(_QUOTE, self._seen)
        after = quotes
        stop = len(self._waiting)
        while (line := self._waiting.rfind(b"\n", self._seen, stop)) >= 0:
            after -= self._waiting.count(_QUOTE, line, stop)
            if after % 2 == 0:
                self._end = line + 1
                break
            stop = line
        self._quotes = quotes
        self._seen = len(self._waiting)

    def _read(self, whole: bytes) -> list[Any]:
        table = csv.read_csv(
            pa.py_buffer(whole),
            csv.ReadOptions(column_names=self._names, use_threads=False, block_size=len(whole) + 1),
            self._parse,
            self._convert,
        )
        full = []
        while table.num_rows:
            part = table.slice(0, BATCH_ROWS - self._rows)
            table = table.slice(part.num_rows)
            self._tables.append(part)
            self._rows += part.num_rows
            self._bytes += part.nbytes
            if self._rows == BATCH_ROWS or self._bytes >= BATCH_BYTES:
                full.append(self._take())
        return full

    def _take(self) -> Any:
        taken = pa.concat_tables(self._tables).combine_chunks()
        self._tables, self._rows, self._bytes = [], 0, 0
        return taken
