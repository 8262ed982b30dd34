"""Deliveries: what each subscription is handed, and the receipts that close them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, tuple_, update
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import col, select

from kit.db import Tx
from kit.ids import uuid7
from services.exchange.transfer.domain import (
    Delivery,
    DeliveryKind,
    Figures,
    ProjectedVersion,
    ReceiptState,
    Segment,
    Start,
    Subscription,
    View,
)
from services.exchange.transfer.models import (
    DeliveryRow,
    ProjectedRow,
    ProjectedSegmentRow,
    ProjectionRow,
    SubscriptionRow,
)
from services.exchange.transfer.store.news import CHANNEL

_MOVE = update(SubscriptionRow).where(col(SubscriptionRow.id) == bindparam("subscription_id"))


@dataclass(frozen=True, slots=True)
class HandedOut:
    """A delivery that was just made."""

    delivery: str
    sequence: int
    subscription: Subscription


@dataclass(frozen=True)
class Handed:
    """A delivery as its receipt is judged by.

    Attributes:
        view: through which it was made.
        receipt, receipt_state, received_at: None while pending.
    """

    delivery: str
    subscription: str
    sequence: int
    resource: str
    entry: str
    grant: str
    system: str
    agency: str
    view: View
    starts: Start
    projected: ProjectedVersion
    receipt: Figures | None
    receipt_state: ReceiptState | None
    received_at: datetime | None


async def hand_out(
    tx: Tx, receivers: Sequence[Subscription], projected: ProjectedVersion, at: datetime
) -> list[HandedOut]:
    """Make one delivery of a projected version for each of `receivers`, whose rows are locked.

    Their sequences rise by one, they have come as far as the version, and who waits is told.
    """
    if not receivers:
        return []
    made = [HandedOut(uuid7(), each.sequence + 1, each) for each in receivers]
    connection = await tx.connection()
    await connection.execute(
        insert(DeliveryRow),
        [
            {
                "id": one.delivery,
                "subscription": one.subscription.id,
                "sequence": one.sequence,
                "projection": one.subscription.projection,
                "version": projected.version,
                "kind": projected.kind.value,
                "batch": projected.batch,
                "created_at": at,
            }
            for one in made
        ],
    )
    await connection.execute(
        _MOVE.values(version=projected.version, sequence=bindparam("new_sequence")),
        [{"subscription_id": one.subscription.id, "new_sequence": one.sequence} for one in made],
    )
    subjects = [f"subscription/{one.subscription.id}" for one in made]
    await connection.execute(
        sql("SELECT pg_notify(:channel, subject) FROM unnest(:subjects) AS subject").bindparams(
            bindparam("channel", CHANNEL), bindparam("subjects", subjects, type_=ARRAY(TEXT))
        )
    )
    return made


async def list_deliveries(tx: Tx, subscription: str, after: int, limit: int) -> list[Delivery]:
    """Return up to `limit` deliveries with a sequence above `after`, in order; two statements."""
    query = (
        select(DeliveryRow, ProjectionRow.view)
        .join(ProjectionRow, col(ProjectionRow.id) == col(DeliveryRow.projection))
        .where(DeliveryRow.subscription == subscription, DeliveryRow.sequence > after)
        .order_by(col(DeliveryRow.sequence))
        .limit(limit)
    )
    rows = list(await tx.exec(query))
    if not rows:
        return []
    key = tuple_(
        col(ProjectedSegmentRow.projection),
        col(ProjectedSegmentRow.version),
        col(ProjectedSegmentRow.kind),
    )
    wanted = {(row.projection, row.version, row.kind) for row, _ in rows}
    segments: dict[tuple[str, int, str], list[Segment]] = {}
    of_them = select(ProjectedSegmentRow).where(key.in_(wanted))
    for found in await tx.exec(of_them.order_by(col(ProjectedSegmentRow.number))):
        place = segments.setdefault((found.projection, found.version, found.kind), [])
        place.append(_segment(found))
    return [
        Delivery(
            id=row.id,
            sequence=row.sequence,
            kind=DeliveryKind(row.kind),
            batch=row.batch,
            version=row.version,
            created_at=row.created_at,
            segments=tuple(segments.get((row.projection, row.version, row.kind), ())),
            receipt=None if row.receipt_state is None else ReceiptState(row.receipt_state),
            view=View.from_json(view),
        )
        for row, view in rows
    ]


async def find_delivery(
    tx: Tx, delivery: str, *, resource: str, grant: str, system: str, lock: bool = False
) -> Handed | None:
    """Return a delivery to `system` of `resource` under `grant`, or None.

    Args:
        lock: keep its row locked until `tx` ends.
    """
    query = (
        select(DeliveryRow, SubscriptionRow, ProjectionRow.view, ProjectedRow)
        .join(SubscriptionRow, col(SubscriptionRow.id) == col(DeliveryRow.subscription))
        .join(ProjectionRow, col(ProjectionRow.id) == col(DeliveryRow.projection))
        .join(
            ProjectedRow,
            (col(ProjectedRow.projection) == col(DeliveryRow.projection))
            & (col(ProjectedRow.version) == col(DeliveryRow.version))
            & (col(ProjectedRow.kind) == col(DeliveryRow.kind)),
        )
        .where(
            DeliveryRow.id == delivery,
            SubscriptionRow.resource == resource,
            SubscriptionRow.grant_id == grant,
            SubscriptionRow.system == system,
        )
    )
    if lock:
        query = query.with_for_update(of=DeliveryRow)
    found = (await tx.exec(query)).one_or_none()
    return None if found is None else _handed(*found)


async def find_segment(tx: Tx, handed: Handed, number: int) -> Segment | None:
    """Return one segment of a delivery, or None."""
    query = (
        select(ProjectedSegmentRow)
        .join(
            DeliveryRow,
            (col(DeliveryRow.projection) == col(ProjectedSegmentRow.projection))
            & (col(DeliveryRow.version) == col(ProjectedSegmentRow.version))
            & (col(DeliveryRow.kind) == col(ProjectedSegmentRow.kind)),
        )
        .where(DeliveryRow.id == handed.delivery, ProjectedSegmentRow.number == number)
    )
    row = (await tx.exec(query)).one_or_none()
    return None if row is None else _segment(row)


async def save_receipt(
    tx: Tx, delivery: str, figures: Figures, state: ReceiptState, at: datetime
) -> None:
    """Write the receipt of a delivery whose row is locked by `tx`."""
    statement = (
        update(DeliveryRow)
        .where(col(DeliveryRow.id) == delivery)
        .values(receipt=figures.as_json(), receipt_state=state.value, received_at=at)
    )
    await (await tx.connection()).execute(statement)


def _segment(row: ProjectedSegmentRow) -> Segment:
    return Segment(row.number, row.rows, row.bytes, row.object)


def _handed(
    row: DeliveryRow,
    subscription: SubscriptionRow,
    view: Mapping[str, Any],
    projected: ProjectedRow,
) -> Handed:
    return Handed(
        delivery=row.id,
        subscription=row.subscription,
        sequence=row.sequence,
        resource=subscription.resource,
        entry=subscription.entry,
        grant=subscription.grant_id,
        system=subscription.system,
        agency=subscription.agency,
        view=View.from_json(view),
        starts=Start(subscription.starts),
        projected=projected_version_of(projected),
        receipt=None if row.receipt is None else Figures(**row.receipt),
        receipt_state=None if row.receipt_state is None else ReceiptState(row.receipt_state),
        received_at=row.received_at,
    )


def projected_version_of(row: Any) -> ProjectedVersion:
    """Return a projected version from its row."""
    return ProjectedVersion(
        row.version,
        DeliveryKind(row.kind),
        row.batch,
        row.added,
        row.updated,
        row.deleted,
        row.rows,
        row.digest,
        row.delivered_digest,
    )
