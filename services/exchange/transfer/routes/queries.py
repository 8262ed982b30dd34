"""Queries: rows by key or by equality filters, within a grant."""

from hashlib import sha256

from fastapi import APIRouter, Request, Response

from kit import problems
from kit.app import DirectRoute
from kit.clock import Clock
from services.exchange.transfer import domain
from services.exchange.transfer.actions import queries
from services.exchange.transfer.routes.asking import (
    CALLER_CODES,
    JSON,
    RESOURCE,
    SystemCaller,
    Waiting,
    content,
    granted,
    read_json,
)
from services.exchange.transfer.schemas import queries as schemas
from services.exchange.transfer.store import RowReader

router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=DirectRoute)


@router.post(
    "/{resource}/query",
    responses={
        200: {
            "description": "One page of rows, by the granted items",
            "content": {JSON: {"schema": schemas.ROWS_SCHEMA}},
        },
        **problems.declare(
            *CALLER_CODES,
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
            "item-masked",
            "body-invalid",
            "cursor-invalid",
        ),
    },
    openapi_extra={
        "parameters": [RESOURCE],
        "requestBody": content(JSON, schemas.QUERY_SCHEMA),
    },
)
async def query(request: Request, caller: SystemCaller) -> Response:
    """Read granted items of rows by key or by equality filters."""
    state = request.app.state
    waiting: Waiting = state.waiting
    clock: Clock = state.clock
    reader: RowReader = state.reader
    grant = await granted(waiting, request)
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
    asked = schemas.read_query(await read_json(request))
    page = await queries.answer(reader, entry, grant, asked, state.keys)
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
