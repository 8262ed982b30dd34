"""What an Arrow IPC stream says about itself, read without trusting it.

Arrow's reader allocates what a compressed buffer claims to hold. So the messages are walked
beforehand: how many rows, how many bytes when unpacked, and no dictionaries. This reads as
much of FlatBuffers as that takes; Arrow verifies the rest.
"""

import struct
from dataclasses import dataclass
from typing import Any, Final

from services.exchange.transfer.domain.refusals import ArrowMalformed

_CONTINUATION: Final = 0xFFFFFFFF
_VERSIONS: Final = (3, 4)  # metadata versions 4 and 5
_SCHEMA: Final = 1
_RECORD_BATCH: Final = 3


@dataclass(frozen=True, slots=True)
class Extent:
    """What the record batches of a stream claim to hold.

    Attributes:
        unpacked: bytes of all buffers, those that share bytes counted each.
    """

    rows: int
    unpacked: int


class _Bytes:
    """Little-endian numbers at checked places."""

    def __init__(self, data: memoryview) -> None:
        self.data = data

    def number(self, form: str, at: int) -> int:
        """Return the number at `at` in the form of `struct`."""
        if at < 0 or at + struct.calcsize(form) > len(self.data):
            raise ArrowMalformed("The Arrow stream ends within a message.")
        found: int = struct.unpack_from("<" + form, self.data, at)[0]
        return found

    def follow(self, at: int) -> int:
        """Return the place that the offset at `at` leads to."""
        return at + self.number("I", at)


class _Table:
    """A FlatBuffers table; fields are numbered as in Arrow's schema files."""

    def __init__(self, data: _Bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._fields = at - data.number("i", at)
        self._size = data.number("H", self._fields)

    def place(self, field: int) -> int | None:
        """Return where a field lies, or None when it has its default."""
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._data.number("H", self._fields + entry)
        return self._at + offset if offset else None

    def number(self, field: int, form: str) -> int:
        """Return a number, 0 by default."""
        place = self.place(field)
        return 0 if place is None else self._data.number(form, place)

    def table(self, field: int) -> "_Table | None":
        """Return a table, if it is there."""
        place = self.place(field)
        return None if place is None else _Table(self._data, self._data.follow(place))

    def pairs(self, field: int) -> list[tuple[int, int]]:
        """Return a vector of structures of two `long`."""
        place = self.place(field)
        if place is None:
            return []
        start = self._data.follow(place)
        length = self._data.number("I", start)
        if length > (len(self._data.data) - start) // 16:
            raise ArrowMalformed("The Arrow stream ends within a message.")
        return list(struct.iter_unpack("<qq", self._data.data[start + 4 : start + 4 + length * 16]))


def extent_of(stream: Any) -> Extent:
    """Return what the messages of `stream`, a `pyarrow.Buffer`, claim to hold.

    Raises:
        ArrowMalformed: it is not one schema, then whole record batches, then at most an end.
    """
    data = memoryview(stream).cast("B")
    rows = unpacked = at = 0
    first = True
    while at < len(data):
        size = _metadata_size(data, at)
        if size == 0:
            if at + 8 != len(data):
                raise ArrowMalformed("Bytes follow the end of the Arrow stream.")
            break
        body = at + 8 + size
        if body > len(data):
            raise ArrowMalformed("The Arrow stream ends within a message.")
        metadata = _Bytes(data[at + 8 : body])
        message = _Table(metadata, metadata.follow(0))
        length = message.number(3, "q")
        if length < 0 or body + length > len(data):
            raise ArrowMalformed("The Arrow stream ends within a message.")
        header = _header_of(message, _SCHEMA if first else _RECORD_BATCH)
        if first:
            _require_native(header)
        else:
            rows += _rows_of(header)
            unpacked += _unpacked(header, data[body : body + length])
        first = False
        at = body + length
    if first:
        raise ArrowMalformed("An Arrow stream begins with a schema.")
    return Extent(rows, unpacked)


def _metadata_size(data: memoryview, at: int) -> int:
    start = _Bytes(data)
    if start.number("I", at) != _CONTINUATION:
        raise ArrowMalformed("An Arrow IPC stream of format 1.0 or later is expected.")
    return start.number("I", at + 4)


def _header_of(message: _Table, kind: int) -> _Table:
    header = message.table(2)
    if message.number(0, "h") not in _VERSIONS or header is None:
        raise ArrowMalformed("An Arrow IPC stream of format 1.0 or later is expected.")
    if message.number(1, "B") != kind:
        raise ArrowMalformed("A schema and then record batches are expected, nothing else.")
    return header


def _require_native(schema: _Table) -> None:
    if schema.number(0, "h") != 0:
        raise ArrowMalformed("Little-endian numbers are expected in an Arrow stream.")


def _rows_of(batch: _Table) -> int:
    rows = batch.number(0, "q")
    if rows < 0:
        raise ArrowMalformed("A record batch has a negative number of rows.")
    return rows


def _unpacked(batch: _Table, body: memoryview) -> int:
    """Return how many bytes the buffers of a record batch claim to hold."""
    compressed = batch.table(3) is not None
    size = 0
    for offset, length in batch.pairs(2):
        if offset < 0 or length < 0 or offset + length > len(body):
            raise ArrowMalformed("A buffer of the Arrow stream lies outside its message.")
        size += _claimed(body, offset, length) if compressed else length
    return size


def _claimed(body: memoryview, offset: int, length: int) -> int:
    """Return how many bytes a compressed buffer claims to hold; -1 stands for not compressed."""
    if length < 8:
        return length
    claimed = _Bytes(body).number("q", offset)
    if claimed < -1:
        raise ArrowMalformed("A buffer of the Arrow stream claims a negative length.")
    return length if claimed == -1 else claimed
