"""An answer of an owner's service over 256 KiB: it streams between two records."""

import asyncio
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from gateway.listener.large import PROGRESS_SECONDS
from gateway.listener.record import EMPTY_DIGEST

if TYPE_CHECKING:
    from gateway.listener.owner_call import OwnerCall

MAX_OWNER_ANSWER: Final = 64 << 20
_RATE: Final = 4096
"""Bytes a second that a service must bring on the whole, once its answer has begun."""
_TOGETHER: Final = 1 << 16
"""Bytes that are worth passing on before what else has come is known."""


class Opened:
    """Passes pieces on as the caller takes them; what has left is what the record counts.

    With a digest that the service stated, the last piece is held back until the rest is known to
    fit it.

    Args:
        length: of the body when it is known; else the caller gets it in chunks.
        stated: SHA-256 of the body as the service states it.
        pieces: of the body that have come already.
        seconds: in which the service must bring something.

    Attributes:
        broken: code of the refusal when the answer cannot be completed any more.
        passed: bytes of the body that were handed to the caller's connection.
        whole: whether all of them were.
    """

    def __init__(
        self,
        call: "OwnerCall",
        length: int | None,
        stated: bytes | None,
        pieces: list[bytes],
        seconds: float,
    ) -> None:
        self._call = call
        self.length = length
        self._stated = stated
        self._held = pieces
        self._taken = sum(map(len, pieces))
        self._seconds = seconds
        self._hash = sha256()
        self._began = time.monotonic()
        self._releasing = False
        self._flushing = False
        self._ended = False
        self.passed = 0
        self.whole = False
        self.broken: str | None = None
        call.hold_upstream(True)

    @property
    def digest(self) -> bytes:
        """Return the SHA-256 of what was passed on."""
        return self._hash.digest() if self.passed else EMPTY_DIGEST

    def take(self, piece: bytes) -> None:
        """Take a piece from the service; pieces that came together go on together.

        A service may send a million chunks of a byte each, and everybody would wait for them.
        """
        self._taken += len(piece)
        self._held.append(piece)
        if self._taken > MAX_OWNER_ANSWER:
            self.broken = "answer-mismatch"
        if not self._releasing:
            return
        if self._taken - self.passed >= _TOGETHER:
            self._flush()
        elif not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_taken)

    def end(self) -> None:
        """Take the end of the answer."""
        self._ended = True
        if self._releasing:
            self._flush()

    def upstream_lost(self) -> None:
        """Learn that the service will send no more."""
        self.broken = self.broken or "owner-unavailable"
        if self._releasing:
            self._flush()

    def released(self) -> None:
        """Begin to send: the record is durable and the head has been written."""
        self._releasing = True
        self._began = time.monotonic()
        self._flush()
        if not self._ended and self.broken is None:
            self._call.hold_upstream(self._call.connection.write_paused)

    def client_may_take(self) -> None:
        """Let the service go on: the caller has room again."""
        if self._releasing and not self._ended:
            self._call.hold_upstream(False)
            self._grant_time()

    def close(self) -> None:
        """Let go of the pieces."""
        self._releasing = False
        self._held.clear()

    def _flush_taken(self) -> None:
        self._flushing = False
        if self._releasing:
            self._flush()

    def _flush(self) -> None:
        call = self._call
        connection = call.connection
        if self.broken is None:
            self._pass_on()
        if self.broken is not None:
            call.cut(self.broken)
        elif self._ended:
            if self.length is None:
                connection.write(b"0\r\n\r\n")
            self.whole = True
            call.done()
        else:
            self._grant_time()
            if connection.write_paused:
                call.hold_upstream(True)

    def _pass_on(self) -> None:
        """Hand on what is held, but the last piece only when the whole is known to fit."""
        held = self._held
        last = held.pop() if held and self._stated is not None else b""
        self._write(b"".join(held))
        held.clear()
        if not self._ended:
            if last:
                held.append(last)
        elif self._fits(last):
            self._write(last)
        else:
            self.broken = "answer-mismatch"

    def _write(self, piece: bytes) -> None:
        """Hand a piece to the caller's connection, and count it."""
        if piece:
            self._hash.update(piece)
            self.passed += len(piece)
            self._call.connection.write(piece if self.length is not None else _chunk(piece))

    def _fits(self, last: bytes) -> bool:
        """Tell whether the body, whose last piece is `last`, has the stated digest."""
        if self._stated is None:
            return True
        whole = self._hash.copy()
        whole.update(last)
        return whole.digest() == self._stated

    def _grant_time(self) -> None:
        """Set the deadline of whoever must act now: the caller, or else the service."""
        now = time.monotonic()
        connection = self._call.connection
        if connection.write_paused:
            connection.deadline = now + PROGRESS_SECONDS
        else:
            connection.deadline = min(
                now + self._seconds, self._began + 2 * self._seconds + self._taken / _RATE
            )


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
