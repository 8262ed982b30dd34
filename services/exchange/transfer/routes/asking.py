"""What all routes ask of a call before they act: who, by which grant or entry, with which body."""

from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Request

from kit import problems
from kit.auth import Caller, allow
from kit.canonical import NotStrictJson, strict_loads
from kit.ids import PLAIN_ID
from services.exchange.transfer import domain
from services.exchange.transfer.domain import Copies, Entry, Grant, refusals

BEHIND_SECONDS: Final = 2.0
MAX_JSON: Final = 64 << 10
JSON: Final = "application/json"

SystemCaller = Annotated[Caller, Depends(allow(system=True))]


RESOURCE: Final = {
    "name": "resource",
    "in": "path",
    "required": True,
    "description": "Plain id of the resource.",
    "schema": {"type": "string", "pattern": PLAIN_ID},
}
CALLER_CODES: Final = (
    "certificate-missing",
    "certificate-invalid",
    "certificate-revoked",
    "token-missing",
    "token-invalid",
    "token-not-bound",
    "agency-suspended",
    "caller-suspended",
    "role-missing",
    "not-through-gateway",
    "resource-unknown",
    "resource-withdrawn",
    "permissions-behind",
    "permission-unreadable",
    "service-unavailable",
    "body-malformed",
    "content-type-unsupported",
)


class Waiting(Protocol):
    """Our copies, and what a call waits on when they are behind what the gateway decided on."""

    copies: Copies

    async def wait_for(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until `reached()` holds, at most `seconds`; tell whether it does."""
        ...


def content(media: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return the OpenAPI description of a required body."""
    return {"required": True, "content": {media: {"schema": schema}}}


async def granted(waiting: Waiting, request: Request) -> Grant | None:
    """Return our copy of the grant that the gateway decided by, at least as new as its own.

    The entry that it was given on comes by another topic, so it is waited for likewise.

    Raises:
        PermissionsBehind: ours stayed older for 2 s.
    """
    named = _reference(request, "datong-internal-grant")
    if named is None:
        return None
    grant_id, version = named
    copies = waiting.copies

    def reached() -> bool:
        grant = copies.grants.get(grant_id)
        if grant is None or grant.version < version:
            return False
        return _has_entry(copies, grant.entry, grant.entry_version)

    await _await(waiting, reached, f"the grant {grant_id}")
    return copies.grants[grant_id]


async def owned(waiting: Waiting, request: Request, caller: Caller) -> Entry:
    """Return the entry whose rows the caller may publish, at least as new as the gateway's."""
    named = _reference(request, "datong-internal-entry")
    if named is not None:
        entry_id, version = named
        await _await(
            waiting,
            lambda: _has_entry(waiting.copies, entry_id, version),
            f"the entry {entry_id}",
        )
    resource = request.path_params["resource"]
    entry = domain.require_entry(waiting.copies.entry_of(resource), resource)
    domain.require_owner(entry, caller.agency.id)
    return entry


def _has_entry(copies: Copies, entry_id: str, version: int) -> bool:
    known = copies.entries.get(entry_id)
    return known is not None and known.version >= version


async def _await(waiting: Waiting, reached: Callable[[], bool], what: str) -> None:
    if not reached() and not await waiting.wait_for(reached, BEHIND_SECONDS):
        raise refusals.PermissionsBehind(
            f"Transfer did not hear of {what} in that version within two seconds."
        )


def _reference(request: Request, header: str) -> tuple[str, int] | None:
    """Return id and version of `<id>@<version>`, or None when the gateway named nothing."""
    subject, at, version = request.headers.get(header, "").partition("@")
    return (subject, int(version)) if at and version.isdecimal() and len(version) < 16 else None


def require_type(request: Request, expected: str) -> None:
    """Refuse a body of another media type than `expected`."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise refusals.ContentTypeUnsupported(
            f"The body is to be {expected}.", facts={"expected": expected}
        )


async def read_json(request: Request) -> Any:
    """Return the body as strict JSON, at most 64 KiB."""
    require_type(request, JSON)
    try:
        return strict_loads(await request.body(), max_bytes=MAX_JSON)
    except NotStrictJson as error:
        raise problems.BodyMalformed(str(error)) from error
