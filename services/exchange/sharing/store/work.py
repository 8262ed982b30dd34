"""What waits for somebody: open requests by the roles of who asks."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement, func, literal_column, tuple_
from sqlmodel import and_, col, exists, or_, select

from kit.db import Tx
from services.exchange.sharing.domain import RULES, WAITING, Actor, RequestState, Side, Step
from services.exchange.sharing.models import RequestRow, RequestStepRow

NEVER: Final = date.max
"""Sorts what the law sets no limit for behind everything else."""


@dataclass(frozen=True, slots=True)
class Work:
    """One request that waits for a step.

    Attributes:
        due: last day of the step in Asia/Shanghai; None when the law sets no limit.
        renews: id of the grant that shall be prolonged.
    """

    request: str
    step: Step
    since: datetime
    due: date | None
    resource: str
    consumer: str
    owner: str
    share_class: str
    scenario: str
    renews: str | None


async def list_for(tx: Tx, actor: Actor, after: tuple[date, str] | None, limit: int) -> list[Work]:
    """Return up to `limit` requests whose next step the actor may take; one statement.

    What is due first comes first. Requests in which the actor took a step that the next one must
    check are left out: somebody else has to take it.

    Args:
        after: due day (`NEVER` for none) and id of the last request that was seen.
    """
    waits = [_waits(state, step, actor) for state, step in WAITING.items()]
    mine = [condition for condition in waits if condition is not None]
    if not mine:
        return []
    due = func.coalesce(col(RequestRow.due), literal_column(f"DATE '{NEVER}'"))
    query = select(RequestRow).where(or_(*mine)).order_by(due, col(RequestRow.id)).limit(limit)
    if after is not None:
        query = query.where(tuple_(due, col(RequestRow.id)) > after)
    return [_work(row) for row in await tx.exec(query)]


def _waits(state: RequestState, step: Step, actor: Actor) -> ColumnElement[bool] | None:
    """Return the condition that a request in `state` waits for the actor, None if none can."""
    rule = RULES[step]
    if rule.roles.isdisjoint(actor.roles):
        return None
    side = RequestRow.owner if rule.side is Side.OWNER else RequestRow.consumer
    taken = (
        exists()
        .where(col(RequestStepRow.request) == col(RequestRow.id))
        .where(col(RequestStepRow.actor) == actor.subject)
        .where(col(RequestStepRow.step).in_(rule.apart_from))
    )
    return and_(col(side) == actor.agency, col(RequestRow.state) == state, ~taken)


def _work(row: RequestRow) -> Work:
    return Work(
        request=row.id,
        step=WAITING[RequestState(row.state)],
        since=row.since,
        due=row.due,
        resource=row.resource,
        consumer=row.consumer,
        owner=row.owner,
        share_class=row.share_class,
        scenario=row.scenario,
        renews=row.renews,
    )
