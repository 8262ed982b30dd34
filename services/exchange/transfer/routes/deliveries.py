"""Deliveries: listed in order, fetched segment by segment, closed by a receipt."""

import asyncio
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from typing import IO, Annotated, Final

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from kit import problems
from kit.app import StrictRoute
from kit.clock import Clock
from kit.db import Db
from services.exchange.transfer import domain
from services.exchange.transfer.actions import delivering, receipts
from services.exchange.transfer.domain import Grant, Segment, refusals
from services.exchange.transfer.routes.asking import JSON, SystemCaller, content, read_json
from services.exchange.transfer.routes.receiving import (
    RECEIVING,
    DeliveryId,
    Resource,
    SubscriptionId,
    Wait,
    answer,
    answers,
    evidence,
    receiver_of,
)
from services.exchange.transfer.schemas import deliveries as schemas
from services.exchange.transfer.store.news import News
from services.exchange.transfer.store.objects import Objects

ARROW: Final = "application/vnd.apache.arrow.stream"
PIECE: Final = 256 << 10
"""Bytes of a segment that are held at once."""

router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=StrictRoute)


@router.get(
    "/{resource}/subscriptions/{subscription}/deliveries",
    response_model=None,
    responses=answers(schemas.DeliveryPage, "subscription-unknown", "cursor-invalid"),
)
async def list_deliveries(
    request: Request,
    caller: SystemCaller,
    resource: Resource,
    subscription: SubscriptionId,
    after: Annotated[
        int,
        Query(ge=0, le=schemas.MAX_COUNT, description="The last sequence that the caller has"),
    ] = 0,
    wait: Wait = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="Largest number of items")] = 50,
) -> Response:
    """List deliveries of a subscription after a sequence, in order; an empty page may wait."""
    db: Db = request.app.state.db
    news: News = request.app.state.news
    end = time.monotonic() + wait
    with news.watch(f"subscription/{subscription}") as watch:
        while True:
            # What was granted when the wait began may be over when it ends.
            receiver = await receiver_of(request, caller)
            async with db.begin() as tx:
                listed = await delivering.list_deliveries(tx, receiver, subscription, after, limit)
            left = end - time.monotonic()
            if listed.found or left <= 0 or news.over:
                break
            await watch.wait(left)
    shapes = [
        schemas.Delivery.of(each, covered=domain.is_covered(each.view, receiver.grant))
        for each in listed.found
    ]
    return answer(receiver.grant, schemas.DeliveryPage(items=shapes, next=listed.following))


@router.get(
    "/{resource}/deliveries/{delivery}/segments/{segment}",
    response_model=None,
    responses={
        200: {
            "description": "The whole segment",
            "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}},
        },
        206: {
            "description": "The range that was asked for",
            "content": {ARROW: {"schema": {"type": "string", "format": "binary"}}},
        },
        304: {"description": "The caller has this segment"},
        **problems.declare(
            *RECEIVING,
            "delivery-unknown",
            "terms-changed",
            "segment-unknown",
            "range-not-satisfiable",
        ),
    },
)
async def get_segment(
    request: Request,
    caller: SystemCaller,
    resource: Resource,
    delivery: DeliveryId,
    segment: Annotated[
        int, Path(ge=0, le=99_999, description="Number of the segment in its delivery")
    ],
    bytes_range: Annotated[str | None, Header(alias="Range", max_length=200)] = None,
    if_range: Annotated[str | None, Header(alias="If-Range", max_length=200)] = None,
    if_none_match: Annotated[str | None, Header(alias="If-None-Match", max_length=200)] = None,
) -> Response:
    """Fetch one segment of a delivery, whole or a range of its bytes."""
    db: Db = request.app.state.db
    objects: Objects = request.app.state.objects
    receiver = await receiver_of(request, caller)
    async with db.begin() as tx:
        found, items = await delivering.find_segment(tx, receiver, delivery, segment)
    etag = f'"{found.digest}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if if_none_match is not None and _names(if_none_match, etag):
        nothing = evidence(receiver.grant, sha256(b"").hexdigest())
        return Response(status_code=304, headers=headers | nothing)
    try:
        part = domain.byte_range(bytes_range, if_range, etag, found.bytes)
    except refusals.RangeNotSatisfiable as refusal:
        return _unsatisfiable(refusal, found.bytes, caller.call)
    file = await asyncio.to_thread(objects.open, found.digest)
    return await _streamed(file, found, part, headers, receiver.grant, items)


@router.put(
    "/{resource}/deliveries/{delivery}/receipt",
    response_model=None,
    responses=answers(
        schemas.Receipt,
        "delivery-unknown",
        "terms-changed",
        "receipt-differs",
        "body-invalid",
        text="Both sides' figures",
    ),
    openapi_extra={"requestBody": content(JSON, schemas.Figures.model_json_schema())},
)
async def put_receipt(
    request: Request, caller: SystemCaller, resource: Resource, delivery: DeliveryId
) -> Response:
    """Close a delivery with the consumer's own counts and digest."""
    db: Db = request.app.state.db
    clock: Clock = request.app.state.clock
    receiver = await receiver_of(request, caller)
    figures = domain.read_figures(await read_json(request))
    async with db.begin() as tx:
        receipt, handed = await receipts.put_receipt(tx, receiver, delivery, figures, clock.now())
    receipts.report(receipt, handed)
    return answer(receiver.grant, schemas.Receipt.of(receipt))


def _names(header: str, etag: str) -> bool:
    """Tell whether `If-None-Match` names `etag`; weak marks do not matter (RFC 9110 13.1.2)."""
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return etag in tags or tags == {"*"}


def _unsatisfiable(refusal: refusals.RangeNotSatisfiable, size: int, call: str) -> Response:
    """Answer 416 with the length of the whole (RFC 9110 section 15.5.17)."""
    status, body = problems.of_error(refusal, call or None)
    headers = {
        "Content-Range": f"bytes */{size}",
        "Datong-Internal-Reason": refusal.code,
        "Cache-Control": "no-store",
    }
    return Response(body, status, headers, problems.MEDIA_TYPE)


async def _streamed(
    file: IO[bytes],
    segment: Segment,
    part: tuple[int, int] | None,
    headers: dict[str, str],
    grant: Grant,
    items: tuple[str, ...],
) -> Response:
    """Answer an open object, or first to last byte of it, in pieces; closes it."""
    first, last = part or (0, segment.bytes - 1)
    length = last - first + 1
    digest = segment.digest
    if part is not None:
        try:
            digest = await asyncio.to_thread(_digest_of, file, first, length)
        except BaseException:
            file.close()
            raise
        headers["Content-Range"] = f"bytes {first}-{last}/{segment.bytes}"
    sha = b64encode(bytes.fromhex(digest)).decode()
    return StreamingResponse(
        _in_pieces(file, first, length),
        200 if part is None else 206,
        headers
        | evidence(grant, digest, rows=segment.rows, items=items)
        | {"Content-Length": str(length), "Content-Digest": f"sha-256=:{sha}:"},
        ARROW,
    )


async def _in_pieces(file: IO[bytes], first: int, length: int) -> AsyncIterator[bytes]:
    try:
        pieces = _pieces(file, first, length)
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        file.close()


def _pieces(file: IO[bytes], first: int, length: int) -> Iterator[bytes]:
    file.seek(first)
    while length and (piece := file.read(min(PIECE, length))):
        length -= len(piece)
        yield piece


def _digest_of(file: IO[bytes], first: int, length: int) -> str:
    digest = sha256()
    for piece in _pieces(file, first, length):
        digest.update(piece)
    return digest.hexdigest()
