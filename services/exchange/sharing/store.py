"""All SQL of sharing: rows in, domain objects out."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, true
from sqlmodel import col, or_, select

from kit.db import Tx
from services.exchange.sharing.domain import (
    Actor,
    Ask,
    Grant,
    GrantState,
    GrantUnknown,
    Refused,
    Request,
    RequestState,
)
from services.exchange.sharing.models import GrantRow, RequestRow

Answered = tuple[Request, Grant | None]
"""A request with its grant, if it has one."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of requests or grants is narrowed to; None narrows nothing."""

    resource: str | None = None
    state: str | None = None


async def add_request(tx: Tx, request: Request) -> None:
    """Write a request with its answer."""
    ask, refusal = request.ask, request.refusal
    tx.add(
        RequestRow(
            id=request.id,
            requester=request.requester,
            consumer=request.consumer,
            owner=request.owner,
            resource=ask.resource,
            entry=request.entry,
            entry_version=request.entry_version,
            share_class=request.share_class,
            basis=ask.basis,
            scenario=ask.scenario,
            systems=list(ask.systems),
            items=list(ask.items),
            modes=list(ask.modes),
            purposes=list(ask.purposes),
            valid_from=ask.valid_from,
            valid_until=ask.valid_until,
            state=request.state.value,
            refusal_code=None if refusal is None else refusal.code,
            law_title=None if refusal is None else refusal.law_title,
            law_article=None if refusal is None else refusal.law_article,
            created_at=request.created_at,
        )
    )
    await tx.flush()


async def add_grant(tx: Tx, grant: Grant) -> None:
    """Write a new grant."""
    tx.add(GrantRow(**_columns(grant)))
    await tx.flush()


async def save_grant(tx: Tx, grant: Grant) -> None:
    """Write a changed grant whose row is locked by `tx`."""
    row = await tx.get_one(GrantRow, grant.id)
    row.version = grant.version
    row.state = grant.state.value
    row.reason = grant.reason
    row.changed_at = grant.changed_at
    await tx.flush()


async def lock_grant(tx: Tx, grant_id: str) -> Grant:
    """Return the grant, row-locked until `tx` ends.

    Raises:
        GrantUnknown: no such grant.
    """
    query = select(GrantRow).where(GrantRow.id == grant_id).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        raise GrantUnknown(f"Grant {grant_id} does not exist.")
    return _grant(row)


async def lock_grants_of_entry(tx: Tx, entry_id: str) -> list[Grant]:
    """Return and lock the grants of an entry that have not ended, in id order."""
    query = (
        select(GrantRow)
        .where(GrantRow.entry == entry_id, GrantRow.state != GrantState.ENDED)
        .order_by(col(GrantRow.id))
        .with_for_update()
    )
    return [_grant(row) for row in await tx.exec(query)]


async def lock_page(tx: Tx, after: str, limit: int) -> list[Grant]:
    """Return and lock the next grants in id order, to publish their states again."""
    query = (
        select(GrantRow)
        .where(GrantRow.id > after)
        .order_by(col(GrantRow.id))
        .limit(limit)
        .with_for_update()
    )
    return [_grant(row) for row in await tx.exec(query)]


async def find_grant(tx: Tx, grant_id: str) -> Grant | None:
    """Return the grant, or None."""
    row = await tx.get(GrantRow, grant_id)
    return None if row is None else _grant(row)


async def find_request(tx: Tx, request_id: str) -> Answered | None:
    """Return the request with its grant, or None."""
    query = (
        select(RequestRow, GrantRow)
        .outerjoin(GrantRow, col(GrantRow.request) == col(RequestRow.id))
        .where(RequestRow.id == request_id)
    )
    found = (await tx.exec(query)).one_or_none()
    return None if found is None else _answered(found[0], found[1])


async def list_requests(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Answered]:
    """Return up to `limit` requests that the actor may know of, in id order; one statement."""
    query = (
        select(RequestRow, GrantRow)
        .outerjoin(GrantRow, col(GrantRow.request) == col(RequestRow.id))
        .where(_of_either_side(RequestRow, actor))
        .order_by(col(RequestRow.id))
        .limit(limit)
    )
    if filters.resource is not None:
        query = query.where(RequestRow.resource == filters.resource)
    if filters.state is not None:
        query = query.where(RequestRow.state == filters.state)
    if after is not None:
        query = query.where(RequestRow.id > after)
    return [_answered(request, grant) for request, grant in await tx.exec(query)]


async def list_grants(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that the actor may know of, in id order; one statement."""
    seen = _of_either_side(GrantRow, actor)
    if actor.supervises:
        seen = or_(seen, col(GrantRow.owner).in_(actor.supervises))
    query = select(GrantRow).where(seen).order_by(col(GrantRow.id)).limit(limit)
    if filters.resource is not None:
        query = query.where(GrantRow.resource == filters.resource)
    if filters.state is not None:
        query = query.where(GrantRow.state == filters.state)
    if after is not None:
        query = query.where(GrantRow.id > after)
    return [_grant(row) for row in await tx.exec(query)]


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
    return [_grant(row) for row in await tx.exec(query)]


def _of_either_side(row: type[RequestRow] | type[GrantRow], actor: Actor) -> ColumnElement[bool]:
    if actor.sees_all:
        return true()
    return and_(or_(col(row.consumer) == actor.agency, col(row.owner) == actor.agency))


def _columns(grant: Grant) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(grant).items()
    }


def _grant(row: GrantRow) -> Grant:
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
        items=tuple(row.items),
        modes=tuple(row.modes),
        operations=tuple(row.operations),
        purposes=tuple(row.purposes),
        valid_from=row.valid_from,
        valid_until=row.valid_until,
        state=GrantState(row.state),
        reason=row.reason,
        created_at=row.created_at,
        changed_at=row.changed_at,
    )


def _answered(row: RequestRow, grant: GrantRow | None) -> Answered:
    refusal = (
        None
        if row.refusal_code is None
        else Refused(row.refusal_code, row.law_title or "", row.law_article or "")
    )
    request = Request(
        id=row.id,
        requester=row.requester,
        consumer=row.consumer,
        owner=row.owner,
        entry=row.entry,
        entry_version=row.entry_version,
        share_class=row.share_class,
        ask=Ask(
            basis=row.basis,
            scenario=row.scenario,
            resource=row.resource,
            systems=tuple(row.systems),
            items=tuple(row.items),
            modes=tuple(row.modes),
            purposes=tuple(row.purposes),
            valid_from=row.valid_from,
            valid_until=row.valid_until,
        ),
        state=RequestState(row.state),
        grant=None if grant is None else grant.id,
        refusal=refusal,
        created_at=row.created_at,
    )
    return request, None if grant is None else _grant(grant)
