"""Pieces of HTTP that every service speaks alike: versions, revisions, pages, headers."""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, ClassVar, Final, Generic, TypeVar

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel

from kit.canonical import NotStrictJson, canonical, strict_loads
from kit.errors import DomainError, Kind
from kit.idempotency import Key, KeyRequired
from kit.states import Position
from kit.tokens import base64url

MAX_LIMIT: Final = 200
MAX_AFTER: Final = 16

Item = TypeVar("Item")


class PreconditionRequired(DomainError):
    """A change came without `If-Match` (RFC 6585 section 3)."""

    kind: ClassVar = Kind.PRECONDITION
    code: ClassVar = "precondition-required"


class PreconditionFailed(DomainError):
    """`If-Match` names another version than the present one (RFC 9110 section 13.1.1)."""

    kind: ClassVar = Kind.PRECONDITION
    code: ClassVar = "precondition-failed"


class CursorInvalid(DomainError):
    """The cursor is not one that this list gave out."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "cursor-invalid"


class ParameterInvalid(DomainError):
    """A header or parameter does not fit its schema."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "parameter-invalid"


IfMatch = Annotated[str | None, Header(alias="If-Match", description="ETag of the version read")]
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Largest number of items")]
Cursor = Annotated[str | None, Query(max_length=500, description="`next` of the page before")]


class Page(BaseModel, Generic[Item]):
    """One page of a list, in a stable order; `next` is null on the last page."""

    items: list[Item]
    next: str | None = None


def etag(version: int) -> str:
    """Return the strong ETag of a version."""
    return f'"{version}"'


def require_version(if_match: str | None, current: int) -> None:
    """Check that a change was made from the present version.

    Raises:
        PreconditionRequired: no `If-Match`.
        PreconditionFailed: another version, or not an ETag of ours.
    """
    if if_match is None:
        raise PreconditionRequired("Send the ETag of the version you read as If-Match.")
    if if_match != etag(current):
        raise PreconditionFailed(f"The present version is {current}.", facts={"version": current})


def add_revision(response: Response, positions: Iterable[Position]) -> None:
    """Name in `Datong-Revision` the states that this answer created, for read-your-writes."""
    text = ", ".join(
        f"{topic.removesuffix('.v1')}/{subject.split('/', 1)[1]}@{version}"
        for topic, subject, version in positions
    )
    if text:
        response.headers["Datong-Revision"] = text


def parse_after(header: str) -> list[Position]:
    """Read `Datong-After`: up to 16 of `topic/<id>@<version>`.

    Raises:
        ParameterInvalid: anything else.
    """
    parts = [part.strip() for part in header.split(",") if part.strip()]
    if len(parts) > MAX_AFTER:
        raise ParameterInvalid(f"Datong-After names more than {MAX_AFTER} states.")
    found: list[Position] = []
    for part in parts:
        name, slash, rest = part.partition("/")
        subject, at, version = rest.rpartition("@")
        if not (slash and at and version.isdecimal() and len(version) < 16 and "." in name):
            raise ParameterInvalid("Datong-After is not a list of topic/id@version.")
        found.append((f"{name}.v1", f"{name.split('.', 1)[1]}/{subject}", int(version)))
    return found


def encode_cursor(position: Sequence[str | int]) -> str:
    """Return the opaque cursor of a keyset position."""
    return base64url(canonical(list(position)))


def decode_cursor(cursor: str, shape: Sequence[type]) -> list[str | int]:
    """Return the keyset position in `cursor`.

    Raises:
        CursorInvalid: not of this shape, or with a text that no database takes.
    """
    try:
        value = strict_loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)), max_bytes=500)
    except (NotStrictJson, ValueError, binascii.Error) as error:
        raise CursorInvalid("The cursor is not one that this list gave out.") from error
    if (
        not isinstance(value, list)
        or [type(member) for member in value] != list(shape)
        or encode_cursor(value) != cursor  # the decoder passes over what is not base64
        or any(isinstance(member, str) and "\0" in member for member in value)
    ):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return value


async def required_key(
    request: Request,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Key:
    """Return the call's key; a FastAPI dependency.

    Raises:
        KeyRequired: the header is absent or empty.
    """
    if not idempotency_key:
        raise KeyRequired("Send an Idempotency-Key header: a new UUID for each new effect.")
    call = sha256(request.url.path.encode() + b"\0" + await request.body())
    return Key(request.scope["route"].path, idempotency_key, call.hexdigest())
