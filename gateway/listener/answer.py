"""Answers: what a part may say to callers, what it says to the gateway alone, and their bytes."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

from kit import problems

BUFFERED_ANSWER: Final = 1 << 18
"""Bytes. A greater answer is cleared by the digest that the part announces, or kept in a file."""
MAX_ANSWER: Final = 1 << 32

PASSED_ON: Final = (
    "Content-Type",
    "Content-Disposition",
    "Content-Digest",
    "Content-Encoding",
    "Content-Range",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Location",
    "Retry-After",
    "Allow",
    "WWW-Authenticate",
    "Cache-Control",
    "Vary",
    "Link",
    "Datong-Revision",
)
"""Fields of a part's answer that callers see; all others stay inside."""
_FOR_GATEWAY: Final = (
    "Content-Length",
    "Datong-Internal-Reason",
    "Datong-Internal-Rows",
    "Datong-Internal-Items",
    "Datong-Internal-Digest",
    "Datong-Internal-Enforced",
)
_KNOWN: Final[dict[bytes, tuple[str, bytes | None]]] = {
    spelling: (name, b"\r\n" + name.encode() + b": " if name in PASSED_ON else None)
    for name in PASSED_ON + _FOR_GATEWAY
    for spelling in (name.encode(), name.lower().encode())
}
_STATUS: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}".encode() for status in HTTPStatus
}
_NO_STORE: Final = b"\r\nCache-Control: no-store"
_CHUNKED: Final = b"\r\nTransfer-Encoding: chunked"
_BODYLESS: Final = frozenset({204, 304})


class Answer:
    """An answer before it is cleared for release.

    Attributes:
        status: 200 to 599.
        lines: header lines for the caller, each beginning with CR LF.
        length: Content-Length that the part announced, if it did.
        reason: code of the refusal, if it is one.
        rows, items: what the answer holds, as the part counted it.
        announced: SHA-256 of the body, as the part announced it.
        enforced: id and version of the grant that the part enforced.
    """

    __slots__ = (
        "announced",
        "enforced",
        "items",
        "length",
        "lines",
        "reason",
        "rows",
        "status",
    )

    def __init__(self, status: int, lines: list[bytes]) -> None:
        self.status = status
        self.lines = lines
        self.length: int | None = None
        self.reason: str | None = None
        self.rows: int | None = None
        self.items: list[str] | None = None
        self.announced: bytes | None = None
        self.enforced: tuple[str, int] | None = None

    @property
    def may_have_body(self) -> bool:
        """Return whether HTTP lets an answer of this status have a body."""
        return self.status not in _BODYLESS


def read_answer(status: int, headers: Sequence[tuple[bytes, bytes]]) -> Answer:
    """Return a part's answer as far as its head tells it.

    Raises:
        ValueError: a field for the gateway does not have its form.
    """
    lines: list[bytes] = []
    answer = Answer(status, lines)
    values: dict[str, bytes] = {}
    for name, value in headers:
        known = _KNOWN.get(name) or _KNOWN.get(name.lower())
        if known is None:
            continue
        title, begin = known
        values[title] = value
        if begin is not None:
            lines.append(begin + value)
    if "Cache-Control" not in values:
        lines.append(_NO_STORE)
    length = values.get("Content-Length")
    if length is not None:
        answer.length = int(length)
    reason = values.get("Datong-Internal-Reason")
    if reason is not None:
        answer.reason = reason.decode("ascii")
    _read_data(answer, values)
    return answer


def _read_data(answer: Answer, values: dict[str, bytes]) -> None:
    """Read what parts say of answers that hold data."""
    digest = values.get("Datong-Internal-Digest")
    if digest is not None:
        answer.announced = bytes.fromhex(digest.decode("ascii"))
        if len(answer.announced) != 32:
            raise ValueError("the digest does not have 32 bytes")
    rows = values.get("Datong-Internal-Rows")
    if rows is not None:
        answer.rows = int(rows)
    items = values.get("Datong-Internal-Items")
    if items is not None:
        names = items.decode()
        answer.items = names.split(",") if names else []
    enforced = values.get("Datong-Internal-Enforced")
    if enforced is not None:
        grant, _, version = enforced.decode("ascii").partition("@")
        answer.enforced = (grant, int(version))


def refusal(
    code: str,
    detail: str,
    *,
    call: str,
    facts: Mapping[str, object] | None = None,
    allow: str | None = None,
    status: int | None = None,
) -> tuple[Answer, bytes]:
    """Return the problem document of `code` as an answer and its body; see `problems.document`."""
    entry = problems.registry()[code]
    lines = [b"\r\nContent-Type: application/problem+json", _NO_STORE]
    if allow is not None:
        lines.append(b"\r\nAllow: " + allow.encode())
    if entry.status == 401:
        lines.append(b'\r\nWWW-Authenticate: Bearer realm="datong"')
    elif entry.status == 503:
        lines.append(b"\r\nRetry-After: 2")
    answer = Answer(status or entry.status, lines)
    answer.reason = code
    return answer, problems.document(code, detail, facts=facts, call=call, status=status)


def head_bytes(
    answer: Answer, *, length: int | None, date: bytes, names: Sequence[bytes], closes: bool
) -> bytes:
    """Return status line and header fields of an answer, with the empty line after them.

    Args:
        length: bytes of the body; None when it follows in chunks.
        date: a Date line.
        names: lines with the call and its evidence.
    """
    status = _STATUS.get(answer.status) or b"HTTP/1.1 %d Other" % answer.status
    parts = [status, *answer.lines, *names, date]
    if answer.may_have_body:
        parts.append(_CHUNKED if length is None else b"\r\nContent-Length: %d" % length)
    parts.append(b"\r\nConnection: close\r\n\r\n" if closes else b"\r\n\r\n")
    return b"".join(parts)
