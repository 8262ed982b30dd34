"""Subscriptions: who receives which projection, and how far each has come."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, literal, text, update
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlmodel import col, select

from kit.db import Tx
from services.exchange.transfer.domain import Layout, Start, Subscription, SubscriptionState, View
from services.exchange.transfer.models import DatasetRow, ProjectionRow, SubscriptionRow
from services.exchange.transfer.store.tables import from_json

ACTIVE = SubscriptionState.ACTIVE.value


async def lock_entry(tx: Tx, entry: str) -> None:
    """Let one at a time subscribe to `entry`, or make a new version of its dataset, until the end.

    Whoever subscribes sees every version that was made before, and whoever makes a version sees
    every subscription: no version falls between the two.
    """
    statement = text(
        "SELECT pg_advisory_xact_lock(hashtextextended('subscriptions/' || :entry, 0))"
    )
    await (await tx.connection()).execute(statement.bindparams(entry=entry))


async def dataset_version(tx: Tx, entry: str) -> int:
    """Return the version of the dataset of `entry`; 0 before its first batch."""
    query = select(DatasetRow.version).where(DatasetRow.entry == entry)
    return (await tx.exec(query)).one_or_none() or 0


async def dataset_layout(tx: Tx, entry: str) -> Layout | None:
    """Return the layout of the rows of `entry`, or None before the first batch."""
    query = select(DatasetRow.items).where(DatasetRow.entry == entry)
    items = (await tx.exec(query)).one_or_none()
    return None if items is None else from_json(list(items))


async def add_subscription(tx: Tx, subscription: Subscription) -> None:
    """Write a new subscription."""
    tx.add(
        SubscriptionRow(
            id=subscription.id,
            resource=subscription.resource,
            entry=subscription.entry,
            grant_id=subscription.grant,
            grant_version=subscription.grant_version,
            system=subscription.system,
            agency=subscription.agency,
            projection=subscription.projection,
            starts=subscription.starts.value,
            state=subscription.state.value,
            version=subscription.version,
            sequence=subscription.sequence,
            created_at=subscription.created_at,
        )
    )
    await tx.flush()


async def active_subscription(tx: Tx, grant: str, system: str) -> Subscription | None:
    """Return and lock the subscription of `system` under `grant` that has not ended, or None."""
    query = _query().where(
        SubscriptionRow.grant_id == grant,
        SubscriptionRow.system == system,
        SubscriptionRow.state == ACTIVE,
    )
    return _maybe((await tx.exec(query.with_for_update(of=SubscriptionRow))).one_or_none())


async def find_subscription(
    tx: Tx, subscription: str, *, resource: str, grant: str, system: str, lock: bool = False
) -> Subscription | None:
    """Return a subscription of `system` to `resource` under `grant`, or None.

    Args:
        lock: keep its row locked until `tx` ends.
    """
    query = _query().where(
        SubscriptionRow.id == subscription,
        SubscriptionRow.resource == resource,
        SubscriptionRow.grant_id == grant,
        SubscriptionRow.system == system,
    )
    if lock:
        query = query.with_for_update(of=SubscriptionRow)
    return _maybe((await tx.exec(query)).one_or_none())


async def list_subscriptions(
    tx: Tx, *, resource: str, grant: str, system: str, after: str | None, limit: int
) -> list[Subscription]:
    """Return up to `limit` subscriptions of `system` under `grant`, in id order; one statement."""
    query = (
        _query()
        .where(
            SubscriptionRow.resource == resource,
            SubscriptionRow.grant_id == grant,
            SubscriptionRow.system == system,
        )
        .order_by(col(SubscriptionRow.id))
        .limit(limit)
    )
    if after is not None:
        query = query.where(SubscriptionRow.id > after)
    return [_subscription(*found) for found in await tx.exec(query)]


async def active_under(tx: Tx, grants: Collection[str]) -> list[Subscription]:
    """Return the active subscriptions under any of `grants`, in id order; one statement."""
    query = (
        _query()
        .where(
            col(SubscriptionRow.grant_id) == func.any(literal(list(grants), ARRAY(TEXT))),
            SubscriptionRow.state == ACTIVE,
        )
        .order_by(col(SubscriptionRow.id))
    )
    return [_subscription(*found) for found in await tx.exec(query)]


async def move(tx: Tx, subscription: str, projection: str, grant_version: int) -> None:
    """Let a subscription receive another projection, whose whole table is to come next."""
    statement = (
        update(SubscriptionRow)
        .where(col(SubscriptionRow.id) == subscription)
        .values(projection=projection, grant_version=grant_version, version=None)
    )
    await (await tx.connection()).execute(statement)


async def await_table(tx: Tx, subscription: str) -> bool:
    """Note that the whole table is to come next; tell whether that was not noted before."""
    statement = (
        update(SubscriptionRow)
        .where(col(SubscriptionRow.id) == subscription, col(SubscriptionRow.version).is_not(None))
        .values(version=None)
        .returning(col(SubscriptionRow.id))
    )
    return bool((await (await tx.connection()).execute(statement)).all())


async def end_subscriptions(tx: Tx, subscriptions: Collection[str], at: datetime) -> list[str]:
    """End those of `subscriptions` that are active, and return their ids; one statement."""
    statement = (
        update(SubscriptionRow)
        .where(
            col(SubscriptionRow.id).in_(subscriptions),
            col(SubscriptionRow.state) == ACTIVE,
        )
        .values(state=SubscriptionState.ENDED.value, ended_at=at)
        .returning(col(SubscriptionRow.id))
    )
    return [row.id for row in await (await tx.connection()).execute(statement)]


async def lock_receivers(tx: Tx, projection: str) -> list[Subscription]:
    """Return and lock the active subscriptions of a projection, in id order."""
    query = (
        _query()
        .where(SubscriptionRow.projection == projection, SubscriptionRow.state == ACTIVE)
        .order_by(col(SubscriptionRow.id))
        .with_for_update(of=SubscriptionRow)
    )
    return [_subscription(*found) for found in await tx.exec(query)]


def _query() -> Any:
    return select(SubscriptionRow, ProjectionRow.view).join(
        ProjectionRow, col(ProjectionRow.id) == col(SubscriptionRow.projection)
    )


def _maybe(found: Any) -> Subscription | None:
    return None if found is None else _subscription(*found)


def _subscription(row: SubscriptionRow, view: Mapping[str, Any]) -> Subscription:
    return Subscription(
        id=row.id,
        resource=row.resource,
        entry=row.entry,
        grant=row.grant_id,
        system=row.system,
        agency=row.agency,
        grant_version=row.grant_version,
        projection=row.projection,
        view=View.from_json(view),
        starts=Start(row.starts),
        state=SubscriptionState(row.state),
        version=row.version,
        sequence=row.sequence,
        created_at=row.created_at,
    )
