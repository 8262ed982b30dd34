"""The half of a call in hand that takes its body and passes it on."""

import time
from hashlib import sha256
from typing import Final

from gateway.edge import BUFFERED_BODY, EdgeRefusal, Head, body_too_large
from gateway.listener.clearing import Clearing, State

_BODY_RATE: Final = 4096
"""Bytes a second that an upload must bring on the whole: one that drips holds a connection to the
part for hours otherwise."""


class Receiving(Clearing):
    """A call whose body comes: held when it is small, passed on in pieces when it may be large.

    Attributes:
        refused: the edge's refusal, if there is one.
        pieces: of the request body, until they are passed on.
    """

    __slots__ = ("pieces", "refused")
    # Set by `CallInHand`: another constructor would cost every call its time.
    pieces: list[bytes]
    refused: EdgeRefusal | None

    @property
    def has_come(self) -> bool:
        """Return whether enough of a call that waits its turn is here.

        That is the whole of it; a body that is passed on in pieces stays with the caller.
        """
        return self.complete or self.received > BUFFERED_BODY

    def take_body(self, piece: bytes) -> None:
        """Take a piece of the request body; passes it on when the call has been sent."""
        head = self.head
        self.received += len(piece)
        if self.refused is not None or head is None:
            self._request_digest = None
            return
        if self.received > head.route.body_limit:
            self.break_off(body_too_large(head.route.body_limit))
            return
        if self._hash is None:
            self.pieces.append(piece)
            return
        self._hash.update(piece)
        if self._upstream is not None and self.state is State.SENT:
            self._grant_time(time.monotonic())
            self._upstream.send_more(framed(head, piece), last=False)
        else:
            self.pieces.append(piece)

    def _grant_time(self, now: float) -> None:
        """Let an upload go on that brings something often enough, and enough of it."""
        seconds = self.path.settings.body_seconds
        self.connection.deadline = min(
            now + seconds, self._started + 2 * seconds + self.received / _BODY_RATE
        )

    def take_all(self, body: bytes) -> None:
        """Take the whole body, within the limit of its route, of a call that has not begun."""
        self.complete = True
        if body:
            self.received = len(body)
            self.pieces.append(body)
            self._request_digest = sha256(body).digest()

    def end_body(self) -> None:
        """Take the end of the request."""
        self.complete = True
        if self.pieces and self._hash is None:
            self._request_digest = sha256(b"".join(self.pieces)).digest()
        head = self.head
        if head is not None and self.state is State.SENT and self._upstream is not None:
            self.connection.deadline = time.monotonic() + (
                head.timeout or self.path.settings.call_seconds
            )
            self._upstream.send_more(b"0\r\n\r\n" if head.chunked else b"", last=True)

    def break_off(self, why: EdgeRefusal) -> None:
        """Refuse a call whose body cannot be read to its end."""
        self.connection.stop_hearing()
        if self.state is State.READING:
            self.refused = why
        elif self.state in (State.WAITING, State.ASKING, State.SENT):
            self.drop_upstream()
            self.refuse(why.code, why.detail, why.facts)

    def hold_body(self, hold: bool) -> None:
        """Leave a body that is passed on in pieces with the caller until a part takes it."""
        if self._hash is not None:
            self.connection.hold_body(hold)

    def body_may_go_on(self, may: bool) -> None:
        """Read less from the caller while the part reads slowly."""
        self.connection.hold_body(not may)


def length_line(head: Head) -> bytes:
    """Return how a body that is passed on in pieces is framed when it has a length."""
    return b"Content-Length: %d" % (head.length or 0)


def framed(head: Head, piece: bytes) -> bytes:
    """Return a piece of a body as it goes over the wire to the part."""
    return b"%x\r\n%b\r\n" % (len(piece), piece) if head.chunked else piece
