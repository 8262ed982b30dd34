"""Grants in rows."""

from datetime import datetime

from sqlmodel import col, or_, select

from kit.db import Tx
from services.exchange.sharing.domain import Actor, Grant, GrantState, Side
from services.exchange.sharing.domain.grant import unknown
from services.exchange.sharing.models import GrantRow
from services.exchange.sharing.store.terms import (
    Filters,
    columns_of,
    law_of,
    of_either_side,
    terms_of,
)


async def add(tx: Tx, grant: Grant) -> None:
    """Write a new grant."""
    tx.add(
        GrantRow(
            id=grant.id,
            version=grant.version,
            request=grant.request,
            resource=grant.resource,
            entry=grant.entry,
            entry_version=grant.entry_version,
            owner=grant.owner,
            consumer=grant.consumer,
            share_class=grant.share_class,
            basis=grant.basis,
            systems=list(grant.systems),
            valid_from=grant.valid_from,
            valid_until=grant.valid_until,
            state=grant.state.value,
            reason=grant.reason,
            created_at=grant.created_at,
            changed_at=grant.changed_at,
            suspended_by=grant.suspended_by,
            **columns_of(grant.terms, grant.statutory),
        )
    )
    await tx.flush()


async def save(tx: Tx, grant: Grant) -> None:
    """Write a changed grant whose row is locked by `tx`."""
    row = await tx.get_one(GrantRow, grant.id)
    row.version = grant.version
    row.entry_version = grant.entry_version
    row.valid_from = grant.valid_from
    row.valid_until = grant.valid_until
    row.state = grant.state.value
    row.reason = grant.reason
    row.changed_at = grant.changed_at
    row.suspended_by = grant.suspended_by
    for name, value in columns_of(grant.terms, grant.statutory).items():
        setattr(row, name, value)
    await tx.flush()


async def lock(tx: Tx, grant_id: str) -> Grant:
    """Return the grant, row-locked until `tx` ends.

    Raises:
        GrantUnknown: no such grant.
    """
    query = select(GrantRow).where(GrantRow.id == grant_id).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        raise unknown(grant_id)
    return read(row)


async def lock_of_entry(tx: Tx, entry_id: str) -> list[Grant]:
    """Return and lock the grants of an entry that have not ended, in id order."""
    query = (
        select(GrantRow)
        .where(GrantRow.entry == entry_id, GrantRow.state != GrantState.ENDED)
        .order_by(col(GrantRow.id))
        .with_for_update()
    )
    return [read(row) for row in await tx.exec(query)]


async def lock_page(tx: Tx, after: str, limit: int) -> list[Grant]:
    """Return and lock the next grants in id order, to publish their states again."""
    query = (
        select(GrantRow)
        .where(GrantRow.id > after)
        .order_by(col(GrantRow.id))
        .limit(limit)
        .with_for_update()
    )
    return [read(row) for row in await tx.exec(query)]


async def find(tx: Tx, grant_id: str) -> Grant | None:
    """Return the grant, or None."""
    row = await tx.get(GrantRow, grant_id)
    return None if row is None else read(row)


async def list_visible(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that the actor may know of, in id order; one statement."""
    seen = of_either_side(GrantRow, actor)
    if actor.supervises:
        seen = or_(seen, col(GrantRow.owner).in_(actor.supervises))
    query = select(GrantRow).where(seen).order_by(col(GrantRow.id)).limit(limit)
    if filters.resource is not None:
        query = query.where(GrantRow.resource == filters.resource)
    if filters.state is not None:
        query = query.where(GrantRow.state == filters.state)
    if after is not None:
        query = query.where(GrantRow.id > after)
    return [read(row) for row in await tx.exec(query)]


async def list_usable(
    tx: Tx, consumer: str, system: str | None, now: datetime, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that `consumer` may use at `now`, in id order; one statement.

    Args:
        system: only those that name this system.
    """
    query = (
        select(GrantRow)
        .where(
            GrantRow.consumer == consumer,
            GrantRow.state == GrantState.ACTIVE,
            GrantRow.valid_from <= now,
            GrantRow.valid_until > now,
        )
        .order_by(col(GrantRow.id))
        .limit(limit)
    )
    if system is not None:
        query = query.where(col(GrantRow.systems).contains([system]))
    if after is not None:
        query = query.where(GrantRow.id > after)
    return [read(row) for row in await tx.exec(query)]


def read(row: GrantRow) -> Grant:
    """Return the grant in a row."""
    return Grant(
        id=row.id,
        version=row.version,
        request=row.request,
        resource=row.resource,
        entry=row.entry,
        entry_version=row.entry_version,
        owner=row.owner,
        consumer=row.consumer,
        share_class=row.share_class,
        basis=row.basis,
        systems=tuple(row.systems),
        terms=terms_of(row),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        statutory=law_of(row.statutory_title, row.statutory_article),
        state=GrantState(row.state),
        reason=row.reason,
        created_at=row.created_at,
        changed_at=row.changed_at,
        suspended_by=None if row.suspended_by is None else Side(row.suspended_by),
    )
