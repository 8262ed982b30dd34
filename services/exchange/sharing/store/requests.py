"""Requests and their steps in rows."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlmodel import col, select

from kit.clock import parse_rfc3339, rfc3339
from kit.db import Tx
from services.exchange.sharing.domain import (
    OPEN,
    Actor,
    Answer,
    Ask,
    Decision,
    Grant,
    Refusal,
    Request,
    RequestState,
    Step,
    Taken,
    Terms,
)
from services.exchange.sharing.domain.filters import as_data, from_data
from services.exchange.sharing.domain.request import unknown
from services.exchange.sharing.models import GrantRow, RequestRow, RequestStepRow
from services.exchange.sharing.store import grants
from services.exchange.sharing.store.terms import (
    Filters,
    columns_of,
    law_of,
    masks_data,
    masks_of,
    of_either_side,
    terms_of,
)

Answered = tuple[Request, Grant | None]
"""A request with its grant, if it has one."""


async def add(tx: Tx, request: Request) -> None:
    """Write a new request with its steps."""
    ask = request.ask
    row = RequestRow(
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
        valid_from=ask.valid_from,
        valid_until=ask.valid_until,
        renews=request.renews,
        created_at=request.created_at,
        version=request.version,
        state=request.state.value,
        since=request.since,
        **columns_of(ask.terms, ask.statutory),
    )
    _move(row, request)
    tx.add(row)
    await tx.flush()
    await _add_steps(tx, request, 0)


async def save(tx: Tx, before: Request, request: Request) -> None:
    """Write a request that went on from `before`, and whose row is locked by `tx`."""
    _move(await tx.get_one(RequestRow, request.id), request)
    await _add_steps(tx, request, len(before.steps))


async def lock(tx: Tx, request_id: str) -> Request:
    """Return the request, row-locked until `tx` ends.

    Raises:
        RequestUnknown: no such request.
    """
    query = select(RequestRow).where(RequestRow.id == request_id).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        raise unknown(request_id)
    return _request(row, (await _steps(tx, [row.id])).get(row.id, ()))


async def lock_open_of_entry(tx: Tx, entry_id: str) -> list[Request]:
    """Return and lock the requests for an entry that have not ended, in id order."""
    query = (
        select(RequestRow)
        .where(RequestRow.entry == entry_id, col(RequestRow.state).in_(OPEN))
        .order_by(col(RequestRow.id))
        .with_for_update()
    )
    rows = (await tx.exec(query)).all()
    steps = await _steps(tx, [row.id for row in rows])
    return [_request(row, steps.get(row.id, ())) for row in rows]


async def find(tx: Tx, request_id: str) -> Answered | None:
    """Return the request with its grant, or None."""
    query = (
        select(RequestRow, GrantRow)
        .outerjoin(GrantRow, col(GrantRow.id) == col(RequestRow.grant))
        .where(RequestRow.id == request_id)
    )
    return next(iter(await _answered(tx, (await tx.exec(query)).all())), None)


async def find_open_renewal(tx: Tx, grant_id: str) -> str | None:
    """Return the id of a request that asks to renew the grant and has not ended, or None."""
    query = (
        select(RequestRow.id)
        .where(RequestRow.renews == grant_id, col(RequestRow.state).in_(OPEN))
        .limit(1)
    )
    return (await tx.exec(query)).one_or_none()


async def list_visible(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Answered]:
    """Return up to `limit` requests that the actor may know of, in id order; two statements."""
    query = (
        select(RequestRow, GrantRow)
        .outerjoin(GrantRow, col(GrantRow.id) == col(RequestRow.grant))
        .where(of_either_side(RequestRow, actor))
        .order_by(col(RequestRow.id))
        .limit(limit)
    )
    if filters.resource is not None:
        query = query.where(RequestRow.resource == filters.resource)
    if filters.state is not None:
        query = query.where(RequestRow.state == filters.state)
    if after is not None:
        query = query.where(RequestRow.id > after)
    return await _answered(tx, (await tx.exec(query)).all())


def _move(row: RequestRow, request: Request) -> None:
    """Put into the row what a step changes."""
    refusal = request.refusal
    row.version = request.version
    row.state = request.state.value
    row.answer = None if request.answer is None else _answer_data(request.answer)
    row.grant = request.grant
    row.since = request.since
    row.due = request.due
    if refusal is not None:
        row.refusal_code = refusal.code
        row.refusal_reason = refusal.reason
        row.law_title = None if refusal.law is None else refusal.law.title
        row.law_article = None if refusal.law is None else refusal.law.article


async def _add_steps(tx: Tx, request: Request, known: int) -> None:
    for number, taken in enumerate(request.steps[known:], known):
        tx.add(
            RequestStepRow(
                request=request.id,
                number=number,
                step=taken.step.value,
                actor=taken.actor,
                at=taken.at,
                reason=taken.reason,
            )
        )
    await tx.flush()


async def _steps(tx: Tx, requests: Sequence[str]) -> dict[str, tuple[Taken, ...]]:
    """Return the steps of all these requests in their order; one statement."""
    query = (
        select(RequestStepRow)
        .where(col(RequestStepRow.request).in_(requests))
        .order_by(col(RequestStepRow.request), col(RequestStepRow.number))
    )
    found: dict[str, tuple[Taken, ...]] = {}
    for row in await tx.exec(query):
        taken = Taken(Step(row.step), row.actor, row.at, row.reason)
        found[row.request] = (*found.get(row.request, ()), taken)
    return found


async def _answered(tx: Tx, rows: Iterable[tuple[RequestRow, GrantRow | None]]) -> list[Answered]:
    rows = list(rows)
    steps = await _steps(tx, [row.id for row, _ in rows])
    return [
        (
            _request(row, steps.get(row.id, ())),
            None if grant is None else grants.read(grant),
        )
        for row, grant in rows
    ]


def _request(row: RequestRow, steps: tuple[Taken, ...]) -> Request:
    return Request(
        id=row.id,
        version=row.version,
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
            terms=terms_of(row),
            valid_from=row.valid_from,
            valid_until=row.valid_until,
            statutory=law_of(row.statutory_title, row.statutory_article),
        ),
        state=RequestState(row.state),
        answer=None if row.answer is None else _answer(row.answer),
        grant=row.grant,
        refusal=_refusal(row),
        renews=row.renews,
        since=row.since,
        due=row.due,
        created_at=row.created_at,
        steps=steps,
    )


def _refusal(row: RequestRow) -> Refusal | None:
    if row.state != RequestState.REFUSED:
        return None
    return Refusal(row.refusal_code, row.refusal_reason, law_of(row.law_title, row.law_article))


def _answer_data(answer: Answer) -> dict[str, Any]:
    terms = answer.terms
    return {
        "decision": answer.decision.value,
        "reason": answer.reason,
        "modes": list(terms.modes),
        "items": list(terms.items),
        "operations": list(terms.operations),
        "purposes": list(terms.purposes),
        "row_filter": as_data(terms.row_filter),
        "masks": masks_data(terms),
        "valid_until": rfc3339(answer.valid_until),
    }


def _answer(data: dict[str, Any]) -> Answer:
    terms = Terms(
        modes=tuple(data["modes"]),
        items=tuple(data["items"]),
        operations=tuple(data["operations"]),
        purposes=tuple(data["purposes"]),
        row_filter=from_data(data["row_filter"]),
        masks=masks_of(data["masks"]),
    )
    return Answer(
        Decision(data["decision"]), data["reason"], terms, parse_rfc3339(data["valid_until"])
    )
