"""Work: what workers have to do. An item stays until its result is committed.

Items of one lane are done in order, one at a time; lanes side by side. Whoever claims an item
holds it by a lease. A worker that was stopped and comes back after its lease is fenced twice:
its transaction is ended by the one who took the item over, and could not remove the item either.
All times are the database's.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from sqlalchemy import text

from kit.clock import Clock
from kit.db import Db, Tx
from kit.ids import uuid7
from services.exchange.transfer.domain import ConsumerKeys, Copies
from services.exchange.transfer.store.news import notify
from services.exchange.transfer.store.objects import Objects

CHANNEL: Final = "transfer_work"
_HOLDS: Final = 0x7472_6177
"""First key of the advisory locks by which the transactions of an item are found."""
_IDLE: Final = "10min"
"""How long a result may compute between two statements. It is ended earlier by a takeover."""

_ADD: Final = text(
    "INSERT INTO work (lane, kind, subject, created_at, attempts)"
    " VALUES (:lane, :kind, CAST(:subject AS jsonb), now(), 0)"
)
_CLAIM: Final = text(
    "UPDATE work SET claimed_by = :claim, attempts = attempts + 1,"
    " claimed_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE id = (SELECT id FROM work w"
    "  WHERE (claimed_until IS NULL OR claimed_until <= clock_timestamp())"
    "  AND NOT EXISTS (SELECT 1 FROM work e WHERE e.lane = w.lane AND e.id < w.id)"
    "  ORDER BY id LIMIT 1 FOR UPDATE OF w SKIP LOCKED)"
    " RETURNING new.id, new.lane, new.kind, new.subject, new.attempts, old.claimed_by AS before"
)
_RENEW: Final = text(
    "UPDATE work SET claimed_until = clock_timestamp() + make_interval(secs => :seconds)"
    " WHERE id = :id AND claimed_by = :claim"
)
_RELEASE: Final = text(
    "UPDATE work SET claimed_by = NULL, failure = :failure,"
    " claimed_until = clock_timestamp() + make_interval(secs => :after)"
    " WHERE id = :id AND claimed_by = :claim"
)
_END: Final = (
    "SELECT pg_terminate_backend(l.pid) FROM work w JOIN pg_locks l"
    " ON l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid::bigint = :holds"
    " AND l.objid::bigint = (w.id & 4294967295) AND l.granted AND l.pid <> pg_backend_pid()"
    " JOIN pg_database d ON d.oid = l.database AND d.datname = current_database()"
)
_END_LAPSED: Final = text(f"{_END} WHERE w.claimed_until <= clock_timestamp()")
_END_HOLDER: Final = text(f"{_END} WHERE w.id = :id")


@dataclass(frozen=True, slots=True)
class Work:
    """One claimed item.

    Attributes:
        lane: items of one lane are done one after the other.
        claim: who holds it; another one for each claim.
        attempts: how often it was claimed, this time included.
    """

    id: int
    lane: str
    kind: str
    subject: Mapping[str, Any]
    claim: str
    attempts: int


class LeaseLost(Exception):
    """Another worker has taken the item over; nothing of the result may be kept."""


@dataclass(frozen=True, slots=True)
class Context:
    """What an item is done with.

    Attributes:
        copies: grants as they are now; nothing is made under one that was ended.
        keys: of pseudonyms; a process that projects has them.
        is_current: whether the copies are; read anew or cut off they may show what was before.
    """

    db: Db
    objects: Objects
    clock: Clock
    copies: Copies = field(default_factory=Copies)
    keys: ConsumerKeys | None = None
    is_current: Callable[[], bool] = lambda: True

    @asynccontextmanager
    async def result(self, work: Work) -> AsyncIterator[Tx]:
        """Open the one transaction that holds the result of `work` and removes the item.

        It is READ COMMITTED, as the lease is renewed beside it; it may last as long as it needs.

        Raises:
            LeaseLost: at the end, which undoes everything.
        """
        async with self.db.begin() as tx:
            await hold(tx, work)
            yield tx
            await finish(tx, work)


async def add(tx: Tx, lane: str, kind: str, subject: Mapping[str, Any]) -> None:
    """Add an item at the end of `lane`, and wake a worker at commit."""
    connection = await tx.connection()
    # Ids of one lane are given and committed in one order: a later item never overtakes.
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:lane, 0))").bindparams(
            lane=f"work/{lane}"
        )
    )
    await connection.execute(
        _ADD.bindparams(lane=lane, kind=kind, subject=orjson.dumps(dict(subject)).decode())
    )
    await notify(tx, CHANNEL)


async def claim(db: Db, *, seconds: float) -> Work | None:
    """Claim the oldest item that nobody holds and that is the first of its lane, if there is one.

    A result that the holder before was working on is ended: it may hold locks, and it is void.

    Args:
        seconds: length of the lease.
    """
    token = uuid7()
    async with db.begin() as tx:
        connection = await tx.connection()
        # First of all: a holder that was stopped just before its commit has the item locked.
        await connection.execute(_END_LAPSED.bindparams(holds=_HOLDS))
        row = (
            await connection.execute(_CLAIM.bindparams(claim=token, seconds=seconds))
        ).one_or_none()
        if row is None:
            return None
        if row.before is not None:
            await connection.execute(_END_HOLDER.bindparams(holds=_HOLDS, id=row.id))
    return Work(row.id, row.lane, row.kind, row.subject, token, row.attempts)


async def renew(db: Db, work: Work, *, seconds: float) -> bool:
    """Hold `work` for `seconds` from now; tell whether it is still held by this claim."""
    async with db.begin() as tx:
        connection = await tx.connection()
        renewed = await connection.execute(
            _RENEW.bindparams(id=work.id, claim=work.claim, seconds=seconds)
        )
        return renewed.rowcount == 1


async def release(db: Db, work: Work, *, after: float, failure: str | None) -> bool:
    """Give `work` back, to be done again after `after` seconds; tell whether it was still held.

    Args:
        failure: why, for operators; null when nothing failed.
    """
    async with db.begin() as tx:
        connection = await tx.connection()
        released = await connection.execute(
            _RELEASE.bindparams(id=work.id, claim=work.claim, after=after, failure=failure)
        )
        if not after:
            await notify(tx, CHANNEL)
        return released.rowcount == 1


async def finish(tx: Tx, work: Work) -> None:
    """Remove `work` in the transaction of its result.

    Raises:
        LeaseLost: another worker has taken it over; the transaction must be undone.
    """
    connection = await tx.connection()
    removed = await connection.execute(
        text("DELETE FROM work WHERE id = :id AND claimed_by = :claim").bindparams(
            id=work.id, claim=work.claim
        )
    )
    if removed.rowcount != 1:
        raise LeaseLost(f"the work {work.id} was taken over")
    # The next item of the lane can be claimed now.
    await notify(tx, CHANNEL)


async def hold(tx: Tx, work: Work) -> None:
    """Mark a transaction as one of `work`, which ends with its claim, and let it take its time."""
    connection = await tx.connection()
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(:holds, :low)").bindparams(
            holds=_HOLDS, low=_signed(_low(work.id))
        )
    )
    await connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE}'"))


def _low(work_id: int) -> int:
    """Return the part of an id that fits a lock's second key, as PostgreSQL lists it."""
    return work_id & 0xFFFF_FFFF


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number
