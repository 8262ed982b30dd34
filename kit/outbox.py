"""The outbox: a change and its events are one transaction; the relay publishes them later.

`published_at` is a flag on the row and never an id comparison, since ids commit out of order.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    insert,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.clock import SystemClock
from kit.db import NAMING, Db, Tx
from kit.events import Fact, State, envelope
from kit.ids import uuid7

KIT_TABLES: Final = MetaData(naming_convention=NAMING)
"""Tables that every service's database has; `kit.migrate.create_kit_tables` creates them."""

DAYS: Final = 1
"""How long published rows stay, for a look at what was sent; the relay removes them."""

APPENDED: Final = "outbox_appended"
"""Channel on which `append` wakes the relay at commit."""

OUTBOX: Final = Table(
    "outbox",
    KIT_TABLES,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("fact", Integer, nullable=False),
    Column("sequence", BigInteger),
    Column("envelope", JSONB, nullable=False),
    Column("published_at", DateTime(timezone=True)),
    Index("ix_outbox_unpublished", "id", postgresql_where=text("published_at IS NULL")),
)

SEQUENCES: Final = Table(
    "outbox_sequence",
    KIT_TABLES,
    Column("topic", Text, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""Last sequence that the relay gave to a fact of each topic: dense from 1, so gaps show."""

INCARNATION: Final = Table(
    "incarnation",
    KIT_TABLES,
    Column("value", BigInteger, primary_key=True),
)
"""One row; rises when the database is restored, so that readers take the restored versions."""

LEASE: Final = Table(
    "relay_lease",
    KIT_TABLES,
    Column("id", Integer, primary_key=True),
    Column("renewed_at", DateTime(timezone=True), nullable=False),
)
"""One row, renewed each second by the relay that holds the advisory lock."""


async def append(tx: Tx, *events: State | Fact) -> list[int]:
    """Add `events` to the transaction, in order, and wake the relay at its commit.

    Returns:
        The row ids, for `wait_published`.
    """
    if not events:
        return []
    now = SystemClock().now()
    rows = [
        {
            "topic": event.topic,
            "key": event.subject,
            "fact": int(isinstance(event, Fact)),
            "envelope": envelope(event, source=f"/{tx.info['part']}", event_id=uuid7(), at=now),
        }
        for event in events
    ]
    connection = await tx.connection()
    ids = await connection.execute(
        insert(OUTBOX).returning(OUTBOX.c.id, sort_by_parameter_order=True), rows
    )
    await connection.execute(select(func.pg_notify(APPENDED, "")))
    return [row.id for row in ids]


async def wait_published(db: Db, ids: Sequence[int], seconds: float = 2.0) -> bool:
    """Wait until the bus has acknowledged the rows `ids`, at most `seconds`.

    Returns:
        True when all were acknowledged; False when that took longer. Rows that were cleaned up
        count as acknowledged.
    """
    end = time.monotonic() + seconds
    # One parameter, however many rows: a statement has at most 32767.
    waited = bindparam("ids", list(ids), type_=ARRAY(BigInteger))
    query = (
        select(func.count())
        .select_from(OUTBOX)
        .where(OUTBOX.c.id == func.any(waited), OUTBOX.c.published_at.is_(None))
    )
    while True:
        async with db.begin() as tx:
            connection = await tx.connection()
            waiting = (await connection.execute(query)).scalar_one()
        if waiting == 0:
            return True
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(0.01)
