"""Loads: the rows of a dataset, replaced as a whole."""

import asyncio
from hashlib import sha256
from typing import Final

from fastapi import APIRouter, Request, Response

from kit import problems
from kit.app import DirectRoute
from kit.clock import Clock
from kit.db import Db
from services.exchange.transfer import domain
from services.exchange.transfer.actions import loading
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.routes.asking import (
    CALLER_CODES,
    JSON,
    RESOURCE,
    SystemCaller,
    Waiting,
    content,
    owned,
    require_type,
)
from services.exchange.transfer.schemas import queries as schemas

NDJSON: Final = "application/x-ndjson"

router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=DirectRoute)


@router.put(
    "/{resource}/rows",
    response_model=schemas.LoadedRows,
    responses=problems.declare(
        *CALLER_CODES,
        "not-the-owner",
        "entry-not-published",
        "entry-changed",
        "rows-invalid",
        "body-too-large",
        "content-digest-mismatch",
    ),
    openapi_extra={
        "parameters": [RESOURCE],
        "requestBody": content(
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
    require_type(request, NDJSON)
    resource = request.path_params["resource"]
    entry = await owned(waiting, request, caller)
    async with loads, db.begin() as tx:
        loaded = await loading.load_rows(
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
