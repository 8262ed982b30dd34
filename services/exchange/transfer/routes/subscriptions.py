"""Subscriptions: a system receives a resource under its grant."""

from fastapi import APIRouter, Request, Response

from kit.app import StrictRoute
from kit.clock import Clock
from kit.db import Db, Tx
from kit.http import Cursor, CursorInvalid, Limit, decode_cursor, encode_cursor
from kit.ids import is_uuid
from services.exchange.transfer.actions import subscribing
from services.exchange.transfer.actions.subscribing import Receiver
from services.exchange.transfer.domain import Subscription
from services.exchange.transfer.routes.asking import JSON, SystemCaller, content, read_json
from services.exchange.transfer.routes.receiving import (
    Resource,
    SubscriptionId,
    answer,
    answers,
    receiver_of,
)
from services.exchange.transfer.schemas import deliveries as schemas

router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=StrictRoute)


@router.post(
    "/{resource}/subscriptions",
    status_code=201,
    response_model=None,
    responses={
        200: {"model": schemas.Subscription, "description": "The same subscription was there"},
        **answers(
            schemas.Subscription,
            "body-invalid",
            "item-unknown",
            "key-not-granted",
            "entry-without-key",
            "subscription-exists",
            status=201,
            text="Subscribed",
        ),
    },
    openapi_extra={"requestBody": content(JSON, schemas.NEW_SUBSCRIPTION)},
)
async def subscribe(request: Request, caller: SystemCaller, resource: Resource) -> Response:
    """Receive a resource under a grant, from the beginning or from now."""
    db: Db = request.app.state.db
    clock: Clock = request.app.state.clock
    receiver = await receiver_of(request, caller)
    starts, items = schemas.read_subscription(await read_json(request))
    async with db.begin() as tx:
        made, new = await subscribing.subscribe(tx, receiver, starts, items, clock.now())
        (shown,) = await subscribing.items_of(tx, receiver.entry, [made])
    return answer(receiver.grant, schemas.Subscription.of(made, shown), 201 if new else 200)


@router.get(
    "/{resource}/subscriptions",
    response_model=None,
    responses=answers(schemas.SubscriptionPage, "cursor-invalid"),
)
async def list_subscriptions(
    request: Request,
    caller: SystemCaller,
    resource: Resource,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the calling system's subscriptions to a resource under the grant."""
    db: Db = request.app.state.db
    receiver = await receiver_of(request, caller)
    after = _position(cursor)
    async with db.begin() as tx:
        found = await subscribing.listing(tx, receiver, after, limit + 1)
        shown = await subscribing.items_of(tx, receiver.entry, found[:limit])
    shapes = [
        schemas.Subscription.of(each, items)
        for each, items in zip(found[:limit], shown, strict=True)
    ]
    following = encode_cursor([shapes[-1].id]) if len(found) > limit else None
    return answer(receiver.grant, schemas.SubscriptionPage(items=shapes, next=following))


@router.get(
    "/{resource}/subscriptions/{subscription}",
    response_model=None,
    responses=answers(schemas.Subscription, "subscription-unknown"),
)
async def get_subscription(
    request: Request, caller: SystemCaller, resource: Resource, subscription: SubscriptionId
) -> Response:
    """Return one subscription of the calling system."""
    db: Db = request.app.state.db
    receiver = await receiver_of(request, caller)
    async with db.begin() as tx:
        found = await subscribing.find(tx, receiver, subscription)
        return await _shown(tx, receiver, found)


@router.post(
    "/{resource}/subscriptions/{subscription}/renewals",
    status_code=202,
    response_model=None,
    responses=answers(
        schemas.Subscription,
        "subscription-unknown",
        "subscription-ended",
        status=202,
        text="The table will be delivered",
    ),
)
async def renew_subscription(
    request: Request, caller: SystemCaller, resource: Resource, subscription: SubscriptionId
) -> Response:
    """Ask for the whole table again."""
    db: Db = request.app.state.db
    receiver = await receiver_of(request, caller)
    async with db.begin() as tx:
        found = await subscribing.renew(tx, receiver, subscription)
        return await _shown(tx, receiver, found, 202)


@router.post(
    "/{resource}/subscriptions/{subscription}/endings",
    response_model=None,
    responses=answers(
        schemas.Subscription, "subscription-unknown", text="The subscription has ended"
    ),
)
async def end_subscription(
    request: Request, caller: SystemCaller, resource: Resource, subscription: SubscriptionId
) -> Response:
    """End a subscription; no further delivery is made."""
    db: Db = request.app.state.db
    clock: Clock = request.app.state.clock
    receiver = await receiver_of(request, caller)
    async with db.begin() as tx:
        found = await subscribing.end(tx, receiver, subscription, clock.now())
        return await _shown(tx, receiver, found)


async def _shown(tx: Tx, receiver: Receiver, found: Subscription, status: int = 200) -> Response:
    (items,) = await subscribing.items_of(tx, receiver.entry, [found])
    return answer(receiver.grant, schemas.Subscription.of(found, items), status)


def _position(cursor: str | None) -> str | None:
    if cursor is None:
        return None
    position = str(decode_cursor(cursor, (str,))[0])
    if not is_uuid(position):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return position
