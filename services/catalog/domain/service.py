"""An owner's own service: where it is, whom to trust there, and what may be asked of it."""

import re
import ssl
from dataclasses import dataclass
from enum import StrEnum
from itertools import combinations
from typing import Final

from kit.addresses import may_be_public, parse_https
from services.catalog.domain.items import EntryInvalid, require_distinct

MAX_OPERATIONS: Final = 100
MAX_PATH: Final = 200
MAX_SEGMENTS: Final = 20
MAX_SECONDS: Final = 60
MAX_CA: Final = 32_768
"""Greatest length of the PEM text in characters: some twenty certificates."""

_PEM: Final = re.compile(
    r"\s*(?:-----BEGIN CERTIFICATE-----\s[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+"
)
_LITERAL: Final = re.compile(r"[A-Za-z0-9._~-]+")
_PARAMETER: Final = re.compile(r"\{[a-z][a-z0-9_]{0,62}\}")


class Method(StrEnum):
    """Methods that an operation may have."""

    GET = "GET"
    POST = "POST"
    PUT = "PUT"
    DELETE = "DELETE"
    PATCH = "PATCH"


@dataclass(frozen=True, slots=True)
class Operation:
    """Something that may be asked of a service; grants name it.

    Attributes:
        name: plain id, unique in the service.
        path: template below the service's address, such as `/enterprises/{code}`; a parameter
            stands for one whole segment. What the gateway takes is matched byte for byte.
    """

    name: str
    title: str
    method: Method
    path: str


@dataclass(frozen=True, slots=True)
class Service:
    """A service that the owner runs and the gateway calls.

    Attributes:
        address: `https://host:port`.
        ca: PEM certificates that the service's certificate is verified against; None for those
            that the gateway's system trusts.
        operations: 1 to `MAX_OPERATIONS`; no call fits two of them.
        seconds: within which an answer must begin; 1 to `MAX_SECONDS`.
    """

    address: str
    ca: str | None
    operations: tuple[Operation, ...]
    seconds: int


def require_service(service: Service) -> None:
    """Check a service.

    Raises:
        EntryInvalid: with a pointer to the member.
    """
    try:
        parse_https(service.address)
    except ValueError as error:
        raise EntryInvalid(
            "The address has the form https://host:port, in lower case, without user, path "
            "or query.",
            pointer="/service/address",
        ) from error
    if service.ca is not None:
        _require_certificates(service.ca)
    if not 1 <= service.seconds <= MAX_SECONDS:
        raise EntryInvalid(
            f"An answer is given 1 to {MAX_SECONDS} seconds.", pointer="/service/seconds"
        )
    _require_operations(service.operations)


def require_public(service: Service | None) -> None:
    """Check that the address of a service could be one of the public network.

    The gateway looks again at what a name leads to, each time it connects.

    Raises:
        EntryInvalid: it names a private, loopback, link-local or metadata address, or a host that
            only the inside knows.
    """
    if service is None:
        return
    try:
        host, _ = parse_https(service.address)
    except ValueError:
        return  # of another form: `require_service` says so
    if not may_be_public(host):
        raise EntryInvalid(
            "The address is a private one, or a name that is not known outside; this platform "
            "calls public addresses only.",
            pointer="/service/address",
        )


def _require_certificates(pem: str) -> None:
    pointer = "/service/ca"
    if len(pem) > MAX_CA or _PEM.fullmatch(pem) is None:
        raise EntryInvalid(
            f"The CA is PEM: certificates and nothing else, at most {MAX_CA} characters.",
            pointer=pointer,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise EntryInvalid("A certificate of the CA cannot be read.", pointer=pointer) from error


def _require_operations(operations: tuple[Operation, ...]) -> None:
    pointer = "/service/operations"
    if not 1 <= len(operations) <= MAX_OPERATIONS:
        raise EntryInvalid(f"A service has 1 to {MAX_OPERATIONS} operations.", pointer=pointer)
    require_distinct([operation.name for operation in operations], pointer, "/name")
    for index, operation in enumerate(operations):
        _require_path(operation.path, f"{pointer}/{index}/path")
    for (_, first), (index, second) in combinations(enumerate(operations), 2):
        if _overlap(first, second):
            raise EntryInvalid(
                f"A call could be meant for {first.name} as well as for {second.name}.",
                pointer=f"{pointer}/{index}/path",
            )


def _require_path(path: str, pointer: str) -> None:
    segments = path[1:].split("/")
    if not path.startswith("/") or len(path) > MAX_PATH or len(segments) > MAX_SEGMENTS:
        raise EntryInvalid(
            f"A path begins with a slash and has at most {MAX_SEGMENTS} segments and {MAX_PATH} "
            "characters.",
            pointer=pointer,
        )
    for segment in segments:
        if _PARAMETER.fullmatch(segment):
            continue
        if not _LITERAL.fullmatch(segment) or segment in (".", ".."):
            raise EntryInvalid(
                "A segment of a path is {a_parameter}, or letters, digits and . _ ~ - as they "
                "stand in a call; nothing is encoded.",
                pointer=pointer,
            )
    parameters = [segment for segment in segments if segment.startswith("{")]
    if len(set(parameters)) < len(parameters):
        raise EntryInvalid("A parameter occurs once in a path.", pointer=pointer)


def _overlap(first: Operation, second: Operation) -> bool:
    """Tell whether one call could fit both templates."""
    ours, theirs = first.path.split("/"), second.path.split("/")
    return (
        first.method is second.method
        and len(ours) == len(theirs)
        and all(
            a == b or a.startswith("{") or b.startswith("{")
            for a, b in zip(ours, theirs, strict=True)
        )
    )
