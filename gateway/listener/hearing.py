"""The half of a caller's connection that hears: bytes into calls, or into refusals."""

import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Final

import httptools

from gateway.edge import MAX_HEADER_BYTES, EdgeRefusal, Head, malformed, read_head
from gateway.listener.call import CallInHand
from gateway.listener.path import DataPath
from gateway.listener.repeats import Repeat, learn
from kit.ids import is_uuid

SLICE: Final = MAX_HEADER_BYTES
"""Bytes that are fed to the parser at once, and so the most that is held of a head too large."""
_MAX_BODILESS: Final = 2 * SLICE
"""Bytes of a body that brings none: extensions of a chunk, or trailers that never end. The parser
holds what has come of one, at a cost that grows with its square."""
_KEEPS_FRAMING: Final = frozenset({"route-unknown", "method-not-allowed"})
"""Refusals after which the next call on the connection can still be found, if there is no body."""


class Hearing(ABC):
    """Parses what a caller sends; calls queue up in the order in which they came.

    Attributes:
        deadline: for `Deadlines`: of the call in hand, of the head or body being read, or idle.
        write_paused: whether the caller takes its answers too slowly.
    """

    __slots__ = (
        "_bodiless",
        "_call",
        "_deaf",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_last_target",
        "_parser",
        "_reading",
        "_repeat",
        "_target",
        "_unfed",
        "_waiting",
        "_whole",
        "deadline",
        "path",
        "write_paused",
    )

    def __init__(self, path: DataPath) -> None:
        self.path = path
        self.write_paused = False
        self.deadline = 0.0
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._target = b""
        self._in_head = False
        self._head_bytes = 0
        self._bodiless = 0
        self._reading: CallInHand | None = None
        self._call: CallInHand | None = None
        self._waiting: deque[CallInHand] = deque()
        self._unfed = b""
        self._deaf = False
        self._repeat: Repeat | None = None
        self._last_target: bytes | None = None
        self._whole: bytes | None = None

    @abstractmethod
    def new_call(
        self, head: Head | None, refused: EdgeRefusal | None, call: str | None
    ) -> CallInHand:
        """Return a call of this connection; see `CallInHand`."""

    def stop_hearing(self) -> None:
        """Take nothing more from this connection; it closes after the answers that are due."""
        self._deaf = True
        self._unfed = b""

    # ---- httptools ----

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        self._headers = []
        self._target = b""
        self._in_head = True
        self._head_bytes = -1
        if self._call is None:
            self.deadline = time.monotonic() + self.path.settings.header_seconds

    def on_url(self, piece: bytes) -> None:
        """Take a piece of the target."""
        self._target += piece

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header field, or refuse a trailer."""
        if not self._in_head:
            raise malformed("The body has trailers.")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Make a call of the head, or a refusal."""
        self._in_head = False
        # Only the first head of what was received begins with its first byte.
        whole, self._whole = self._whole, None
        if self._deaf:
            return
        parser = self._parser
        try:
            if parser.get_http_version() != "1.1":
                raise malformed("The gateway speaks HTTP/1.1 only.")
            head = read_head(self.path.router, parser.get_method(), self._target, self._headers)
        except EdgeRefusal as why:
            call = self.new_call(None, why, self._call_id())
            # The answer to HEAD has no body; a refusal has one, and must then be the last.
            if why.code not in _KEEPS_FRAMING or parser.get_method() == b"HEAD":
                self._refuse_reading(call)
                return
        else:
            call = self.new_call(head, None, head.call)
            self._learn(head, whole)
        self._reading = call
        self._bodiless = 0
        self._waiting.append(call)
        if self._call is None:
            self.deadline = time.monotonic() + self.path.settings.body_seconds

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        self._bodiless = 0
        call = self._reading
        if call is None:
            return
        if call.refused is not None:
            self.stop_hearing()  # What follows is the body of a call that nobody takes.
            return
        call.take_body(piece)

    def on_message_complete(self) -> None:
        """Note that the whole call has come."""
        call, self._reading = self._reading, None
        if call is None:
            return
        call.complete = True
        if call.refused is None:
            call.end_body()
        if call.head is not None and call.head.closes:
            self._deaf = True

    # ---- feeding ----

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._refuse_unread("The gateway speaks HTTP/1.1 only and upgrades to nothing.")
        except httptools.HttpParserCallbackError as error:
            why = error.__context__
            if not isinstance(why, EdgeRefusal):
                raise
            self._refuse_unread(why.detail)
        except httptools.HttpParserError as error:
            self._refuse_unread(f"This is not HTTP/1.1: {error}.")
        if not self._deaf and (self._in_head or self._reading is not None):
            self._count_held(len(data))

    def _count_held(self, size: int) -> None:
        """Refuse what grows in the parser without becoming a call, or some of its body."""
        if self._in_head:
            self._count_head(size)
            return
        self._bodiless += size
        if self._bodiless > _MAX_BODILESS:
            self._refuse_unread("The body has trailers or extensions of chunks.")

    def _count_head(self, size: int) -> None:
        """Refuse a head that grows too large before it is complete.

        What came before the head in the slice in which it began is not counted, so that up to
        one slice more than the limit is held; complete heads are measured exactly.
        """
        self._head_bytes = 0 if self._head_bytes < 0 else self._head_bytes + size
        if self._head_bytes > MAX_HEADER_BYTES:
            why = EdgeRefusal(
                "headers-too-large", f"Request line and headers exceed {MAX_HEADER_BYTES} bytes."
            )
            self._refuse_reading(self.new_call(None, why, self._call_id()))

    # ---- refusing ----

    def _refuse_unread(self, detail: str) -> None:
        """Refuse what cannot be parsed: a call of its own, or the one whose body it was."""
        if self._deaf:
            return
        why = malformed(detail)
        if self._reading is None:
            call = self.new_call(None, why, self._call_id() if self._in_head else None)
            self._refuse_reading(call)
        else:
            self._refuse_reading(self._reading, why)

    def _refuse_reading(self, call: CallInHand, why: EdgeRefusal | None = None) -> None:
        """Refuse a call that is being read, in its turn, as the last one of the connection."""
        self.stop_hearing()
        self._in_head = False
        self._reading = None
        if why is not None and call.refused is None:
            if call is self._call:
                call.break_off(why)
                return
            call.refused = why
        if call is not self._call and call not in self._waiting:
            self._waiting.append(call)

    def _call_id(self) -> str | None:
        """Return the id that a call gives itself, if it gives exactly one, also when it fails."""
        found = [value for name, value in self._headers if name.lower() == b"datong-call"]
        text = found[0].decode("latin-1") if len(found) == 1 else ""
        return text if is_uuid(text) else None

    # ---- repeated heads ----

    def _is_between_calls(self) -> bool:
        """Tell whether the next byte is the first of a call that can be begun at once."""
        return (
            self._call is None
            and not self._in_head
            and self._reading is None
            and not self._waiting
            and not self._unfed
            and not self.write_paused
        )

    def _learn(self, head: Head, whole: bytes | None) -> None:
        """Remember a head when its target was asked for twice in a row.

        Args:
            whole: what was received, if it begins with the first byte of the call.
        """
        if whole is not None and head.target == self._last_target:
            self._repeat = learn(head, whole)
        self._last_target = head.target
