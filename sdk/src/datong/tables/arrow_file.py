"""A file of Arrow IPC (stream or file format), batched anew into chunks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from datong.errors import InputInvalid
from datong.operations.batches import MAX_CHUNK_BYTES
from datong.operations.operation import ARROW
from datong.tables.splitting import OnRead, Place

CHUNK_ROWS: Final = 65_536
"""Most rows of a chunk."""
CHUNK_UNPACKED: Final = 64 << 20
"""Most bytes of a chunk, about, before it is compressed."""
_MAGIC: Final = b"ARROW1"
_READ_BYTES: Final = 1 << 20
_ZSTD: Final = pa.ipc.IpcWriteOptions(compression="zstd")


class ArrowFile:
    """Record batches of a file; dictionaries and views are written out as plain values."""

    def __init__(
        self, file: Path, *, name: str | None = None, on_read: OnRead | None = None
    ) -> None:
        """Read the file once.

        Raises:
            InputInvalid: unreadable, or not Arrow.
        """
        self.name = name or file.name
        self.content_type = ARROW
        self._file = file
        self._first_rows: list[int] = []
        self.size, self.digest = _digest_of(file, on_read)
        self.rows = sum(batch.num_rows for batch in self._batches())

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Number and body of each chunk."""
        self._first_rows = []
        row = 1
        for number, (rows, body) in enumerate(self._bodies()):
            self._first_rows.append(row)
            row += rows
            yield number, body

    def place(self, chunk: int, row: int) -> Place:
        """Where a row of a chunk stands."""
        if chunk >= len(self._first_rows):  # the chunks were sent by an earlier run
            self._first_rows = list(accumulate((rows for rows, _ in self._bodies()), initial=1))
        return Place(self._first_rows[chunk] + row - 1, None)

    def line(self, _chunk: int, _line: int) -> int | None:
        """No lines."""
        return None

    def _bodies(self) -> Iterator[tuple[int, bytes]]:
        schema = None
        waiting: list[Any] = []
        rows = size = 0
        for batch in self._slices():
            schema = batch.schema
            if waiting and (
                rows + batch.num_rows > CHUNK_ROWS or size + batch.nbytes > CHUNK_UNPACKED
            ):
                yield from _written(pa.Table.from_batches(waiting))
                waiting, rows, size = [], 0, 0
            waiting.append(batch)
            rows += batch.num_rows
            size += batch.nbytes
        if schema is None:
            with self._opened() as (schema, _):
                yield from _written(_plain(schema.empty_table()))
        elif waiting:
            yield from _written(pa.Table.from_batches(waiting))

    def _slices(self) -> Iterator[Any]:
        """Plain batches, none of which is more than a chunk."""
        for batch in self._batches():
            if batch.num_rows == 0:
                continue
            plain = _plain(pa.Table.from_batches([batch])).combine_chunks()
            per_row = max(1, plain.nbytes // plain.num_rows)
            yield from plain.to_batches(
                max_chunksize=max(1, min(CHUNK_ROWS, CHUNK_UNPACKED // per_row))
            )

    def _batches(self) -> Iterator[Any]:
        with self._opened() as (_, batches):
            yield from batches

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Iterator[Any]]]:
        """Schema and batches; errors of Arrow become ours."""
        try:
            # Not mapped: what is read of a large file would count as memory of the process.
            with pa.OSFile(str(self._file)) as source:
                if source.read(len(_MAGIC)) == _MAGIC:
                    reader = pa.ipc.open_file(source)
                    places = range(reader.num_record_batches)
                    yield reader.schema, (reader.get_batch(place) for place in places)
                else:
                    source.seek(0)
                    reader = pa.ipc.open_stream(source)
                    yield reader.schema, iter(reader)
        except pa.ArrowException as error:
            raise InputInvalid(
                f"{self.name} is not Arrow, or is damaged: {error}.",
                next_step="Name its format: --format csv, ndjson or arrow.",
            ) from error


def _plain(table: Any) -> Any:
    """The same values without dictionaries and views, which chunks may not have."""
    fields = []
    for field in table.schema:
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        if pa.types.is_string_view(kind):
            kind = pa.string()
        fields.append(pa.field(field.name, kind))
    return table.cast(pa.schema(fields))


def _written(table: Any) -> Iterator[tuple[int, bytes]]:
    """A table as chunks, each with its rows: one, or halves when it does not compress enough."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=_ZSTD) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=CHUNK_ROWS)
    body = sink.getvalue().to_pybytes()
    if len(body) <= MAX_CHUNK_BYTES or table.num_rows < 2:
        yield table.num_rows, body
        return
    half = table.num_rows // 2
    yield from _written(table.slice(0, half))
    yield from _written(table.slice(half))


def _digest_of(file: Path, on_read: OnRead | None) -> tuple[int, str]:
    digest, read = hashlib.sha256(), 0
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            while part := stream.read(_READ_BYTES):
                digest.update(part)
                read += len(part)
                if on_read is not None:
                    on_read(read, size)
    except OSError as error:
        raise InputInvalid(f"{file} cannot be read: {error.strerror}.") from error
    return size, digest.hexdigest()
