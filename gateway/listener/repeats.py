"""A head that came before on its connection, byte for byte, is not parsed and decided anew.

Callers repeat themselves: of one call after another only the call id, the length and the body
differ. What the strict parser and the edge made of such a head holds for the next one, since equal
bytes have one reading; the two values that may differ are checked here, and each has one form.
"""

import re
from typing import Final, NamedTuple

from gateway.domain import Allowed, Call
from gateway.edge import Head
from gateway.listener.pattern import AnswerPattern
from gateway.listener.record import About
from gateway.listener.tokens import MISSING, Checked
from kit.ids import is_uuid

_UUID_LENGTH: Final = 36
_DIGITS = re.compile(rb"[0-9]{1,6}")
_VARYING = re.compile(
    rb"\r\n(datong-call|content-length):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE
)


class Decided:
    """The last decision of a connection that allowed a call whose head is not repeated.

    Calls of an owner's service differ in their paths; what is decided about them mostly does not.

    Attributes:
        about: what the record says of all these calls, once it was made.
    """

    __slots__ = ("about", "allowed", "question")

    def __init__(self, question: Call, allowed: Allowed) -> None:
        self.question = question
        self.allowed = allowed
        self.about: About = {}


class Part(NamedTuple):
    """Bytes that stay the same, and what stands after them: a call id, a length, or the body."""

    same: bytes
    then: str


class Repeat:
    """A head, and what was made of it.

    Attributes:
        head: must not be changed.
        question, allowed, checked: of the last decision that allowed; `decide` is asked again
            when anything has changed since.
        about: what the record says of all these calls.
        frame: what the part gets of all these calls; see `CallInHand`.
        pattern: of whole answers to these calls.
        unlike: whole answers that did not fit and led to another pattern.
    """

    __slots__ = (
        "_limit",
        "_parts",
        "about",
        "allowed",
        "checked",
        "frame",
        "head",
        "pattern",
        "question",
        "unlike",
    )

    def __init__(self, head: Head, parts: list[Part]) -> None:
        self.head = head
        self._parts = parts
        self._limit = head.route.body_limit
        self.question: Call | None = None
        self.allowed: Allowed | None = None
        self.checked: Checked = MISSING
        self.about: About = {}
        self.frame: tuple[bytes, bytes] | None = None
        self.pattern: AnswerPattern | None = None
        self.unlike = 0

    def decided(self, question: Call, allowed: Allowed, checked: Checked) -> None:
        """Remember a decision, and forget what was made of the one before."""
        self.question, self.allowed, self.checked = question, allowed, checked
        self.about = {}
        self.frame = None

    def fits(self, data: bytes) -> tuple[str | None, bytes] | None:
        """Return call id and body when `data` is exactly one call with this head, or None."""
        at = length = 0
        call = None
        for same, then in self._parts:
            if not data.startswith(same, at):
                return None
            at += len(same)
            if then == "call":
                call = data[at : at + _UUID_LENGTH].decode("latin-1")
                if not is_uuid(call):
                    return None
                at += _UUID_LENGTH
            elif then == "length":
                digits = _DIGITS.match(data, at)
                if digits is None:
                    return None
                length, at = int(digits[0]), digits.end()
        if length > self._limit or len(data) - at != length:
            return None
        return call, data[at:]


def learn(head: Head, data: bytes) -> Repeat | None:
    """Return the repeat that a call makes possible, or None.

    Args:
        head: what the edge made of the call.
        data: the call, from the first byte of its request line.
    """
    if head.chunked or head.closes or head.expects or head.route.streams or head.rest is not None:
        return None
    line = b"%b %b HTTP/1.1\r\n" % (head.route.method, head.target)
    end = data.find(b"\r\n\r\n", len(line) - 2)
    if end < 0 or not data.startswith(line):
        return None  # Empty lines before it, or a form that the parser forgives.
    end += 4
    parts: list[Part] = []
    at = 0
    for found in _VARYING.finditer(data, 0, end):
        start, stop = found.span(2)
        parts.append(Part(data[at:start], "call" if found[1].lower()[0] == 100 else "length"))
        at = stop
    parts.append(Part(data[at:end], "body"))
    return Repeat(head, parts)
