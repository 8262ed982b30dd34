"""Wire shapes of reconciliation."""

from datetime import date
from typing import Annotated

from pydantic import BaseModel, Field

from kit.clock import rfc3339
from kit.http import Page
from services.exchange.transfer import domain
from services.exchange.transfer.domain import reconciliation
from services.exchange.transfer.domain.reconciliation import ReconciliationState
from services.exchange.transfer.schemas.deliveries import (
    Count,
    Figures,
    Instant,
    RowsDigest,
    Uuid,
)


class PlatformFigures(BaseModel):
    """What the platform counted of a batch, and of the table after it."""

    rows: Count
    quarantined: Count
    added: Count
    updated: Count
    deleted: Count
    unchanged: Count
    table_rows: Count
    digest: RowsDigest


class ReconciledDelivery(BaseModel):
    """One delivery of a batch; the platform's figures are null until the receipt has come."""

    delivery: Uuid
    sequence: Annotated[int, Field(ge=1)]
    subscription: Uuid
    agency: str
    system: Uuid
    kind: domain.DeliveryKind
    state: ReconciliationState
    platform: Figures | None
    consumer: Figures | None
    received_at: Instant | None


class Reconciliation(BaseModel):
    """One batch as its owner declared it, the platform counted it and its consumers found it."""

    batch: Uuid
    version: Annotated[int, Field(ge=1)]
    sealed_at: Instant
    declared: Annotated[
        dict[str, int | str] | None, Field(description="Only what the owner declared")
    ]
    platform: Annotated[
        PlatformFigures | None,
        Field(description="Of the whole table; null, as `declared` is, for a consumer"),
    ]
    deliveries: list[ReconciledDelivery]
    state: ReconciliationState

    @classmethod
    def of(cls, found: reconciliation.Reconciliation) -> "Reconciliation":
        """Return the shape of a reconciliation."""
        return cls(
            batch=found.batch,
            version=found.version,
            sealed_at=rfc3339(found.sealed_at),
            declared=None if found.declared is None else dict(found.declared),
            platform=None
            if found.platform is None
            else PlatformFigures.model_validate({**found.platform, "digest": found.digest}),
            deliveries=[_delivery(each) for each in found.deliveries],
            state=found.state,
        )


class ReconciliationPage(Page[Reconciliation]):
    """One page, newest first."""


class ReconciledDay(BaseModel):
    """Sums over what was sealed on one day in Asia/Shanghai; null over rows for a consumer."""

    day: date
    batches: Count
    declared_rows: Count | None
    rows: Count | None
    quarantined: Count | None
    added: Count | None
    updated: Count | None
    deleted: Count | None
    deliveries: Count
    agreed: Count
    differs: Count
    pending: Count


class ReconciledDays(BaseModel):
    """One item per day on which a batch was sealed, in order."""

    items: list[ReconciledDay]

    @classmethod
    def of(cls, days: list[reconciliation.ReconciledDay]) -> "ReconciledDays":
        """Return the shape of days."""
        return cls(items=[ReconciledDay.model_validate(day, from_attributes=True) for day in days])


def _delivery(found: reconciliation.ReconciledDelivery) -> ReconciledDelivery:
    return ReconciledDelivery(
        delivery=found.delivery,
        sequence=found.sequence,
        subscription=found.subscription,
        agency=found.agency,
        system=found.system,
        kind=found.kind,
        state=found.state,
        platform=None if found.platform is None else Figures.of(found.platform),
        consumer=None if found.consumer is None else Figures.of(found.consumer),
        received_at=None if found.received_at is None else rfc3339(found.received_at),
    )
