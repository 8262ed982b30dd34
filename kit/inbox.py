"""The inbox: an event takes effect once, because its id is written in the effect's transaction.

Ids stay for 30 days, then the relay removes them. Fact topics keep their messages for 7 days
(`kit.topics`), so no message is left that could come again. Parked messages stay until they are
handled: their ids were never written.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, DateTime, Integer, LargeBinary, Table, Text, delete
from sqlalchemy.dialects.postgresql import insert

from kit.clock import SystemClock
from kit.db import Tx
from kit.outbox import KIT_TABLES

DAYS: Final = 30
"""How long an id stays."""

INBOX: Final = Table(
    "inbox",
    KIT_TABLES,
    Column("event_id", Text, primary_key=True),
    Column("received_at", DateTime(timezone=True), nullable=False),
)

PARKED: Final = Table(
    "parked",
    KIT_TABLES,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("offset", BigInteger, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("error", Text, nullable=False),
    Column("parked_at", DateTime(timezone=True), nullable=False),
)
"""Messages that no handler could take, with the error of the last attempt."""


async def first_time(tx: Tx, event_id: str) -> bool:
    """Write `event_id` into the inbox; tell whether it was not there."""
    connection = await tx.connection()
    result = await connection.execute(
        insert(INBOX)
        .values(event_id=event_id, received_at=SystemClock().now())
        .on_conflict_do_nothing()
    )
    return result.rowcount == 1


async def park(tx: Tx, topic: str, partition: int, offset: int, value: bytes, error: str) -> None:
    """Set a message aside with its error, for `parked list` and `parked replay`."""
    connection = await tx.connection()
    await connection.execute(
        insert(PARKED)
        .values(
            topic=topic,
            partition=partition,
            offset=offset,
            value=value,
            error=error[:2000],
            parked_at=SystemClock().now(),
        )
        .on_conflict_do_nothing()
    )


async def parked(tx: Tx) -> list[tuple[str, int, int, bytes, str]]:
    """Return all parked messages: topic, partition, offset, value, error; oldest first."""
    connection = await tx.connection()
    rows = await connection.execute(PARKED.select().order_by(PARKED.c.parked_at, PARKED.c.offset))
    return [(r.topic, r.partition, r.offset, r.value, r.error) for r in rows]


async def unpark(tx: Tx, topic: str, partition: int, offset: int) -> None:
    """Remove a parked message after it was handled."""
    connection = await tx.connection()
    await connection.execute(
        delete(PARKED).where(
            PARKED.c.topic == topic,
            PARKED.c.partition == partition,
            PARKED.c.offset == offset,
        )
    )
