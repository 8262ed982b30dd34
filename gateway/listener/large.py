"""Answers over 256 KiB: streamed under an announced digest, or kept in a file until hashed."""

import tempfile
import time
from hashlib import sha256
from typing import IO, TYPE_CHECKING, Final, Protocol

from gateway.listener.answer import MAX_ANSWER

if TYPE_CHECKING:
    from gateway.listener.clearing import Clearing

_PIECE: Final = 1 << 16
PROGRESS_SECONDS: Final = 30.0
"""A caller that takes nothing of an answer for this long is cut off."""


class LargeAnswer(Protocol):
    """How a call treats an answer that does not fit into its buffer.

    Attributes:
        broken: code of the refusal when the answer cannot be completed any more.
    """

    broken: str | None

    def take(self, piece: bytes) -> None:
        """Take a piece from the part."""
        ...

    def end(self) -> None:
        """Take the end of the answer from the part."""
        ...

    def upstream_lost(self) -> None:
        """Learn that the part will send no more."""
        ...

    def released(self) -> None:
        """Begin to send: the record is durable and the head has been written."""
        ...

    def client_may_take(self) -> None:
        """Send on: the caller has room again."""
        ...

    def close(self) -> None:
        """Let go of everything held."""
        ...


class Streamed:
    """A hosted answer whose digest and length the part announced before its first byte.

    Its record was made from the announcement. The last piece is held back until the bytes that
    passed are known to fit it; if they do not, the connection is cut and the answer `withheld`.
    """

    def __init__(self, call: "Clearing", announced: bytes, length: int) -> None:
        self._call = call
        self._announced = announced
        self._length = length
        self._hash = sha256()
        self._passed = 0
        self._held: list[bytes] = []
        self._releasing = False
        self._ended = False
        self.broken: str | None = None
        call.hold_upstream(True)

    def take(self, piece: bytes) -> None:
        """Hash a piece and pass the one before it on."""
        self._hash.update(piece)
        self._passed += len(piece)
        self._held.append(piece)
        if self._passed > self._length:
            self.broken = "answer-mismatch"
        if self._releasing:
            self._flush()

    def end(self) -> None:
        """Compare what passed with what was announced."""
        self._ended = True
        if self._passed != self._length or self._hash.digest() != self._announced:
            self.broken = "answer-mismatch"
        if self._releasing:
            self._flush()

    def upstream_lost(self) -> None:
        """Cut, or refuse when nothing has been sent yet."""
        self.broken = "service-unavailable"
        if self._releasing:
            self._flush()

    def released(self) -> None:
        """Send what has come, and let the part go on."""
        self._releasing = True
        self._flush()
        if not self._ended and self.broken is None:
            self._call.hold_upstream(self._call.connection.write_paused)

    def client_may_take(self) -> None:
        """Let the part go on."""
        if self._releasing and not self._ended:
            self._call.hold_upstream(False)

    def close(self) -> None:
        """Let go of the pieces."""
        self._held.clear()

    def _flush(self) -> None:
        call = self._call
        if self.broken is not None:
            call.cut(self.broken)
            return
        connection = call.connection
        keep = 0 if self._ended else 1
        while len(self._held) > keep:
            connection.write(self._held.pop(0))
        connection.deadline = time.monotonic() + PROGRESS_SECONDS
        if self._ended:
            call.done()
        elif connection.write_paused:
            call.hold_upstream(True)


class Filed:
    """A control-plane answer of unknown digest: kept in an unnamed file until its record is made.

    Args:
        folder: where the file lies; nothing of it remains after the call.
    """

    def __init__(self, call: "Clearing", folder: str) -> None:
        self._call = call
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `close`
        self._hash = sha256()
        self._size = 0
        self._releasing = False
        self.broken: str | None = None

    def take(self, piece: bytes) -> None:
        """Write a piece to the file."""
        self._size += len(piece)
        if self._size > MAX_ANSWER:
            self._call.mismatch("The answer is longer than the gateway passes on.")
            return
        self._hash.update(piece)
        self._file.write(piece)

    def end(self) -> None:
        """Have the record made."""
        self._file.seek(0)
        self._call.clear(self._hash.digest(), self._size)

    def upstream_lost(self) -> None:
        """Refuse: nothing has been sent yet."""
        self._call.upstream_failed()

    def released(self) -> None:
        """Begin to send."""
        self._releasing = True
        self.client_may_take()

    def client_may_take(self) -> None:
        """Send until the caller's buffer is full."""
        connection = self._call.connection
        while self._releasing and not connection.write_paused and not connection.gone:
            piece = self._file.read(_PIECE)
            connection.deadline = time.monotonic() + PROGRESS_SECONDS
            if not piece:
                self._call.done()
                return
            connection.write(piece)

    def close(self) -> None:
        """Close the file, and with it remove it."""
        self._releasing = False
        self._file.close()
