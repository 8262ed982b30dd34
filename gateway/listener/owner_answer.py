"""Answers of owners' services: what callers may see of them. Nothing in them is believed."""

import re
from base64 import b64decode
from typing import Final

from gateway.listener.answer import Answer
from gateway.upstream import Headers

PASSED_ON: Final = (
    "Content-Type",
    "Content-Disposition",
    "Content-Digest",
    "Content-Encoding",
    "Content-Language",
    "Content-Range",
    "Accept-Ranges",
    "ETag",
    "Last-Modified",
    "Retry-After",
    "Allow",
)
"""Fields that callers see. What speaks for the platform, names other places or sets state is left
out: `Datong-*`, `Set-Cookie`, `WWW-Authenticate`, `Link`, and a `Location` that leads elsewhere."""
_READ: Final = ("Content-Length", "Transfer-Encoding", "Location")
_KNOWN: Final = {name.lower().encode(): name for name in PASSED_ON + _READ}
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_PLACE: Final = re.compile(rb"/(?!/)[A-Za-z0-9._~/-]*(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?%-]*)?")
_SHA_256: Final = re.compile(rb"(?:^|,)[ \t]*sha-256=:([A-Za-z0-9+/]{43}=):")
_NO_STORE: Final = b"\r\nCache-Control: no-store"


class NotPassedOn(Exception):
    """An answer that is not for callers; `cause` as the refusal tells it."""

    def __init__(self, cause: str, detail: str) -> None:
        super().__init__(detail)
        self.cause = cause


def read_owner_answer(
    status: int, headers: Headers, *, owner: str, resource: str, origin: bytes
) -> Answer:
    """Return what callers get of an answer, but for its body.

    A digest that the service states of its body is compared as that of a part is.

    Args:
        owner: agency that answers; callers tell its answers from refusals of the gateway by it.
        resource: whose service it is; a `Location` inside the service leads there.
        origin: `https://host:port` of the service.

    Raises:
        NotPassedOn: it is a redirect, or not an answer of HTTP.
    """
    if 300 <= status < 400 and status != 304:
        raise NotPassedOn("redirect", "The owner's service answered with a redirect.")
    if not 200 <= status < 600:
        raise NotPassedOn("malformed", "The owner's service answered with no status of HTTP.")
    values = _known(headers)
    location = _inside(values.pop("Location", b""), origin)
    length = values.pop("Content-Length", None)
    if values.pop("Transfer-Encoding", b"chunked").lower() != b"chunked":
        raise NotPassedOn("malformed", "The owner's service answered in a coding besides chunked.")
    lines = [b"\r\n" + name.encode() + b": " + value for name, value in values.items()]
    if location is not None:
        lines.append(b"\r\nLocation: /call/" + resource.encode() + location)
    lines.append(b"\r\nDatong-Owner: " + owner.encode())
    answer = Answer(status, [*lines, _NO_STORE])
    if length is not None:
        answer.length = int(length)
    stated = _SHA_256.search(values.get("Content-Digest", b""))
    if stated is not None and answer.may_have_body:
        answer.announced = b64decode(stated[1])
    return answer


def _known(headers: Headers) -> dict[str, bytes]:
    """Return the fields that are read or passed on, by their names.

    Raises:
        NotPassedOn: one stands twice, or holds a control character.
    """
    values: dict[str, bytes] = {}
    for name, value in headers:
        title = _KNOWN.get(name.lower())
        if title is None:
            continue
        if title in values or _VALUE.fullmatch(value) is None:
            raise NotPassedOn("malformed", f"The owner's service answered with a wrong {title}.")
        values[title] = value
    return values


def _inside(location: bytes, origin: bytes) -> bytes | None:
    """Return path and query of a `Location` that stays inside the service."""
    place = location.removeprefix(origin)
    return place if _PLACE.fullmatch(place) else None
