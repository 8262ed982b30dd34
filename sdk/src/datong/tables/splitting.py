"""Splits what is published into chunks that stand for themselves, in flat memory.

A first reading finds where chunks end, how many rows there are, and the digest of the whole; a
second one gives the chunks. CSV is cut at line ends outside quotes, NDJSON at line ends, Arrow
between rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from datong.errors import InputInvalid
from datong.operations.batches import MAX_CHUNK_BYTES
from datong.operations.operation import CSV

CHUNK_BYTES: Final = 8 << 20
"""Bytes of a chunk by default."""
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NOT_QUOTE_OR_END: Final = bytes(code for code in range(256) if code not in b'"\n')

OnRead = Callable[[int, int], None]
"""Told of the bytes that were read, and of how many there are."""


@dataclass(frozen=True)
class Place:
    """Where a row stands in what is published.

    Attributes:
        row: from 1.
        line: of the file, from 1, where the row begins; None when there are no lines.
    """

    row: int
    line: int | None

    def readable(self) -> str:
        """For people."""
        return f"row {self.row}" if self.line is None else f"line {self.line}"


class Source(Protocol):
    """Something that can be published.

    Attributes:
        name: for people, such as the file's name.
        content_type: of the chunks.
        rows: in all chunks.
        digest: SHA-256 of the whole, hex: the same input has the same one.
        size: bytes of the whole.
    """

    name: str
    content_type: str
    rows: int
    digest: str
    size: int

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Number and body of each chunk, one at a time."""

    def place(self, chunk: int, row: int) -> Place:
        """Where a row (from 1) of a chunk stands; known once the chunk was given."""

    def line(self, chunk: int, line: int) -> int | None:
        """Which line of the whole a line (from 1) of a chunk is; None when there are no lines."""


@dataclass(frozen=True)
class Piece:
    """A part of a file that becomes one chunk.

    Attributes:
        offset: of its first byte.
        rows: records in it.
        first_row: number of its first record in the file, from 1.
        first_line: line of the file that it begins with, from 1.
    """

    offset: int
    length: int
    rows: int
    first_row: int
    first_line: int


class LineFile:
    """A file of CSV or NDJSON, split at line ends."""

    def __init__(
        self,
        file: Path,
        content_type: str,
        *,
        chunk_bytes: int = CHUNK_BYTES,
        name: str | None = None,
        has_lines: bool = True,
        on_read: OnRead | None = None,
    ) -> None:
        """Read the file once.

        Args:
            content_type: `text/csv`, whose first record is the header, or `application/x-ndjson`.
            chunk_bytes: most bytes of one chunk.
            has_lines: whether people know the lines of the file.

        Raises:
            InputInvalid: unreadable, empty, or a record is longer than a chunk may be.
        """
        self.name = name or file.name
        self.content_type = content_type
        self._file = file
        self._has_lines = has_lines
        self._is_csv = content_type == CSV
        self._digest = hashlib.sha256()
        self._pieces: list[Piece] = []
        try:
            self.size = file.stat().st_size
            with file.open("rb") as stream:
                self._header, start = self._read_header(stream.read(chunk_bytes))
                stream.seek(start)
                self._split(stream, start, chunk_bytes - len(self._header), on_read)
        except OSError as error:
            raise InputInvalid(f"{file} cannot be read: {error.strerror}.") from error
        self.rows = sum(piece.rows for piece in self._pieces)
        self.digest = self._digest.hexdigest()

    def chunks(self) -> Iterator[tuple[int, bytes]]:
        """Number and body of each chunk: the header, and a part of the file."""
        with self._file.open("rb") as stream:
            for number, piece in enumerate(self._pieces):
                stream.seek(piece.offset)
                yield number, self._header + stream.read(piece.length)

    def place(self, chunk: int, row: int) -> Place:
        """Where a row of a chunk stands."""
        piece = self._pieces[chunk]
        number = piece.first_row + row - 1
        if not self._has_lines:
            return Place(number, None)
        if not self._is_csv:
            return Place(number, piece.first_line + row - 1)
        with self._file.open("rb") as stream:
            stream.seek(piece.offset)
            text = stream.read(piece.length)
        return Place(number, piece.first_line + text.count(b"\n", 0, _start_of(text, row)))

    def line(self, chunk: int, line: int) -> int | None:
        """Which line of the file a line of a chunk is."""
        headed = self._header.count(b"\n")
        if not self._has_lines:
            return None
        return line if line <= headed else self._pieces[chunk].first_line + line - headed - 1

    def _read_header(self, beginning: bytes) -> tuple[bytes, int]:
        """The header without byte order mark, and where the rows begin."""
        self._digest.update(self.content_type.encode() + b"\n")
        if not self._is_csv:
            return b"", 0
        marked = len(_BYTE_ORDER_MARK) if beginning.startswith(_BYTE_ORDER_MARK) else 0
        end = _start_of(beginning[marked:], 2) + marked
        header = beginning[marked:end]
        if end == len(beginning) < self.size:
            raise InputInvalid(
                f"{self.name}: the header does not end within {len(beginning)} bytes.",
                next_step="The first line of a CSV file holds the names of the items.",
            )
        if not header.strip():
            raise InputInvalid(
                f"{self.name} is empty.",
                next_step="The first line of a CSV file holds the names of the items.",
            )
        self._digest.update(header)
        return header if header.endswith(b"\n") else header + b"\n", end

    def _split(self, stream: BinaryIO, start: int, limit: int, on_read: OnRead | None) -> None:
        """Find the pieces of the file, each of whole records."""
        piece = Piece(start, 0, 0, 1, self._header.count(b"\n") + 1)
        while piece.offset < self.size:
            text = self._whole_records(stream, piece, limit)
            rows = self._ends(text) + (not text.endswith(b"\n"))
            self._pieces.append(replace(piece, length=len(text), rows=rows))
            self._digest.update(text)
            piece = Piece(
                offset=piece.offset + len(text),
                length=0,
                rows=0,
                first_row=piece.first_row + rows,
                first_line=piece.first_line + text.count(b"\n"),
            )
            if on_read is not None:
                on_read(piece.offset, self.size)
        if not self._pieces:  # no rows at all: still one chunk, for a batch has at least one
            self._pieces.append(piece)

    def _whole_records(self, stream: BinaryIO, piece: Piece, limit: int) -> bytes:
        """The records from a place on, as many as fit; a long one alone, as long as it may be."""
        for most in (limit, MAX_CHUNK_BYTES - len(self._header)):
            stream.seek(piece.offset)
            text = stream.read(most)
            if piece.offset + len(text) >= self.size:
                return text
            end = _last_end(text) if self._is_csv else text.rfind(b"\n") + 1
            if end:
                return text[:end]
        raise InputInvalid(
            f"{self.name}, line {piece.first_line}: the row is longer than a chunk may be "
            f"({MAX_CHUNK_BYTES} bytes).",
            next_step="Look for a quote that is not closed."
            if self._is_csv
            else "Write each row in a line of its own.",
        )

    def _ends(self, text: bytes) -> int:
        """Line ends that end a record."""
        if not self._is_csv or b'"' not in text:
            return text.count(b"\n")
        marks = text.translate(None, _NOT_QUOTE_OR_END)
        length = -1
        while length != len(marks):  # a pair of quotes side by side changes nothing around it
            length = len(marks)
            marks = marks.replace(b'""', b"")
        return sum(part.count(b"\n") for part in marks.split(b'"')[::2])


def _last_end(text: bytes) -> int:
    """Where the last whole record of CSV ends; 0 when none does."""
    quotes, end = text.count(b'"'), len(text)
    while (at := text.rfind(b"\n", 0, end)) >= 0:
        quotes -= text.count(b'"', at, end)
        if quotes % 2 == 0:
            return at + 1
        end = at
    return 0


def _start_of(text: bytes, record: int) -> int:
    """Where a record of CSV (from 1) begins; the end when there are fewer."""
    if record == 1:
        return 0
    left, offset = record - 1, 0
    for number, part in enumerate(text.split(b'"')):
        ends = part.count(b"\n") if number % 2 == 0 else 0
        if ends >= left:
            for _ in range(left):
                offset = text.index(b"\n", offset) + 1
            return offset
        left -= ends
        offset += len(part) + 1
    return len(text)
