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
