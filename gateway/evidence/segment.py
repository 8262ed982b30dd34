"""Segments of the spool: how records lie in a file, and how a torn tail is told from records.

A segment is `DTSPOOL1`, one frame that holds the header, then one frame per commit. A frame is
its length and CRC-32 (both little-endian, 4 bytes) and its body. A commit is whole or void: what
a crash left of one fails its length or its CRC and is cut. Body of a commit: for each record
`<I record length><Q sequence><36s record id><27s at><B salt length>` salt, record.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import orjson

MAGIC: Final = b"DTSPOOL1"
MAX_FRAME: Final = 1 << 28
"""No commit comes near; a length beyond it is not one."""

_FRAME: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<IQ36s27sB")


class NotASegment(ValueError):
    """The file does not begin like a segment: it was torn while being created, or is foreign."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a segment says of itself: whose records it holds, from which sequence on."""

    instance: str
    epoch: str
    first_sequence: int


class Entry(NamedTuple):
    """One record in the spool, with what its message on the bus needs beside it."""

    sequence: int
    record_id: bytes
    at: bytes
    salt: bytes
    record: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found in a segment.

    Args:
        end: bytes up to the end of the last whole commit.
        damaged: commits before that one whose bytes have changed on the disk.
        size: bytes of the file; more than `end` when its tail is torn or damaged.
        last_sequence: of the last whole record; None when there is none.
    """

    header: Header
    end: int
    size: int
    last_sequence: int | None
    damaged: int = 0


def pack_header(header: Header) -> bytes:
    """Return the beginning of a segment."""
    body = orjson.dumps(
        {
            "instance": header.instance,
            "epoch": header.epoch,
            "first_sequence": header.first_sequence,
        }
    )
    return MAGIC + _FRAME.pack(len(body), zlib.crc32(body)) + body


def pack_commit(entries: Sequence[Entry]) -> bytes:
    """Return one commit as a frame."""
    parts: list[bytes] = []
    pack = _ENTRY.pack
    for sequence, record_id, at, salt, record in entries:
        parts += (pack(len(record), sequence, record_id, at, len(salt)), salt, record)
    body = b"".join(parts)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


def read_header(data: bytes) -> tuple[Header, int]:
    """Return the header at the beginning of `data` and the offset behind it.

    Raises:
        NotASegment: `data` does not begin with a whole header.
    """
    if not data.startswith(MAGIC):
        raise NotASegment("no segment begins here")
    body = _body(data, len(MAGIC))
    if body is None:
        raise NotASegment("the header is torn")
    fields = orjson.loads(body)
    header = Header(fields["instance"], fields["epoch"], fields["first_sequence"])
    return header, len(MAGIC) + _FRAME.size + len(body)


def read_commits(data: bytes, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yield the offset behind each whole commit and its body, up to the first that is not."""
    while (body := _body(data, offset)) is not None:
        offset += _FRAME.size + len(body)
        yield offset, body


def read_entries(body: bytes) -> Iterator[Entry]:
    """Yield the records of one commit, whose CRC was right."""
    offset, size = 0, len(body)
    while offset < size:
        length, sequence, record_id, at, salt_length = _ENTRY.unpack_from(body, offset)
        begin = offset + _ENTRY.size + salt_length
        offset = begin + length
        yield Entry(sequence, record_id, at, body[begin - salt_length : begin], body[begin:offset])


def scan(path: Path) -> Scan:
    """Read a whole segment and say how far it can be trusted.

    Raises:
        NotASegment: it has no whole header.
        OSError: it cannot be read.
    """
    data = path.read_bytes()
    header, end = read_header(data)
    last: int | None = None
    damaged = 0
    resume: int | None = end
    while resume is not None:
        damaged += resume != end
        end = resume
        for behind, body in read_commits(data, end):
            end = behind
            for entry in read_entries(body):
                last = entry.sequence
        resume = after_damage(data, end)
    return Scan(header, end, len(data), last, damaged)


def after_damage(data: bytes, offset: int) -> int | None:
    """Return where the next whole commit begins behind the one at `offset` that is not whole.

    None when there is none: then this is a torn tail. A commit is written only when the one
    before it is durable, so whatever has a whole commit behind it was durable once, and damaged
    since.
    """
    if offset + _FRAME.size > len(data):
        return None
    length, _ = _FRAME.unpack_from(data, offset)
    behind: int = offset + _FRAME.size + length
    return behind if length and behind < len(data) and _body(data, behind) is not None else None


def _body(data: bytes, offset: int) -> bytes | None:
    """Return the body of the frame at `offset`, or None if none lies there whole."""
    begin = offset + _FRAME.size
    if begin > len(data):
        return None
    length, crc = _FRAME.unpack_from(data, offset)
    if length == 0 or length > MAX_FRAME or begin + length > len(data):
        return None
    body = data[begin : begin + length]
    return body if zlib.crc32(body) == crc else None
