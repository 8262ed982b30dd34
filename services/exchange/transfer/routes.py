"""HTTP: read, check, call one action, answer."""

import asyncio
from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Depends, Request, Response

from kit import problems
from kit.app import DirectRoute
from kit.auth import Caller, allow
from kit.canonical import NotStrictJson, strict_loads
from kit.clock import Clock
from kit.db import Db
from kit.ids import PLAIN_ID
from services.exchange.transfer import actions, domain, schemas
from services.exchange.transfer.domain import Copies, Entry, Grant, refusals
from services.exchange.transfer.store import RowReader

BEHIND_SECONDS: Final = 2.0
MAX_QUERY: Final = 64 << 10
NDJSON: Final = "application/x-ndjson"
JSON: Final = "application/json"

SystemCaller = Annotated[Caller, Depends(allow(system=True))]


class Waiting(Protocol):
    """Our copies, and what a call waits on when they are behind what the gateway decided on."""

    copies: Copies

    async def wait_for(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until `reached()` holds, at most `seconds`; tell whether it does."""
        ...


router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=DirectRoute)

_RESOURCE: Final = {
    "name": "resource",
    "in": "path",
    "required": True,
    "description": "Plain id of the resource.",
    "schema": {"type": "string", "pattern": PLAIN_ID},
}
_CALLER_CODES: Final = (
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


def _content(media: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {media: {"schema": schema}}}


@router.post(
    "/{resource}/query",
    responses={
        200: {
            "description": "One page of rows, by the granted items",
            "content": {JSON: {"schema": schemas.ROWS_SCHEMA}},
        },
        **problems.declare(
            *_CALLER_CODES,
            "grant-missing",
            "grant-not-yet-valid",
            "grant-expired",
            "grant-suspended",
            "grant-ended",
            "mode-not-granted",
            "purpose-missing",
            "purpose-not-granted",
            "items-not-granted",
            "item-unknown",
            "item-not-filterable",
            "body-invalid",
            "cursor-invalid",
        ),
    },
    openapi_extra={
        "parameters": [_RESOURCE],
        "requestBody": _content(JSON, schemas.QUERY_SCHEMA),
    },
)
async def query(request: Request, caller: SystemCaller) -> Response:
    """Read granted items of rows by key or by equality filters."""
    state = request.app.state
    waiting: Waiting = state.waiting
    clock: Clock = state.clock
    reader: RowReader = state.reader
    grant = await _granted(waiting, request)
    entry = domain.require_entry(
        waiting.copies.entry_of(request.path_params["resource"]), request.path_params["resource"]
    )
    grant = domain.require_grant(
        grant,
        system=caller.id,
        entry=entry,
        purpose=request.headers.get("datong-purpose"),
        now=clock.now(),
    )
    asked = schemas.read_query(await _json(request))
    page = await actions.answer(reader, entry, grant, asked)
    return Response(
        page.body,
        media_type=JSON,
        headers={
            "Cache-Control": "no-store",
            "Datong-Internal-Rows": str(page.rows),
            "Datong-Internal-Items": ",".join(page.items),
            "Datong-Internal-Digest": sha256(page.body).hexdigest(),
            "Datong-Internal-Enforced": f"{grant.id}@{grant.version}",
        },
    )


@router.put(
    "/{resource}/rows",
    response_model=schemas.LoadedRows,
    responses=problems.declare(
        *_CALLER_CODES,
        "not-the-owner",
        "entry-not-published",
        "entry-changed",
        "rows-invalid",
        "body-too-large",
        "content-digest-mismatch",
    ),
    openapi_extra={
        "parameters": [_RESOURCE],
        "requestBody": _content(
            NDJSON, {"type": "string", "description": "One JSON object per line and row."}
        ),
    },
)
async def load_rows(request: Request, caller: SystemCaller) -> Response:
    """Replace the rows of a dataset of one's own, as a whole or not at all."""
    state = request.app.state
    waiting: Waiting = state.waiting
    clock: Clock = state.clock
    db: Db = state.db
    loads: asyncio.Semaphore = state.loads
    _require_type(request, NDJSON)
    resource = request.path_params["resource"]
    entry = await _owned(waiting, request, caller)
    async with loads, db.begin() as tx:
        loaded = await actions.load_rows(
            tx,
            entry,
            request.stream(),
            actor=caller.subject,
            call=caller.call,
            at=clock.now(),
            content_digest=request.headers.get("content-digest"),
        )
        # The upload may have taken minutes: the rows must fit the entry as it is now.
        domain.require_owner(
            domain.require_entry(waiting.copies.entry_of(resource), resource), caller.agency.id
        )
        if waiting.copies.entry_of(resource) != entry:
            raise refusals.EntryChanged(
                "Another version of the entry was published meanwhile; nothing was changed.",
                facts={"entry": entry.id, "entry_version": entry.version},
            )
    state.reader.forget(entry.id)
    answer = schemas.LoadedRows(
        rows=loaded.rows, digest=loaded.digest, entry_version=loaded.entry_version
    )
    body = answer.model_dump_json().encode()
    return Response(
        body,
        media_type=JSON,
        headers={
            "Cache-Control": "no-store",
            "Datong-Internal-Rows": str(loaded.rows),
            "Datong-Internal-Items": ",".join(entry.layout.by_name),
            "Datong-Internal-Digest": sha256(body).hexdigest(),
        },
    )


async def _granted(waiting: Waiting, request: Request) -> Grant | None:
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


async def _owned(waiting: Waiting, request: Request, caller: Caller) -> Entry:
    """Return the entry whose rows the caller may load, at least as new as the gateway's."""
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


def _require_type(request: Request, expected: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != expected:
        raise refusals.ContentTypeUnsupported(
            f"The body is to be {expected}.", facts={"expected": expected}
        )


async def _json(request: Request) -> Any:
    _require_type(request, JSON)
    try:
        return strict_loads(await request.body(), max_bytes=MAX_QUERY)
    except NotStrictJson as error:
        raise problems.BodyMalformed(str(error)) from error
