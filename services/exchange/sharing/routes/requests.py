"""Requests: ask, list, read."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.http import Cursor, Limit, Page, encode_cursor, etag
from kit.problems import declare
from services.exchange.sharing.actions import requests
from services.exchange.sharing.domain import RequestState
from services.exchange.sharing.routes.context import (
    BODY,
    CALL,
    NEW,
    Database,
    Key,
    Known,
    Now,
    RequestId,
    ResourceFilter,
    Settled,
    actor_of,
    created,
    position,
    remember,
    replayed,
)
from services.exchange.sharing.schemas.requests import RequestBody, RequestShape
from services.exchange.sharing.store.terms import Filters

router = APIRouter(prefix="/sharing/v1", route_class=StrictRoute)

Requester = Annotated[Caller, Depends(allow("technical_officer", "sharing_office_head"))]
Official = Annotated[Caller, Depends(allow(person=True))]

_ASKING: Final = declare(
    *CALL,
    *BODY,
    *NEW,
    "request-invalid",
    "period-invalid",
    "system-unknown",
    "items-unknown",
    "operations-unknown",
    "item-not-filterable",
    "filter-invalid",
    "mask-invalid",
    "mode-not-offered",
    "class-not-shared",
    "resource-unknown",
    "resource-withdrawn",
    "permission-unreadable",
    "permissions-stale",
)


@router.post("/requests", status_code=201, responses=_ASKING, dependencies=[Settled])
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

    An unconditional resource is granted in the answer, to a head of a sharing office. A
    conditional one, or one that is not shared but that a law entitles the caller to, is drafted,
    for another person to submit. A refusal that the law demands is stored and answered 403 with
    the law. The same key with the same body has one effect and one answer.
    """
    async with db.begin() as tx:
        answered = await replayed(tx, caller, key)
        if answered is None:
            actor, now = actor_of(caller, copies), clock.now()
            found = await requests.create(tx, copies, body.to_ask(), actor, now)
            answered = RequestShape.of(*found, actor, now)
            await remember(tx, caller, key, answered)
    return created(response, answered)


@router.get("/requests", responses=declare(*CALL, "cursor-invalid"))
async def list_requests(
    caller: Official,
    db: Database,
    clock: Now,
    copies: Known,
    resource: ResourceFilter = None,
    state: RequestState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RequestShape]:
    """List the requests that the caller's agency made or received; auditors see all."""
    actor, after, now = actor_of(caller, copies), position(cursor), clock.now()
    async with db.begin() as tx:
        found = await requests.list_visible(tx, actor, Filters(resource, state), after, limit + 1)
    shown = [RequestShape.of(*answered, actor, now) for answered in found[:limit]]
    return Page(items=shown, next=encode_cursor([shown[-1].id]) if len(found) > limit else None)


@router.get("/requests/{request}", responses=declare(*CALL, "request-unknown"))
async def get_request(
    request: RequestId,
    caller: Official,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Return one request with its steps, and with its grant."""
    actor = actor_of(caller, copies)
    async with db.begin() as tx:
        found = await requests.get(tx, request, actor)
    response.headers["ETag"] = etag(found[0].version)
    return RequestShape.of(*found, actor, clock.now())
