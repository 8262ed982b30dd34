"""The head of a call, normalised or refused; what is passed on is named, all else is dropped.

Hop-by-hop fields, `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, everything called
`Datong-Internal-*` and every field that this module does not name never reach a part.
"""

import re
from collections.abc import Sequence
from typing import Final

from gateway.edge.refusal import EdgeRefusal, malformed
from gateway.edge.routes import Match, Route, Router
from kit.ids import is_uuid

MAX_HEADERS: Final = 64
MAX_HEADER_BYTES: Final = 16384
MAX_AFTER: Final = 16
MAX_TIMEOUT: Final = 300.0

FORWARDED: Final = (
    "Authorization",
    "Content-Type",
    "Content-Digest",
    "Accept",
    "If-Match",
    "If-None-Match",
    "If-Range",
    "Range",
    "Idempotency-Key",
    "Datong-Purpose",
    "Datong-Case",
    "Datong-Grant",
    "Datong-After",
    "Datong-Timeout",
)
"""Passed on as they came. `Content-Length` and `Datong-Call` are written anew."""
READ: Final = (
    "Host",
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Upgrade",
    "Datong-Call",
)
"""Read by the edge and not passed on."""
_LISTS: Final = frozenset({"Accept", "If-Match", "If-None-Match", "Connection"})
"""Fields whose repetition means a longer list (RFC 9110 section 5.3)."""

_HOST = re.compile(rb"[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?")
_METHOD = frozenset(
    {b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"},
)
_PURPOSE = re.compile(rb"[!-~]{1,64}")
_TIMEOUT = re.compile(rb"[0-9]{1,3}(?:\.[0-9]{1,3})?")
_AFTER = re.compile(r"([a-z]{1,32})\.([a-z]{1,32})/([A-Za-z0-9_~./-]{1,128})@([0-9]{1,15})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def _variants() -> dict[bytes, tuple[str, bytes | None]]:
    """Return what is known of a field by its usual spellings: its name and what it begins with."""
    known: dict[bytes, tuple[str, bytes | None]] = {}
    for name in FORWARDED + READ:
        begin = b"\r\n" + name.encode() + b": " if name in FORWARDED else None
        known[name.encode()] = known[name.lower().encode()] = (name, begin)
    return known


_KNOWN: Final = _variants()


class Head:
    """A call as far as its head tells it.

    Attributes:
        route: the operation that is called.
        target: path and query, byte for byte as they came.
        resource: plain id in the path of a data route.
        rest: what stands for `{path}` in the route, with the slash before it.
        forwarded: header lines for the part, each beginning with CR LF.
        authorization: value of Authorization.
        call: Datong-Call, or None.
        purpose, case, grant: of their Datong headers.
        after: topic, subject and version per state in Datong-After, such as
            `("sharing.grant.v1", "grant/<id>", 7)` for `sharing.grant/<id>@7`.
        timeout: seconds, 0 < timeout <= 300, or None.
        length: Content-Length; None without a body or with a chunked one.
        chunked: whether the body comes in chunks.
        closes: whether the caller wants the connection closed after the answer.
        expects: whether the caller waits for 100 Continue.
    """

    __slots__ = (
        "after",
        "authorization",
        "call",
        "case",
        "chunked",
        "closes",
        "expects",
        "forwarded",
        "grant",
        "length",
        "purpose",
        "resource",
        "rest",
        "route",
        "target",
        "timeout",
    )

    def __init__(self, match: Match, target: bytes) -> None:
        self.route: Route = match.route
        self.target = target
        self.resource = match.resource
        self.rest = match.rest
        self.forwarded: list[bytes] = []
        self.authorization: bytes | None = None
        self.call: str | None = None
        self.purpose: str | None = None
        self.case: str | None = None
        self.grant: str | None = None
        self.after: list[tuple[str, str, int]] = []
        self.timeout: float | None = None
        self.length: int | None = None
        self.chunked = False
        self.closes = False
        self.expects = False


def read_head(
    router: Router, method: bytes, target: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> Head:
    """Return the head that a request line and its header fields make.

    Args:
        headers: as parsed: names are tokens, values have no CR, LF or NUL.

    Raises:
        EdgeRefusal: any rule of the edge is broken.
    """
    values, lines = _sort(target, headers)
    if method not in _METHOD:
        raise malformed("The method is not one of HTTP's usual ones.")
    host = values.get("Host")
    if host is None or _HOST.fullmatch(host) is None:
        raise malformed("A call has exactly one valid Host header.")
    head = Head(router.match(method, target), target)
    head.forwarded = lines
    head.authorization = values.get("Authorization")
    _read_framing(head, values)
    _read_datong(head, values)
    return head


def _sort(
    target: bytes, headers: Sequence[tuple[bytes, bytes]]
) -> tuple[dict[str, bytes], list[bytes]]:
    """Return the values that the edge reads, by name, and the lines that it passes on."""
    if len(headers) > MAX_HEADERS:
        raise EdgeRefusal("headers-too-large", f"The call has more than {MAX_HEADERS} headers.")
    size = len(target)
    values: dict[str, bytes] = {}
    lines: list[bytes] = []
    for name, value in headers:
        size += len(name) + len(value) + 4
        known = _KNOWN.get(name) or _known_otherwise(name)
        if known is None:
            continue
        title, begin = known
        if title in values:
            value = _repeated(title, values[title], value)
            lines = [line for line in lines if begin is None or not line.startswith(begin)]
        values[title] = value
        if begin is not None:
            if not value.isascii() and title != "Datong-Case":
                raise malformed(f"The header {title} contains a character that is not ASCII.")
            lines.append(begin + value)
    if size > MAX_HEADER_BYTES:
        raise EdgeRefusal(
            "headers-too-large", f"Request line and headers exceed {MAX_HEADER_BYTES} bytes."
        )
    return values, lines


def _known_otherwise(name: bytes) -> tuple[str, bytes | None] | None:
    """Return what is known of a field in an unusual spelling."""
    if b"_" in name:
        # Some servers read X_Y as X-Y: a name that can be taken for another is refused.
        raise malformed("A header name contains an underscore.")
    return _KNOWN.get(name.lower())


def _repeated(title: str, before: bytes, value: bytes) -> bytes:
    if title not in _LISTS:
        raise malformed(f"The header {title} stands more than once.")
    return before + b", " + value


def _read_framing(head: Head, values: dict[str, bytes]) -> None:
    """Read how the body is framed and whether the connection lives on."""
    coding = values.get("Transfer-Encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or "Content-Length" in values:
            raise malformed("A body has a Content-Length, or chunked as its only coding.")
        head.chunked = True
    length = values.get("Content-Length")
    if length is not None:
        if not length.isdigit():
            raise malformed("Content-Length is not a number.")
        head.length = int(length)
        if head.length > head.route.body_limit:
            raise body_too_large(head.route.body_limit)
    connection = values.get("Connection")
    if connection is not None and connection not in (b"keep-alive", b"Keep-Alive"):
        _read_connection(head, connection)
    if "Expect" in values or "Upgrade" in values:
        _read_expectation(head, values)


def _read_expectation(head: Head, values: dict[str, bytes]) -> None:
    if "Upgrade" in values:
        raise malformed("The gateway speaks HTTP/1.1 only and upgrades to nothing.")
    if values["Expect"].lower() != b"100-continue":
        raise malformed("The only expectation that can be met is 100-continue.")
    head.expects = True


def _read_connection(head: Head, value: bytes) -> None:
    for option in value.lower().split(b","):
        name = option.strip()
        if name == b"close":
            head.closes = True
        elif name in _KNOWN:
            # A hop-by-hop mark on such a field would have it dropped between two checks.
            raise malformed("The Connection header names a field that must arrive.")


def body_too_large(limit: int) -> EdgeRefusal:
    """Return the refusal of a body over `limit` bytes."""
    what = f"at most {limit} bytes" if limit else "none"
    return EdgeRefusal("body-too-large", f"The body this route takes: {what}.", {"limit": limit})


def _read_datong(head: Head, values: dict[str, bytes]) -> None:
    """Read the Datong headers; each has one form."""
    call = values.get("Datong-Call")
    if call is not None:
        head.call = _uuid("Datong-Call", call)
    grant = values.get("Datong-Grant")
    if grant is not None:
        head.grant = _uuid("Datong-Grant", grant)
    purpose = values.get("Datong-Purpose")
    if purpose:
        if _PURPOSE.fullmatch(purpose) is None:
            raise malformed("Datong-Purpose is a code of at most 64 printable characters.")
        head.purpose = purpose.decode()
    case = values.get("Datong-Case")
    if case:
        head.case = _case(case)
    after = values.get("Datong-After")
    if after:
        head.after = _after(after)
    timeout = values.get("Datong-Timeout")
    if timeout is not None:
        head.timeout = _timeout(timeout)


def _uuid(title: str, value: bytes) -> str:
    text = value.decode("latin-1")
    if not is_uuid(text):
        raise malformed(f"{title} is not a UUID in lower case.")
    return text


def _case(value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError:
        raise malformed("Datong-Case is not UTF-8.") from None
    if len(text) > 128 or _CONTROL.search(text) is not None:
        raise malformed("Datong-Case has at most 128 characters and no control characters.")
    return text


def _after(value: bytes) -> list[tuple[str, str, int]]:
    names = value.decode().split(",")
    found = [_AFTER.fullmatch(name.strip()) for name in names]
    if len(found) > MAX_AFTER or None in found:
        raise malformed(f"Datong-After names up to {MAX_AFTER} of topic/id@version.")
    return [
        (f"{match[1]}.{match[2]}.v1", f"{match[2]}/{match[3]}", int(match[4]))
        for match in found
        if match is not None
    ]


def _timeout(value: bytes) -> float:
    seconds = float(value) if _TIMEOUT.fullmatch(value) is not None else 0.0
    if not 0.0 < seconds <= MAX_TIMEOUT:
        raise malformed(f"Datong-Timeout is a number of seconds up to {MAX_TIMEOUT:.0f}.")
    return seconds
