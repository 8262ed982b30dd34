"""Batches: the owner publishes a table, or what changes in it."""

import asyncio
from base64 import b64encode
from hashlib import sha256
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel

from kit import idempotency, problems
from kit.app import StrictRoute
from kit.auth import Caller
from kit.clock import Clock, parse_rfc3339, rfc3339
from kit.db import Db
from kit.http import (
    Cursor,
    CursorInvalid,
    Limit,
    Page,
    decode_cursor,
    encode_cursor,
    required_key,
)
from kit.ids import PLAIN_ID, UUID_PATTERN
from services.exchange.transfer.actions import batches as actions
from services.exchange.transfer.domain import BatchState, ChunkFormat, Entry, batches, refusals
from services.exchange.transfer.routes.asking import CALLER_CODES, JSON, SystemCaller, owned
from services.exchange.transfer.schemas.batches import (
    BatchShape,
    ChunkShape,
    NewBatch,
    QuarantinedShape,
    Sealing,
)
from services.exchange.transfer.store import News, Objects
from services.exchange.transfer.store import batches as store

NDJSON: Final = "application/x-ndjson"
MAX_WAIT: Final = 30
_OWNER_CODES: Final = (*CALLER_CODES, "not-the-owner", "entry-not-published", "parameter-invalid")
_CHUNK_CODES: Final = (
    "entry-changed",
    "batch-unknown",
    "batch-not-open",
    "chunk-differs",
    "chunk-too-large",
    "column-unknown",
    "column-missing",
    "schema-mismatch",
    "csv-malformed",
    "ndjson-malformed",
    "arrow-malformed",
    "text-not-utf8",
    "content-digest-missing",
    "content-digest-mismatch",
    "body-too-large",
)

router = APIRouter(prefix="/data/v1/{resource}/batches", tags=["transfer"], route_class=StrictRoute)


ResourceId = Annotated[str, Path(pattern=PLAIN_ID, description="Plain id of the resource.")]
BatchId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the batch.")]
ChunkNumber = Annotated[
    int, Path(ge=0, lt=batches.MAX_CHUNKS, description="Number of the chunk in its batch.")
]
Wait = Annotated[
    int, Query(ge=0, le=MAX_WAIT, description="Seconds that the answer may wait for the end.")
]


@router.post(
    "",
    status_code=201,
    response_model=BatchShape,
    responses=problems.declare(
        *_OWNER_CODES,
        "entry-changed",
        "entry-without-key",
        "layout-changed",
        "too-many-open-batches",
        "body-invalid",
        "idempotency-key-required",
        "idempotency-key-reused",
    ),
)
async def open_batch(
    request: Request,
    resource: ResourceId,
    caller: SystemCaller,
    key: Annotated[idempotency.Key, Depends(required_key)],
    body: NewBatch,
) -> Response:
    """Open a batch for a resource of one's own."""
    entry = await owned(request.app.state.waiting, request, caller)
    async with _db(request).begin() as tx:
        before = await idempotency.replay(tx, caller.subject, key)
        if before is not None:
            return _answer(201, BatchShape.model_validate(before[1]))
        batch = await actions.open_batch(
            tx,
            entry,
            mode=body.mode,
            declared=None if body.declared is None else body.declared.read(),
            quarantine_limit=body.quarantine_limit,
            actor=_actor(caller),
            at=_clock(request).now(),
        )
        shape = BatchShape.of(batch)
        await idempotency.remember(tx, caller.subject, key, 201, shape.model_dump(mode="json"))
    return _answer(201, shape)


@router.get(
    "",
    response_model=Page[BatchShape],
    responses=problems.declare(*_OWNER_CODES, "cursor-invalid"),
)
async def list_batches(
    request: Request,
    resource: ResourceId,
    caller: SystemCaller,
    state: BatchState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List batches of a resource of one's own, newest first."""
    entry = await owned(request.app.state.waiting, request, caller)
    before = None
    if cursor is not None:
        opened_at, batch_id = decode_cursor(cursor, (str, str))
        try:
            before = parse_rfc3339(str(opened_at)), str(batch_id)
        except ValueError as error:
            raise CursorInvalid("The cursor is not one that this list gave out.") from error
    async with _db(request).begin() as tx:
        found = await store.list_batches(
            tx,
            resource=entry.resource,
            agency=entry.agency,
            state=state,
            before=before,
            limit=limit + 1,
        )
    more = len(found) > limit
    last = found[limit - 1] if more else None
    page = Page[BatchShape](
        items=[BatchShape.of(batch) for batch in found[:limit]],
        next=None if last is None else encode_cursor([rfc3339(last.opened_at), last.id]),
    )
    return _answer(200, page)


@router.get(
    "/{batch}",
    response_model=BatchShape,
    responses=problems.declare(*_OWNER_CODES, "batch-unknown"),
)
async def get_batch(
    request: Request, resource: ResourceId, caller: SystemCaller, batch: BatchId, wait: Wait = 0
) -> Response:
    """Answer with one batch of one's own; with `wait`, once it has ended."""
    entry = await owned(request.app.state.waiting, request, caller)
    clock = _clock(request)
    news: News = request.app.state.news
    end = clock.monotonic() + wait
    with news.watch(f"batch/{batch}") as watch:
        while True:
            async with _db(request).begin() as tx:
                found = await actions.require_batch(tx, entry, batch)
            left = end - clock.monotonic()
            if found.state.final or left <= 0 or news.over:
                return _answer(200, BatchShape.of(found))
            await watch.wait(left)


@router.put(
    "/{batch}/chunks/{chunk}",
    status_code=201,
    response_model=ChunkShape,
    responses={
        200: {"description": "It was there already, with the same bytes", "model": ChunkShape},
        **problems.declare(*_OWNER_CODES, *_CHUNK_CODES),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                ChunkFormat.NDJSON.value: {"schema": {"type": "string"}},
                ChunkFormat.CSV.value: {"schema": {"type": "string"}},
                ChunkFormat.ARROW.value: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
)
async def put_chunk(
    request: Request,
    resource: ResourceId,
    caller: SystemCaller,
    batch: BatchId,
    chunk: ChunkNumber,
    content_digest: Annotated[
        str | None, Header(max_length=1000, description="`sha-256=:<base64>:` (RFC 9530)")
    ] = None,
) -> Response:
    """Put one chunk of rows into an open batch of one's own."""
    chunk_format = _chunk_format(request)
    entry = await owned(request.app.state.waiting, request, caller)
    db, objects = _db(request), _objects(request)
    loads: asyncio.Semaphore = request.app.state.loads
    async with db.begin() as tx:
        found = await actions.require_batch(tx, entry, batch)
    batches.require_open(found)
    batches.require_unchanged(entry, found)
    announced = _announced(content_digest)
    async with actions.receive(request.stream(), objects) as received:
        _require_digest(announced, received)
        async with db.begin() as tx:
            known = await actions.same_chunk(tx, found, chunk, received.digest)
        if known is not None:
            return _taken(200, ChunkShape.of(known), entry)
        async with loads:
            checked, faults = await asyncio.to_thread(
                actions.check_chunk, found, chunk, received, chunk_format, objects
            )
    async with db.begin() as tx:
        added, new = await actions.add_chunk(tx, entry, batch, checked, faults)
    return _taken(201 if new else 200, ChunkShape.of(added), entry)


@router.get(
    "/{batch}/chunks",
    response_model=Page[ChunkShape],
    responses=problems.declare(*_OWNER_CODES, "batch-unknown", "cursor-invalid"),
)
async def list_chunks(
    request: Request,
    resource: ResourceId,
    caller: SystemCaller,
    batch: BatchId,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List the chunks that a batch has, by number."""
    entry = await owned(request.app.state.waiting, request, caller)
    after = -1 if cursor is None else int(decode_cursor(cursor, (int,))[0])
    async with _db(request).begin() as tx:
        await actions.require_batch(tx, entry, batch)
        found = await store.list_chunks(
            tx, batch, after=max(-1, min(after, batches.MAX_CHUNKS)), limit=limit + 1
        )
    page = Page[ChunkShape](
        items=[ChunkShape.of(each) for each in found[:limit]],
        next=encode_cursor([found[limit - 1].number]) if len(found) > limit else None,
    )
    return _answer(200, page)


@router.post(
    "/{batch}/seals",
    status_code=202,
    response_model=BatchShape,
    responses=problems.declare(
        *_OWNER_CODES,
        "entry-changed",
        "batch-unknown",
        "batch-not-open",
        "chunk-missing",
        "counts-differ",
        "body-invalid",
    ),
)
async def seal_batch(
    request: Request, resource: ResourceId, caller: SystemCaller, batch: BatchId, body: Sealing
) -> Response:
    """Seal a batch; it becomes effective whole, or is refused whole."""
    entry = await owned(request.app.state.waiting, request, caller)
    async with _db(request).begin() as tx:
        sealed = await actions.seal(
            tx, entry, batch, body.chunks, _actor(caller), _clock(request).now()
        )
    if sealed.sealed_at is None:  # outside the block: the refusal is already committed
        raise batches.entry_changed(sealed)
    return _answer(202, BatchShape.of(sealed))


@router.post(
    "/{batch}/abandonments",
    response_model=BatchShape,
    responses=problems.declare(*_OWNER_CODES, "batch-unknown", "batch-not-open"),
)
async def abandon_batch(
    request: Request, resource: ResourceId, caller: SystemCaller, batch: BatchId
) -> Response:
    """Give up an open batch of one's own."""
    entry = await owned(request.app.state.waiting, request, caller)
    async with _db(request).begin() as tx:
        abandoned = await actions.abandon(tx, entry, batch, _actor(caller), _clock(request).now())
    return _answer(200, BatchShape.of(abandoned))


@router.get(
    "/{batch}/quarantine",
    response_class=Response,
    responses={
        200: {
            "description": "One fault per line",
            "content": {NDJSON: {"schema": QuarantinedShape.model_json_schema()}},
        },
        **problems.declare(*_OWNER_CODES, "batch-unknown"),
    },
)
async def get_quarantine(
    request: Request, resource: ResourceId, caller: SystemCaller, batch: BatchId
) -> Response:
    """List the faults of rows that were not taken, in the order of chunks and rows."""
    entry = await owned(request.app.state.waiting, request, caller)
    async with _db(request).begin() as tx:
        await actions.require_batch(tx, entry, batch)
        faults = await store.list_faults(tx, batch)
    lines = b"".join(
        QuarantinedShape.of(fault).model_dump_json().encode() + b"\n" for fault in faults
    )
    return _response(200, lines, media=NDJSON)


def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


def _objects(request: Request) -> Objects:
    objects: Objects = request.app.state.objects
    return objects


def _actor(caller: Caller) -> actions.Actor:
    return actions.Actor(caller.subject, caller.call)


def _chunk_format(request: Request) -> ChunkFormat:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        return ChunkFormat(media)
    except ValueError as error:
        known = [each.value for each in ChunkFormat]
        raise refusals.ContentTypeUnsupported(
            f"The body is to be one of {', '.join(known)}.", facts={"expected": known}
        ) from error


def _announced(content_digest: str | None) -> str:
    """Return the SHA-256 that was sent with the body, as it was sent.

    Raises:
        ContentDigestMissing: there is none.
    """
    for part in (content_digest or "").split(","):
        if part.strip().startswith("sha-256="):
            return part.strip()
    raise refusals.ContentDigestMissing("Send Content-Digest: sha-256=:<base64>: with the body.")


def _require_digest(announced: str, received: actions.Received) -> None:
    ours = f"sha-256=:{b64encode(bytes.fromhex(received.digest)).decode()}:"
    if announced != ours:
        raise refusals.ContentDigestMismatch(
            "The body is not the one whose Content-Digest was sent.",
            facts={"content_digest": ours},
        )


def _answer(status: int, shape: BaseModel) -> Response:
    return _response(status, shape.model_dump_json().encode())


def _taken(status: int, shape: ChunkShape, entry: Entry) -> Response:
    headers = {
        "Datong-Internal-Rows": str(shape.rows),
        "Datong-Internal-Items": ",".join(entry.layout.by_name),
    }
    return _response(status, shape.model_dump_json().encode(), headers=headers)


def _response(
    status: int, body: bytes, *, media: str = JSON, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer whose digest the gateway can record before its first byte."""
    return Response(
        body,
        status,
        media_type=media,
        headers={
            "Cache-Control": "no-store",
            "Datong-Internal-Digest": sha256(body).hexdigest(),
            **(headers or {}),
        },
    )
