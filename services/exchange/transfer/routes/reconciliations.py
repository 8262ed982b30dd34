"""Reconciliation: what the owner declared, the platform counted and the consumers found."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.db import Db
from kit.http import Cursor, Limit
from kit.ids import UUID_PATTERN
from services.exchange.transfer.actions import reconciling
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.reconciliation import ReconciliationState, Viewer
from services.exchange.transfer.routes.asking import CALLER_CODES, Waiting
from services.exchange.transfer.routes.receiving import Resource
from services.exchange.transfer.schemas import reconciliations as schemas

router = APIRouter(prefix="/data/v1", tags=["transfer"], route_class=StrictRoute)

Reconciler = Annotated[
    Caller,
    Depends(
        allow(
            "resource_administrator",
            "sharing_office_head",
            "technical_officer",
            "auditor",
            system=True,
        )
    ),
]
Day = Annotated[str, Query(max_length=10, json_schema_extra={"format": "date"})]
_CODES: Final = (*CALLER_CODES, "parameter-invalid")


@router.get("/{resource}/reconciliations", responses=problems.declare(*_CODES, "cursor-invalid"))
async def list_reconciliations(
    request: Request,
    caller: Reconciler,
    resource: Resource,
    batch: Annotated[str | None, Query(pattern=UUID_PATTERN)] = None,
    state: ReconciliationState | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> schemas.ReconciliationPage:
    """List declared, platform's and consumers' figures per batch, newest first."""
    db: Db = request.app.state.db
    _require_known(request, resource)
    async with db.begin() as tx:
        found, following = await reconciling.list_reconciliations(
            tx, resource, _viewer(caller), batch=batch, state=state, cursor=cursor, limit=limit
        )
    shapes = [schemas.Reconciliation.of(each) for each in found]
    return schemas.ReconciliationPage(items=shapes, next=following)


@router.get("/{resource}/reconciliations/days", responses=problems.declare(*_CODES))
async def list_reconciliation_days(
    request: Request,
    caller: Reconciler,
    resource: Resource,
    first: Annotated[Day, Query(alias="from")],
    last: Annotated[Day, Query(alias="until")],
) -> schemas.ReconciledDays:
    """List the same figures per day of sealing; both bounds are included."""
    db: Db = request.app.state.db
    _require_known(request, resource)
    async with db.begin() as tx:
        days = await reconciling.list_days(tx, resource, _viewer(caller), first, last)
    return schemas.ReconciledDays.of(days)


def _viewer(caller: Caller) -> Viewer:
    return Viewer(caller.agency.id, sees_all=caller.holds("auditor"))


def _require_known(request: Request, resource: str) -> None:
    """What was published stays on record, also of a resource that was withdrawn."""
    waiting: Waiting = request.app.state.waiting
    if waiting.copies.entry_of(resource) is None:
        raise refusals.ResourceUnknown(
            f"No entry has ever made a resource {resource} available.",
            facts={"resource": resource},
        )
