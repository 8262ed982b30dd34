"""HTTP of sharing: read, open the transaction, call one action, answer."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from kit import idempotency
from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.clock import Clock
from kit.db import Db, Tx
from kit.http import (
    Cursor,
    CursorInvalid,
    Limit,
    Page,
    add_revision,
    decode_cursor,
    encode_cursor,
    etag,
    required_key,
)
from kit.ids import PLAIN_ID, UUID_PATTERN, is_uuid
from kit.outbox import wait_published
from kit.problems import declare
from services.exchange.sharing import actions, domain, events
from services.exchange.sharing.clients import Copies
from services.exchange.sharing.domain import Act, Actor, Grant, GrantState, RequestState
from services.exchange.sharing.schemas import (
    GrantOnBus,
    GrantShape,
    Reason,
    RequestBody,
    RequestShape,
    Usable,
)
from services.exchange.sharing.store import Filters

router = APIRouter(prefix="/sharing/v1", route_class=StrictRoute)

Requester = Annotated[Caller, Depends(allow("sharing_office_head"))]
Official = Annotated[Caller, Depends(allow(person=True))]
User = Annotated[Caller, Depends(allow(person=True, system=True))]
Changer = Annotated[
    Caller,
    Depends(
        allow(
            "resource_administrator", "sharing_office_head", "security_officer", "competent_officer"
        )
    ),
]
Key = Annotated[idempotency.Key, Depends(required_key)]
RequestId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the request")]
GrantId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the grant")]
ResourceFilter = Annotated[str | None, Query(pattern=PLAIN_ID)]

_CALL: Final = ("role-missing", "not-through-gateway", "parameter-invalid", "permissions-behind")
_BODY: Final = ("body-malformed", "body-invalid")
_LISTING: Final = declare(*_CALL, "cursor-invalid")
_CHANGING: Final = {
    202: {"model": GrantOnBus, "description": "Done; the bus has not acknowledged it yet"},
    **declare(*_CALL, *_BODY, "other-agency", "grant-unknown", "grant-state-conflict"),
}
_ASKING: Final = declare(
    *_CALL,
    *_BODY,
    "idempotency-key-required",
    "idempotency-key-reused",
    "request-invalid",
    "period-invalid",
    "system-unknown",
    "items-unknown",
    "mode-not-offered",
    "class-conditional-closed",
    "class-not-shared",
    "resource-unknown",
    "resource-withdrawn",
    "permission-unreadable",
)


def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


def _copies(request: Request) -> Copies:
    copies: Copies = request.app.state.copies
    return copies


def _bus_seconds(request: Request) -> float:
    seconds: float = request.app.state.bus_seconds
    return seconds


Database = Annotated[Db, Depends(_db)]
Now = Annotated[Clock, Depends(_clock)]
BusSeconds = Annotated[float, Depends(_bus_seconds)]
Known = Annotated[Copies, Depends(_copies)]


@router.post("/requests", status_code=201, responses=_ASKING)
async def create_request(
    body: RequestBody,
    caller: Requester,
    key: Key,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Ask for the use of a resource by systems of the caller's agency.

    An unconditional resource is granted in the answer. A refusal that the law demands is stored
    and answered 403 with the law. The same key with the same body has one effect and one answer.
    """
    async with db.begin() as tx:
        before = await idempotency.replay(tx, caller.subject, key)
        if before is not None:
            answered = RequestShape.model_validate(before[1])
        else:
            actor = _actor(caller, copies)
            answered = RequestShape.of(
                *await actions.create_request(tx, copies, body.to_ask(), actor, clock.now())
            )
            await _remember(tx, caller, key, answered)
    refusal = answered.refusal
    if refusal is not None:  # outside the block: the refusal is already committed
        raise domain.refusal(
            domain.Refused(refusal.code, refusal.legal_basis_title, refusal.legal_basis_article)
        )
    response.headers["Location"] = f"/sharing/v1/requests/{answered.id}"
    if answered.grant is not None:
        grant = answered.grant
        add_revision(response, [(events.GRANT, f"grant/{grant.id}", grant.version)])
    return answered


@router.get("/requests", responses=_LISTING)
async def list_requests(
    caller: Official,
    db: Database,
    copies: Known,
    resource: ResourceFilter = None,
    state: RequestState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RequestShape]:
    """List the requests that the caller's agency made or received; auditors see all."""
    actor, after = _actor(caller, copies), _position(cursor)
    async with db.begin() as tx:
        found = await actions.list_requests(tx, actor, Filters(resource, state), after, limit + 1)
    shown = [RequestShape.of(*answered) for answered in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].id]) if len(found) > limit else None)


@router.get("/requests/{request}", responses=declare(*_CALL, "request-unknown"))
async def get_request(
    request: RequestId, caller: Official, db: Database, copies: Known
) -> RequestShape:
    """Return one request with its grant."""
    async with db.begin() as tx:
        answered = await actions.get_request(tx, request, _actor(caller, copies))
    return RequestShape.of(*answered)


@router.get("/grants", responses=_LISTING)
async def list_grants(
    caller: Official,
    db: Database,
    copies: Known,
    resource: ResourceFilter = None,
    state: GrantState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[GrantShape]:
    """List the grants that the caller's agency gave or received; auditors see all."""
    actor, after = _actor(caller, copies), _position(cursor)
    async with db.begin() as tx:
        found = await actions.list_grants(tx, actor, Filters(resource, state), after, limit + 1)
    shown = [GrantShape.of(grant) for grant in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].id]) if len(found) > limit else None)


@router.get("/grants/{grant}", responses=declare(*_CALL, "grant-unknown"))
async def get_grant(
    grant: GrantId, caller: Official, db: Database, copies: Known, response: Response
) -> GrantShape:
    """Return one grant."""
    async with db.begin() as tx:
        found = await actions.get_grant(tx, grant, _actor(caller, copies))
    response.headers["ETag"] = etag(found.version)
    return GrantShape.of(found)


@router.post("/grants/{grant}/suspensions", responses=_CHANGING)
async def suspend_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
    bus_seconds: BusSeconds,
) -> GrantOnBus:
    """Suspend a grant: by its owner or the owner's competent department."""
    actor = _actor(caller, copies)
    async with db.begin() as tx:
        changed = await actions.change_grant(
            tx, grant, Act.SUSPEND, body.reason, actor, clock.now()
        )
    return await _changed(db, response, bus_seconds, *changed)


@router.post("/grants/{grant}/resumptions", responses=_CHANGING)
async def resume_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
    bus_seconds: BusSeconds,
) -> GrantOnBus:
    """Resume a suspended grant: by its owner or the owner's competent department."""
    actor = _actor(caller, copies)
    async with db.begin() as tx:
        changed = await actions.change_grant(tx, grant, Act.RESUME, body.reason, actor, clock.now())
    return await _changed(db, response, bus_seconds, *changed)


@router.post("/grants/{grant}/endings", responses=_CHANGING)
async def end_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
    bus_seconds: BusSeconds,
) -> GrantOnBus:
    """End a grant for good: by either side or the owner's competent department."""
    actor = _actor(caller, copies)
    async with db.begin() as tx:
        changed = await actions.change_grant(tx, grant, Act.END, body.reason, actor, clock.now())
    return await _changed(db, response, bus_seconds, *changed)


@router.get("/usable", responses=_LISTING)
async def list_usable(
    caller: User,
    db: Database,
    clock: Now,
    system: Annotated[
        str | None, Query(pattern=UUID_PATTERN, description="For people: only this system's")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[Usable]:
    """List what the caller may use now: a system its own grants, people those of their agency."""
    after = _position(cursor)
    asking = caller.id if caller.kind == "system" else system
    async with db.begin() as tx:
        found = await actions.list_usable(
            tx, caller.agency.id, asking, clock.now(), after, limit + 1
        )
    shown = [Usable.of(grant) for grant in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].grant]) if len(found) > limit else None)


def _actor(caller: Caller, copies: Copies) -> Actor:
    supervised: frozenset[str] = frozenset()
    if caller.holds("competent_officer"):
        supervised = copies.supervised_by(caller.agency.id)
    return Actor(caller.subject, caller.agency.id, caller.roles, supervised, caller.call or None)


async def _remember(tx: Tx, caller: Caller, key: Key, answered: RequestShape) -> None:
    status = 201 if answered.refusal is None else 403
    await idempotency.remember(tx, caller.subject, key, status, answered.model_dump(mode="json"))


async def _changed(
    db: Db, response: Response, bus_seconds: float, grant: Grant, rows: list[int]
) -> GrantOnBus:
    """Answer 200 once the bus has the change, 202 when that takes too long."""
    on_bus = await wait_published(db, rows, bus_seconds)
    response.status_code = 200 if on_bus else 202
    response.headers["ETag"] = etag(grant.version)
    add_revision(response, [(events.GRANT, events.subject(grant), grant.version)])
    return GrantOnBus(on_bus=on_bus, grant=GrantShape.of(grant))


def _position(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    position = str(decode_cursor(cursor, (str,))[0])
    if not is_uuid(position):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return position
