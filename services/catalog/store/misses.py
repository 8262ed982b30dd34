"""Searches in vain: how often, by agency and day."""

from datetime import date, timedelta
from typing import Final

from sqlalchemy import delete, func, or_
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import and_, col

from kit.db import Tx
from services.catalog.domain import Miss
from services.catalog.models import MissRow

DAYS: Final = 90
"""How long searches in vain are kept."""

MOST: Final = 1000
"""Different searches that are kept of one agency and day; more say nothing new."""


async def add_miss(tx: Tx, query: str, agency: str, day: date) -> None:
    """Count one search for `query` by somebody of `agency`; forget what is older than `DAYS`."""
    connection = await tx.connection()
    await connection.execute(delete(MissRow).where(col(MissRow.day) < day - timedelta(days=DAYS)))
    known = await tx.get(MissRow, (day, agency, query))
    kept = select_columns(func.count()).where(
        col(MissRow.day) == day, col(MissRow.agency) == agency
    )
    if known is None and (await connection.scalar(kept) or 0) >= MOST:
        return
    row = insert(MissRow).values(day=day, agency=agency, query=query, searches=1)
    await connection.execute(
        row.on_conflict_do_update(
            constraint="pk_search_miss", set_={"searches": col(MissRow.searches) + 1}
        )
    )


async def list_misses(tx: Tx, since: date, after: tuple[int, str] | None, limit: int) -> list[Miss]:
    """Return up to `limit` searches in vain since a day, the most frequent ones first.

    Args:
        after: number of searches and words of the last one on the page before.
    """
    searches = func.sum(MissRow.searches)
    words = col(MissRow.query)
    query = (
        select_columns(
            words,
            searches,
            func.count(col(MissRow.agency).distinct()),
            func.max(MissRow.day),
        )
        .where(col(MissRow.day) >= since)
        .group_by(words)
        .order_by(searches.desc(), words)
        .limit(limit)
    )
    if after is not None:
        query = query.having(or_(searches < after[0], and_(searches == after[0], words > after[1])))
    rows = await (await tx.connection()).execute(query)
    return [Miss(text, int(count), agencies, last) for text, count, agencies, last in rows]
