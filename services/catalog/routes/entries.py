"""Routes of entries."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.http import (
    Cursor,
    CursorInvalid,
    IfMatch,
    Limit,
    Page,
    add_revision,
    decode_cursor,
    encode_cursor,
    etag,
    require_version,
)
from kit.ids import PLAIN_ID, UUID_PATTERN, is_uuid, uuid7
from kit.outbox import wait_published
from kit.problems import declare
from services.catalog import actions, events
from services.catalog.actions import Precondition
from services.catalog.domain import (
    Actor,
    Content,
    Entry,
    ShareClass,
    VersionState,
    require_public,
)
from services.catalog.routes.asking import CALL, Anybody, Database, Now
from services.catalog.schemas import (
    LINE,
    EntryContent,
    EntryOnBus,
    EntryShape,
    EntrySummary,
    EntryVersion,
    Reason,
)
from services.catalog.store import Filters

router = APIRouter(prefix="/catalog/v1", route_class=StrictRoute)

Registrar = Annotated[Caller, Depends(allow("registrar"))]
Reviewer = Annotated[Caller, Depends(allow("reviewer"))]
Withdrawer = Annotated[Caller, Depends(allow("reviewer", "sharing_office_head"))]
EntryId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the entry")]
MAX_VERSION: Final = 1_000_000

_ACT: Final = (
    *CALL,
    "other-agency",
    "entry-unknown",
    "entry-state-conflict",
    "precondition-failed",
)
_BODY: Final = ("body-malformed", "body-invalid")
_CONTENT: Final = (*_BODY, "entry-invalid", "legal-basis-required", "resource-taken")


async def _bus_seconds(request: Request) -> float:
    seconds: float = request.app.state.bus_seconds
    return seconds


def _content(body: EntryContent, request: Request) -> Content:
    """Return the content of a body.

    Raises:
        EntryInvalid: its service has an address that this platform does not call.
    """
    content = body.to_content()
    if not request.app.state.allow_private_owners:
        require_public(content.service)
    return content


BusSeconds = Annotated[float, Depends(_bus_seconds)]


@router.post("/entries", status_code=201, responses=declare(*CALL, *_CONTENT))
async def create_entry(
    body: EntryContent,
    caller: Registrar,
    db: Database,
    clock: Now,
    request: Request,
    response: Response,
) -> EntryShape:
    """Create the draft of a new entry of the caller's agency."""
    async with db.begin() as tx:
        entry = await actions.create_entry(
            tx, uuid7(), body.resource, _content(body, request), _actor(caller), clock.now()
        )
    response.headers["Location"] = f"/catalog/v1/entries/{entry.id}"
    return _answer(entry, caller, response)


@router.get("/entries", responses=declare(*CALL, "cursor-invalid"))
async def list_entries(
    caller: Anybody,
    db: Database,
    state: Literal["published", "withdrawn", "draft", "submitted"] = "published",
    agency: Annotated[str | None, Query(pattern=PLAIN_ID)] = None,
    share_class: ShareClass | None = None,
    resource: Annotated[str | None, Query(pattern=PLAIN_ID)] = None,
    text: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=100,
            pattern=LINE,
            description="A piece of the name, summary or resource id",
        ),
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[EntrySummary]:
    """List entries in the order in which they were created.

    Drafts and submitted versions are listed for the caller's own agency only.
    """
    filters = Filters(VersionState(state), caller.agency.id, agency, share_class, resource, text)
    async with db.begin() as tx:
        found = await actions.list_entries(tx, filters, _position(cursor), limit + 1)
    more = len(found) > limit
    return Page(
        items=[EntrySummary.of(entry, version) for entry, version in found[:limit]],
        next=encode_cursor([found[limit - 1][0].id]) if more else None,
    )


@router.get("/entries/{entry}", responses=declare(*CALL, "entry-unknown"))
async def get_entry(
    entry: EntryId, caller: Anybody, db: Database, response: Response
) -> EntryShape:
    """Return an entry: its published version, and its draft for its own agency."""
    async with db.begin() as tx:
        found = await actions.get_entry(tx, entry, caller.agency.id)
    return _answer(found, caller, response)


@router.get("/entries/{entry}/versions/{version}", responses=declare(*CALL, "entry-unknown"))
async def get_entry_version(
    entry: EntryId,
    version: Annotated[int, Path(ge=1, le=MAX_VERSION)],
    caller: Anybody,
    db: Database,
) -> EntryVersion:
    """Return one version; what was published never changes."""
    async with db.begin() as tx:
        found, shown = await actions.get_version(tx, entry, version, caller.agency.id)
    return EntryVersion.of(found, shown, own=found.agency == caller.agency.id)


@router.put("/entries/{entry}/draft", responses=declare(*_ACT, *_CONTENT, "precondition-required"))
async def put_draft(
    entry: EntryId,
    body: EntryContent,
    caller: Registrar,
    db: Database,
    clock: Now,
    request: Request,
    response: Response,
    if_match: IfMatch = None,
) -> EntryShape:
    """Replace the draft; `If-Match` names the revision that it was made from."""
    async with db.begin() as tx:
        found = await actions.replace_draft(
            tx,
            entry,
            body.resource,
            _content(body, request),
            _actor(caller),
            clock.now(),
            lambda current: require_version(if_match, current),
        )
    return _answer(found, caller, response)


@router.post("/entries/{entry}/drafts", status_code=201, responses=declare(*_ACT))
async def create_draft(
    entry: EntryId,
    caller: Registrar,
    db: Database,
    clock: Now,
    response: Response,
    if_match: IfMatch = None,
) -> EntryShape:
    """Begin the draft of the next version with the published content."""
    async with db.begin() as tx:
        found = await actions.begin_draft(
            tx, entry, _actor(caller), clock.now(), _optional(if_match)
        )
    return _answer(found, caller, response)


@router.post("/entries/{entry}/submissions", responses=declare(*_ACT))
async def submit_entry(
    entry: EntryId,
    caller: Registrar,
    db: Database,
    clock: Now,
    response: Response,
    if_match: IfMatch = None,
) -> EntryShape:
    """Submit the draft for approval."""
    async with db.begin() as tx:
        found = await actions.submit_entry(
            tx, entry, _actor(caller), clock.now(), _optional(if_match)
        )
    return _answer(found, caller, response)


@router.post("/entries/{entry}/approvals", responses=declare(*_ACT, "same-person"))
async def approve_entry(
    entry: EntryId,
    caller: Reviewer,
    db: Database,
    clock: Now,
    response: Response,
    if_match: IfMatch = None,
) -> EntryShape:
    """Approve the submitted version, which publishes it. Not for those who wrote it."""
    async with db.begin() as tx:
        found = await actions.approve_entry(
            tx, entry, _actor(caller), clock.now(), _optional(if_match)
        )
    _add_revision(response, found)
    return _answer(found, caller, response)


@router.post("/entries/{entry}/rejections", responses=declare(*_ACT, *_BODY))
async def reject_entry(
    entry: EntryId,
    body: Reason,
    caller: Reviewer,
    db: Database,
    clock: Now,
    response: Response,
    if_match: IfMatch = None,
) -> EntryShape:
    """Send the submitted version back to its writers with a reason."""
    async with db.begin() as tx:
        found = await actions.reject_entry(
            tx, entry, body.reason, _actor(caller), clock.now(), _optional(if_match)
        )
    return _answer(found, caller, response)


@router.post(
    "/entries/{entry}/withdrawals",
    responses={202: {"model": EntryOnBus}, **declare(*_ACT, *_BODY)},
)
async def withdraw_entry(
    entry: EntryId,
    body: Reason,
    caller: Withdrawer,
    db: Database,
    clock: Now,
    response: Response,
    bus_seconds: BusSeconds,
    if_match: IfMatch = None,
) -> EntryOnBus:
    """Withdraw a published entry for good; its grants end.

    202 with `on_bus: false` when the bus has not acknowledged it within two seconds.
    """
    async with db.begin() as tx:
        found, rows = await actions.withdraw_entry(
            tx, entry, body.reason, _actor(caller), clock.now(), _optional(if_match)
        )
    on_bus = await wait_published(db, rows, bus_seconds)
    response.status_code = 200 if on_bus else 202
    _add_revision(response, found)
    return EntryOnBus(on_bus=on_bus, entry=_answer(found, caller, response))


def _actor(caller: Caller) -> Actor:
    return Actor(caller.subject, caller.agency.id, caller.call or None)


def _answer(entry: Entry, caller: Caller, response: Response) -> EntryShape:
    response.headers["ETag"] = etag(entry.revision)
    return EntryShape.of(entry, caller.agency.id)


def _add_revision(response: Response, entry: Entry) -> None:
    add_revision(response, [(events.ENTRY, events.subject(entry), entry.revision)])


def _optional(if_match: str | None) -> Precondition:
    """Return the check of an `If-Match` that may be absent."""
    return lambda current: None if if_match is None else require_version(if_match, current)


def _position(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    position = str(decode_cursor(cursor, (str,))[0])
    if not is_uuid(position):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return position
