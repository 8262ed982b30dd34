"""One connection of a caller: bytes in, calls in order, bytes out."""

import asyncio
import time
from base64 import b64encode
from typing import Final, cast

from typing_extensions import override

from gateway.edge import EdgeRefusal, Head
from gateway.listener.call import CallInHand
from gateway.listener.clearing import Clearing, State
from gateway.listener.hearing import SLICE, Hearing
from gateway.listener.owner_call import OwnerCall
from gateway.listener.path import DataPath
from gateway.listener.repeats import Decided, Repeat
from gateway.listener.tokens import MISSING, Checked
from kit.logging import get_logger
from kit.tokens import thumbprint

_LINGER_SECONDS: Final = 0.5
_LINGER_WHOLE: Final = 10.0
_LINGER_BYTES: Final = 1 << 24
"""What a refused body may still send is swallowed while it comes, up to a time and a size: most
callers read the refusal only when they have sent all."""
_WRITE_BUFFER: Final = 1 << 18
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

log = get_logger()


class ClientConnection(Hearing, asyncio.Protocol):
    """The protocol of one TLS connection.

    Attributes:
        thumbprint: x5t#S256 of the verified client certificate, or None.
        certificate_line: the header line that tells a part about it, or nothing.
        write_paused: whether the caller takes its answers too slowly.
        decided: the last decision on a call whose head was not repeated.
        holds_body: whether the part takes the request body too slowly.
        gone: whether nothing can be sent any more.
        deadline: for `Deadlines`: of the call in hand, of the head or body being read, or idle.
    """

    __slots__ = (
        "_advancing",
        "_checked",
        "_checked_for",
        "_linger_until",
        "_lingering",
        "_reading_paused",
        "_swallowed",
        "_transport",
        "certificate_line",
        "decided",
        "gone",
        "holds_body",
        "thumbprint",
    )

    def __init__(self, path: DataPath) -> None:
        super().__init__(path)
        self.thumbprint: str | None = None
        self.certificate_line = b""
        self.decided: Decided | None = None
        self.holds_body = False
        self.gone = False
        self._transport: asyncio.Transport | None = None
        self._reading_paused = False
        self._lingering = False
        self._linger_until = 0.0
        self._swallowed = 0
        self._advancing = False
        self._checked: Checked = MISSING
        self._checked_for: bytes | None = None

    # ---- asyncio.Protocol ----

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_WRITE_BUFFER)
        certificate = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        if certificate is not None:
            self.thumbprint = thumbprint(certificate)
            self.certificate_line = b"\r\nDatong-Internal-Certificate: " + b64encode(certificate)
        self.deadline = time.monotonic() + self.path.settings.idle_seconds
        self.path.connections.add(self)
        self.path.deadlines.add(self)

    @override
    def data_received(self, data: bytes) -> None:
        self.path.turn.hear(self, data)

    def take(self, data: bytes) -> None:
        """Take what was received, in its turn."""
        if self._deaf:
            if self._lingering:
                self._swallow(len(data))
            return
        if self._is_between_calls():
            if self._repeat is not None and self._begin_repeated(self._repeat, data):
                return
            self._whole = data
        if self._unfed or len(data) > SLICE:
            self._unfed += data
            self._feed_unfed()
        else:
            self._feed(data)
        self._whole = None
        if self._waiting:
            self._advance()
        self._set_reading()

    @override
    def eof_received(self) -> bool:
        # Whoever sends a call and its end at once may still read; after this nothing is sent.
        self.path.turn.work()
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self._deaf = True
        self._waiting.clear()
        self._unfed = b""
        self.path.connections.discard(self)
        if self._call is not None:
            self._call.client_gone()
        if self._call is None:
            self.path.deadlines.discard(self)
        # Both refer back: without this the buffers of TLS, a quarter of a mebibyte and more, would
        # stay until the collector of cycles comes, which is seldom.
        self._transport = None
        del self._parser

    @override
    def pause_writing(self) -> None:
        self.write_paused = True
        if self._call is not None:
            self._call.client_may_take(False)

    @override
    def resume_writing(self) -> None:
        self.write_paused = False
        if self._call is not None:
            self._call.client_may_take(True)
        self._advance()

    @override
    def new_call(
        self, head: Head | None, refused: EdgeRefusal | None, call: str | None
    ) -> CallInHand:
        if head is not None and head.route.data == "call":
            return OwnerCall(self, head, refused, call)
        return CallInHand(self, head, refused, call)

    # ---- for the call in hand ----

    def token(self, authorization: bytes | None, now: float) -> Checked:
        """Return what is known of the token of a call; the last one is known without a look."""
        tokens = self.path.tokens
        known = self._checked
        if authorization == self._checked_for and tokens.stands(known):
            return known
        checked = tokens.check(authorization, now)
        if checked.claims is not None:
            self._checked, self._checked_for = checked, authorization
        return checked

    def write(self, data: bytes) -> None:
        """Send bytes of an answer."""
        if self._transport is not None and not self.gone:
            self.path.turn.write(self._transport, data)

    def say_continue(self, call: CallInHand) -> None:
        """Ask for the body if the caller waits to be asked."""
        head = call.head
        if head is not None and head.expects and not call.complete and not call.received:
            head.expects = False
            self.write(_CONTINUE)

    def hold_body(self, hold: bool) -> None:
        """Stop or go on reading the request body."""
        self.holds_body = hold
        self._set_reading()

    def closes_after(self) -> bool:
        """Tell whether the answer to the call in hand is the last on the connection."""
        return (self._deaf and not self._waiting) or self.path.stopping

    def abort(self) -> None:
        """End the connection at once."""
        self._deaf = True
        if self._transport is not None:
            self.path.turn.flush()
            self._transport.abort()

    def fail(self) -> None:
        """End the connection after a fault of ours."""
        self.abort()

    def call_done(self, call: Clearing) -> None:
        """Go on to the next call, close, or wait for one."""
        self._call = None
        self.holds_body = False
        if self.gone:
            self.path.deadlines.discard(self)
            return
        now = time.monotonic()
        if (self._deaf and not self._waiting) or self.path.stopping:
            self._end(now, body_follows=not call.complete)
            return
        reading = self._in_head or self._reading is not None
        settings = self.path.settings
        self.deadline = now + (settings.header_seconds if reading else settings.idle_seconds)
        if self._waiting or self._unfed or self._reading_paused:
            self._advance()
            self._set_reading()

    # ---- deadlines ----

    def time_out(self, now: float) -> None:
        """Act on the deadline of whatever is going on."""
        if self._call is not None:
            self._call.time_out(now)
        elif self._lingering or (self._reading is None and not self._in_head):
            self._close()
        else:
            self.deadline = now + self.path.settings.header_seconds
            what = "headers" if self._in_head else "body"
            why = EdgeRefusal("call-timeout", f"The {what} of the call did not arrive in time.")
            self._refuse_reading(self._reading or CallInHand(self, None, why), why)
            self._advance()

    def tick(self, now: float) -> None:
        """Look after an answer that is being sent."""
        if self._call is not None:
            self._call.tick()

    def stop(self) -> None:
        """Close as soon as no call is in hand; who waits for news is not kept waiting."""
        if self._call is None:
            self._close()
        else:
            self._call.listener_stops()

    # ---- repeated heads ----

    def _begin_repeated(self, repeat: Repeat, data: bytes) -> bool:
        """Begin a call whose head came before; tell whether `data` is exactly one such call."""
        fitting = repeat.fits(data)
        if fitting is None:
            return False
        call_id, body = fitting
        call = CallInHand(self, repeat.head, None, call_id, repeat)
        call.take_all(body)
        self._begin(call)
        return True

    # ---- feeding ----

    def _feed_unfed(self) -> None:
        """Feed slices until a whole call waits: the rest stays unread until its turn comes."""
        while self._unfed and not self._deaf and not (self._waiting and self._waiting[0].complete):
            piece, self._unfed = self._unfed[:SLICE], self._unfed[SLICE:]
            self._feed(piece)
            self._advance()

    def _advance(self) -> None:
        """Begin the next call if none is in hand and it may be begun."""
        if self._advancing:
            return
        self._advancing = True
        while self._call is None and not self.write_paused and not self.gone:
            if not self._waiting:
                if not self._unfed or self._deaf:
                    break
                piece, self._unfed = self._unfed[:SLICE], self._unfed[SLICE:]
                self._feed(piece)
                continue
            call = self._waiting[0]
            if not (call.complete or call.refused is not None or _streams(call)):
                self.say_continue(call)
                break
            self._waiting.popleft()
            self._begin(call)
        self._advancing = False

    def _begin(self, call: CallInHand) -> None:
        self._call = call
        try:
            call.begin()
        except Exception:
            # A fault of ours must not take other calls with it.
            log.exception("fault in a call", call=call.call_id)
            call.fault()

    def _set_reading(self) -> None:
        """Read from the socket unless something must be finished first."""
        pause = (
            self.holds_body
            or bool(self._unfed)
            or (bool(self._waiting) and self._waiting[0].has_come)
        )
        if pause is not self._reading_paused and self._transport is not None and not self.gone:
            self._reading_paused = pause
            if pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    # ---- refusing and closing ----

    def _end(self, now: float, body_follows: bool) -> None:
        """Close after the last answer.

        What a refused body still sends is swallowed for a moment, since a reset would take the
        answer from the caller.
        """
        self._deaf = True
        if not body_follows or self._transport is None:
            self._close()
            return
        self._lingering = True
        self._linger_until = now + _LINGER_WHOLE
        self.deadline = now + _LINGER_SECONDS
        if self._reading_paused:
            self._reading_paused = False
            self._transport.resume_reading()

    def _swallow(self, size: int) -> None:
        """Take more of a body that was refused."""
        self._swallowed += size
        if self._swallowed > _LINGER_BYTES:
            self._close()
        else:
            self.deadline = min(time.monotonic() + _LINGER_SECONDS, self._linger_until)

    def _close(self) -> None:
        self._deaf = True
        if self._transport is None or self._transport.is_closing():
            # A caller that does not take its last bytes is not waited for.
            self.abort()
            return
        self.deadline = time.monotonic() + 2.0
        self._lingering = True
        self.path.turn.flush()
        self._transport.close()


def _streams(call: CallInHand) -> bool:
    return call.head is not None and call.head.route.streams and call.state is State.READING
