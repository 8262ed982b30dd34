"""Which objects are named by a row that still needs them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import text

from kit.db import Tx

_NAMED: Final = text(
    "SELECT c.object FROM chunk c JOIN batch b ON b.id = c.batch"
    " WHERE c.object = ANY(CAST(:names AS text[]))"
    " AND (b.finished_at IS NULL OR b.finished_at > :ended_before)"
    " UNION SELECT object FROM effect_segment WHERE object = ANY(CAST(:names AS text[]))"
    " UNION SELECT object FROM projected_segment WHERE object = ANY(CAST(:names AS text[]))"
)


async def named(tx: Tx, names: Sequence[str], *, ended_before: datetime) -> set[str]:
    """Return those of `names` that a row needs; chunks are not once their batch ended before."""
    connection = await tx.connection()
    found = await connection.execute(
        _NAMED.bindparams(names=list(names), ended_before=ended_before)
    )
    return set(found.scalars())


async def oldest_work(tx: Tx) -> float:
    """Return how many seconds ago the oldest work was added that is not done; 0 without any.

    What it has put since is named when its result is committed.
    """
    connection = await tx.connection()
    found = await connection.execute(
        text(
            "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - created_at)), 0)"
            "::float8 FROM work"
        )
    )
    return float(found.scalar_one())
