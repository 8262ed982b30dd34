"""Grants: list, read, renew, narrow, suspend, resume, end; what may be used now."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Concatenate, Final, ParamSpec

from fastapi import APIRouter, Depends, Query, Response

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.clock import Clock
from kit.db import Db, Tx
from kit.http import Cursor, Limit, Page, add_revision, encode_cursor, etag
from kit.ids import UUID_PATTERN
from kit.outbox import wait_published
from kit.problems import declare
from services.exchange.sharing.actions import grants, requests
from services.exchange.sharing.clients import Copies
from services.exchange.sharing.domain import Act, Actor, Grant, GrantState
from services.exchange.sharing.routes.context import (
    BODY,
    CALL,
    NEW,
    BusSeconds,
    Database,
    GrantId,
    Key,
    Known,
    Now,
    ResourceFilter,
    Settled,
    actor_of,
    created,
    position,
    position_of,
    remember,
    replayed,
)
from services.exchange.sharing.schemas.grants import (
    GrantNarrowing,
    GrantOnBus,
    GrantShape,
    Usable,
)
from services.exchange.sharing.schemas.requests import RenewalBody, RequestShape
from services.exchange.sharing.schemas.texts import Reason
from services.exchange.sharing.store.terms import Filters

_Said = ParamSpec("_Said")


@dataclass(frozen=True, slots=True)
class _Changing:
    """How every change of a grant is made: then the answer waits for the bus to have it."""

    db: Db
    clock: Clock
    copies: Copies
    response: Response
    bus_seconds: float

    async def change(
        self,
        caller: Caller,
        act: Callable[Concatenate[Tx, Actor, datetime, _Said], Awaitable[tuple[Grant, list[int]]]],
        *said: _Said.args,
        **named: _Said.kwargs,
    ) -> GrantOnBus:
        """Answer 200 once the bus has what `act` changes, 202 when that takes too long."""
        actor, now = actor_of(caller, self.copies), self.clock.now()
        async with self.db.begin() as tx:
            grant, rows = await act(tx, actor, now, *said, **named)
        on_bus = await wait_published(self.db, rows, self.bus_seconds)
        self.response.status_code = 200 if on_bus else 202
        self.response.headers["ETag"] = etag(grant.version)
        shape = GrantShape.of(grant, self.clock.now())
        add_revision(self.response, [position_of(shape)])
        return GrantOnBus(on_bus=on_bus, grant=shape)


async def _changing(
    db: Database, clock: Now, copies: Known, response: Response, bus_seconds: BusSeconds
) -> _Changing:
    return _Changing(db, clock, copies, response, bus_seconds)


Changing = Annotated[_Changing, Depends(_changing)]

router = APIRouter(prefix="/sharing/v1", route_class=StrictRoute)

Official = Annotated[Caller, Depends(allow(person=True))]
User = Annotated[Caller, Depends(allow(person=True, system=True))]
Requester = Annotated[Caller, Depends(allow("technical_officer", "sharing_office_head"))]
Administrator = Annotated[Caller, Depends(allow("resource_administrator"))]
Changer = Annotated[
    Caller,
    Depends(
        allow(
            "resource_administrator", "sharing_office_head", "security_officer", "competent_officer"
        )
    ),
]

_LISTING: Final = declare(*CALL, "cursor-invalid")
_CHANGE: Final = (*CALL, *BODY, "other-agency", "grant-unknown", "grant-state-conflict")
_ON_BUS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": GrantOnBus, "description": "Done; the bus has not acknowledged it yet"}
}
_CHANGING: Final[dict[int | str, dict[str, Any]]] = {**_ON_BUS, **declare(*_CHANGE)}


@router.get("/grants", responses=_LISTING)
async def list_grants(
    caller: Official,
    db: Database,
    clock: Now,
    copies: Known,
    resource: ResourceFilter = None,
    state: GrantState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[GrantShape]:
    """List the grants that the caller's agency gave or received; auditors see all."""
    actor, after, now = actor_of(caller, copies), position(cursor), clock.now()
    async with db.begin() as tx:
        found = await grants.list_visible(tx, actor, Filters(resource, state), after, limit + 1)
    shown = [GrantShape.of(grant, now) for grant in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].id]) if len(found) > limit else None)


@router.get("/grants/{grant}", responses=declare(*CALL, "grant-unknown"))
async def get_grant(
    grant: GrantId,
    caller: Official,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> GrantShape:
    """Return one grant."""
    async with db.begin() as tx:
        found = await grants.get(tx, grant, actor_of(caller, copies))
    response.headers["ETag"] = etag(found.version)
    return GrantShape.of(found, clock.now())


@router.post(
    "/grants/{grant}/renewals",
    status_code=201,
    responses=declare(
        *_CHANGE,
        *NEW,
        "request-state-conflict",
        "period-invalid",
        "class-not-shared",
        "resource-unknown",
        "resource-withdrawn",
        "permission-unreadable",
        "permissions-stale",
    ),
    dependencies=[Settled],
)
async def renew_grant(
    grant: GrantId,
    body: RenewalBody,
    caller: Requester,
    key: Key,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Ask for a longer period of a grant: by its consumer, in the procedure of its class.

    What the grant covers stays, and it keeps its id: what was subscribed to under it goes on. Of
    an unconditional resource it is renewed in the answer.
    """
    async with db.begin() as tx:
        answered = await replayed(tx, caller, key)
        if answered is None:
            actor, now = actor_of(caller, copies), clock.now()
            found = await requests.renew(tx, copies, grant, body.to_renewal(), actor, now)
            answered = RequestShape.of(*found, actor, now)
            await remember(tx, caller, key, answered)
    return created(response, answered)


@router.post(
    "/grants/{grant}/narrowings",
    responses={
        **_ON_BUS,
        **declare(
            *_CHANGE,
            "terms-not-narrower",
            "items-unknown",
            "item-not-filterable",
            "filter-invalid",
            "mask-invalid",
            "permission-unreadable",
        ),
    },
)
async def narrow_grant(
    grant: GrantId,
    body: GrantNarrowing,
    caller: Administrator,
    changing: Changing,
) -> GrantOnBus:
    """Leave less of a grant: by its owner's resource administrator."""
    terms = body.to_narrowing()
    return await changing.change(caller, grants.narrow, grant, changing.copies, terms, body.reason)


@router.post("/grants/{grant}/suspensions", responses=_CHANGING)
async def suspend_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    changing: Changing,
) -> GrantOnBus:
    """Suspend a grant: by its owner or the owner's competent department.

    The competent department may also suspend what the owner has suspended already.
    """
    return await changing.change(caller, grants.change, grant, Act.SUSPEND, body.reason)


@router.post("/grants/{grant}/resumptions", responses=_CHANGING)
async def resume_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    changing: Changing,
) -> GrantOnBus:
    """Resume a suspended grant: by its owner or the owner's competent department.

    What the competent department has suspended, it alone resumes.
    """
    return await changing.change(caller, grants.change, grant, Act.RESUME, body.reason)


@router.post("/grants/{grant}/endings", responses=_CHANGING)
async def end_grant(
    grant: GrantId,
    body: Reason,
    caller: Changer,
    changing: Changing,
) -> GrantOnBus:
    """End a grant for good: by either side or the owner's competent department."""
    return await changing.change(caller, grants.change, grant, Act.END, body.reason)


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
    after = position(cursor)
    asking = caller.id if caller.kind == "system" else system
    async with db.begin() as tx:
        found = await grants.list_usable(
            tx, caller.agency.id, asking, clock.now(), after, limit + 1
        )
    shown = [Usable.of(grant) for grant in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].grant]) if len(found) > limit else None)
