"""An answer whose head differs from the last one only where heads are expected to differ.

Parts answer a repeated call with the same fields in the same order; length, rows, digest and date
change. Equal bytes have one reading, so only those values are read anew, each in its one form.
"""

import re
from typing import Final

from gateway.listener.answer import Answer

_FORMS: Final = {
    b"content-length": b"(?P<length>[0-9]{1,6})",
    b"datong-internal-rows": b"(?P<rows>[0-9]{1,9})",
    b"datong-internal-digest": b"(?P<digest>[0-9a-f]{64})",
    b"date": b"[0-9A-Za-z:, ]{1,40}",
}
_VARYING = re.compile(
    rb"\r\n(%b):[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)" % b"|".join(_FORMS), re.IGNORECASE
)


class AnswerPattern:
    """What the heads of a part's whole answers look like, and what was made of one of them.

    Args:
        model: an answer with such a head, which announced length and digest.
    """

    __slots__ = ("_head", "_model")

    def __init__(self, model: Answer, head: "re.Pattern[bytes]") -> None:
        self._model = model
        self._head = head

    def read(self, data: bytes) -> tuple[Answer, bytes] | None:
        """Return answer and body when `data` is exactly one whole answer like this, or None."""
        found = self._head.match(data)
        if found is None:
            return None
        length, rows, digest = found.group("length", "rows", "digest")
        body = data[found.end() :]
        if len(body) != int(length):
            return None
        model = self._model
        answer = Answer(model.status, model.lines)
        answer.length = len(body)
        answer.rows = int(rows)
        answer.items = model.items
        answer.announced = bytes.fromhex(digest.decode())
        answer.enforced = model.enforced
        return answer, body


def learn_answer(data: bytes, answer: Answer) -> AnswerPattern | None:
    """Return the pattern of answers like this one, if it held data, or None.

    Args:
        data: all bytes of the answer, on a connection that lives on after it.
        answer: what was made of it.
    """
    if answer.reason is not None or answer.announced is None or answer.rows is None:
        return None
    end = data.find(b"\r\n\r\n") + 4
    if len(data) - end != answer.length or not data.startswith(b"HTTP/1.1 %d " % answer.status):
        return None  # Not framed by its length, or an interim answer came before it.
    parts: list[bytes] = []
    names: list[bytes] = []
    at = 0
    for found in _VARYING.finditer(data, 0, end):
        start, stop = found.span(2)
        names.append(found[1].lower())
        parts += (re.escape(data[at:start]), _FORMS[names[-1]])
        at = stop
    if len(set(names)) != len(names):
        return None
    parts.append(re.escape(data[at:end]))
    return AnswerPattern(answer, re.compile(b"".join(parts)))
