"""One keep-alive connection to a part: sends one call at a time and hands its answer on."""

import asyncio
from typing import Any, Final, Protocol, cast

import httptools
from typing_extensions import override

from gateway.turn import Turn
from gateway.upstream.deadlines import NEVER
from kit.logging import get_logger

MAX_ANSWER_HEAD: Final = 1 << 16
"""Bytes without one of a body: of a head, and later of trailers or extensions of a chunk."""
MAX_PREMATURE: Final = 4
"""Interim answers (1xx) that are passed over before a final one."""

log = get_logger()

Headers = list[tuple[bytes, bytes]]


class Taker(Protocol):
    """Whoever sent a call and takes its answer. Called on the loop, in this order."""

    def take_whole(self, data: bytes) -> bool:
        """Take a whole answer, head and body, unparsed, if it is known to be one; tell whether.

        `answer_ended` follows then. The connection lives on after it.
        """
        ...

    def learn_whole(self, data: bytes) -> None:
        """Learn what a whole answer looked like, before `answer_ended`."""
        ...

    def answer_started(self, status: int, headers: Headers) -> None:
        """Take the head of the final answer."""
        ...

    def answer_piece(self, piece: bytes) -> None:
        """Take some bytes of the body, decoded from chunks."""
        ...

    def answer_ended(self) -> None:
        """Take the end of the answer; the connection is free again already."""
        ...

    def answer_failed(self, untouched: bool) -> None:
        """Take the loss of the connection.

        Args:
            untouched: not one byte of an answer has come.
        """
        ...

    def body_may_go_on(self, may: bool) -> None:
        """Hold the body back (`may` false) or go on: the part reads slower than we send."""
        ...


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def connected(self, connection: "UpstreamConnection") -> None:
        """Take a connection that has just been opened."""
        ...

    def freed(self, connection: "UpstreamConnection") -> None:
        """Take a connection back that can carry the next call."""
        ...

    def lost(self, connection: "UpstreamConnection") -> None:
        """Forget a connection that is gone."""
        ...

    def knows(self, certificate: dict[str, Any] | None) -> bool:
        """Tell whether a peer certificate is that of the part."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """A connection of a pool.

    Attributes:
        known: whether it was opened to the right peer.
        malformed: whether it ended because an answer broke HTTP or its limits.
        used: whether it has carried a call before; only then can it have gone stale.
        closing: whether it must not be given out any more.
        deadline: for `Deadlines`; the pool sets it while the connection is idle.
    """

    __slots__ = (
        "_bodiless",
        "_body_pending",
        "_excess",
        "_finished",
        "_headers",
        "_held",
        "_interim",
        "_interims",
        "_keeps_alive",
        "_owner",
        "_parser",
        "_started",
        "_taker",
        "_touched",
        "_transport",
        "_turn",
        "_whole",
        "closing",
        "deadline",
        "known",
        "malformed",
        "used",
    )

    def __init__(self, owner: Owner, turn: Turn) -> None:
        self._owner = owner
        self._turn = turn
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._taker: Taker | None = None
        self._headers: Headers = []
        self._bodiless = 0
        self._touched = False
        self._started = False
        self._interim = False
        self._interims = 0
        self._body_pending = False
        self._held = False
        self._finished = False
        self._excess = False
        self._keeps_alive = False
        self._whole = b""
        self.used = False
        self.known = False
        self.malformed = False
        self.closing = False
        self.deadline = NEVER

    # ---- for the call ----

    def send(self, taker: Taker, data: bytes, whole: bool) -> None:
        """Send a call.

        Args:
            data: head and, if `whole`, all of the body.
            whole: false when `send_more` and `send_end` follow.
        """
        self._taker = taker
        self._touched = self._started = False
        self._bodiless = self._interims = 0
        self._body_pending = not whole
        self.deadline = NEVER
        if self._held:
            self.go_on()
        self._turn.write(cast(asyncio.Transport, self._transport), data)

    def send_more(self, data: bytes, last: bool) -> None:
        """Send more of the body."""
        if last:
            self._body_pending = False
        if data:
            self._turn.write(cast(asyncio.Transport, self._transport), data)

    def hold(self) -> None:
        """Read no more of the answer for now."""
        if not self.closing:
            self._held = True
            cast(asyncio.Transport, self._transport).pause_reading()

    def go_on(self) -> None:
        """Read on."""
        if not self.closing:
            self._held = False
            cast(asyncio.Transport, self._transport).resume_reading()

    def abandon(self) -> None:
        """Drop the call and the connection with it; the taker hears nothing more."""
        self._taker = None
        self._close()

    # ---- asyncio.Protocol ----

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        certificate = transport.get_extra_info("peercert")
        if not self._owner.knows(certificate):
            self._close()
            return
        self.known = True
        self._owner.connected(self)

    @override
    def data_received(self, data: bytes) -> None:
        if self._taker is None:
            self._close()  # Not later: until its turn it could be given to a call.
        else:
            self._turn.hear(self, data)

    def take(self, data: bytes) -> None:
        """Take what was received, in its turn."""
        if self._taker is None:
            self._close()  # Nobody asked: what comes now could be taken for another's answer.
            return
        self._whole = b"" if self._touched or self._body_pending else data
        if self._whole and self._taker.take_whole(data):
            self._whole = b""
            self._keeps_alive = True
            self._finish()
            return
        self._touched = True
        self._parse(data)

    def _parse(self, data: bytes) -> None:
        """Parse some bytes of an answer."""
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if isinstance(error, httptools.HttpParserCallbackError):
                log.error("fault in an answer", error=repr(error.__context__))
            self.fail()
            return
        if self._finished:
            self._finish()
        elif self._bodiless > MAX_ANSWER_HEAD:
            self.fail()

    @override
    def eof_received(self) -> bool:
        # What came before it may still wait for its turn; nobody is given the connection then.
        self.closing = True
        return False

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._owner.lost(self)
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.answer_failed(not self._touched)
        # Both refer back, and would keep the buffers of TLS until cycles are collected.
        self._transport = None
        del self._parser

    @override
    def pause_writing(self) -> None:
        if self._taker is not None and self._body_pending:
            self._taker.body_may_go_on(False)

    @override
    def resume_writing(self) -> None:
        if self._taker is not None and self._body_pending:
            self._taker.body_may_go_on(True)

    # ---- httptools ----

    def on_message_begin(self) -> None:
        """Begin another answer, perhaps an interim one."""
        if self._finished:
            self._excess = True  # A second answer to one call: it must not become another's.
        self._headers = []
        self._interim = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header field; trailers end up in a list that nobody reads."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Hand the head on, unless it is of an interim answer."""
        if self._excess:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._interim = True
            self._interims += 1
            if status == 101 or self._interims > MAX_PREMATURE:
                raise ValueError("an interim answer that nobody asked for")
            return
        self._started = True
        self._keeps_alive = self._parser.should_keep_alive()
        if self._taker is not None:
            headers, self._headers = self._headers, []
            self._taker.answer_started(status, headers)

    def on_body(self, piece: bytes) -> None:
        """Hand a piece of the body on."""
        self._bodiless = 0
        if self._taker is not None and not self._excess:
            self._taker.answer_piece(piece)

    def on_message_complete(self) -> None:
        """Note the end of the answer; `data_received` acts on it when all bytes are parsed."""
        if not self._interim:
            self._finished = True

    def _finish(self) -> None:
        """Give the connection back, then hand the end of the answer on."""
        self._finished = False
        taker, self._taker = self._taker, None
        if taker is None:
            return
        if self._excess or self._body_pending or self.closing or not self._keeps_alive:
            # With a body that was not sent to its end, its rest would be read as another call.
            self._close()
        else:
            self.used = True
            self._owner.freed(self)
            if self._whole:
                taker.learn_whole(self._whole)
        taker.answer_ended()

    # ---- deadlines ----

    def time_out(self, now: float) -> None:
        """Close: it was idle for too long."""
        self.deadline = NEVER
        if self._taker is None:
            self._close()

    def tick(self, now: float) -> None:
        """Do nothing; its calls have their own deadlines."""

    def fail(self) -> None:
        """End a connection whose answer breaks HTTP or its limits."""
        taker, self._taker = self._taker, None
        self.malformed = True
        self._close()
        if taker is not None:
            taker.answer_failed(False)

    def _close(self) -> None:
        self.closing = True
        if self._transport is not None:
            self._transport.abort()
