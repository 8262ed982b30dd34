"""`Idempotency-Key`: the same call twice has one effect and one answer.

Follows draft-ietf-httpapi-idempotency-key-header-07: keys are kept with the answer in the
transaction of the effect, per caller and route; the same key with another path or body is refused.

Keys stay for 7 days, then the relay removes them: a call repeated later is a new one. Retries
come within minutes; the draft leaves the time to the server (section 2.3).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sqlalchemy import Column, DateTime, Integer, Table, Text, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from kit.clock import SystemClock
from kit.db import Tx
from kit.errors import DomainError, Kind
from kit.outbox import KIT_TABLES

DAYS: Final = 7
"""How long a key and its answer stay."""

IDEMPOTENCY: Final = Table(
    "idempotency",
    KIT_TABLES,
    Column("caller", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("status", Integer),
    Column("answer", JSONB),
    Column("created_at", DateTime(timezone=True), nullable=False),
)


class KeyRequired(DomainError):
    """The route needs an `Idempotency-Key`."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "idempotency-key-required"


class KeyReused(DomainError):
    """The key came before with another path or body."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "idempotency-key-reused"


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one call: which route, which text, which path and body (SHA-256, hex)."""

    route: str
    text: str
    fingerprint: str


async def replay(tx: Tx, caller: str, key: Key) -> tuple[int, Any] | None:
    """Claim `key` for `caller`; return status and answer if it had its effect before.

    A second call with the same key waits here for the first one's transaction.

    Raises:
        KeyReused: the same key with another path or body.
    """
    connection = await tx.connection()
    claimed = await connection.execute(
        insert(IDEMPOTENCY)
        .values(
            caller=caller,
            route=key.route,
            key=key.text,
            fingerprint=key.fingerprint,
            created_at=SystemClock().now(),
        )
        .on_conflict_do_nothing()
    )
    if claimed.rowcount == 1:
        return None
    row = (
        await connection.execute(
            select(IDEMPOTENCY).where(
                IDEMPOTENCY.c.caller == caller,
                IDEMPOTENCY.c.route == key.route,
                IDEMPOTENCY.c.key == key.text,
            )
        )
    ).one()
    if row.fingerprint != key.fingerprint:
        raise KeyReused("This Idempotency-Key came before with another path or body.")
    return row.status, row.answer


async def remember(tx: Tx, caller: str, key: Key, status: int, answer: Any) -> None:
    """Keep the answer of a claimed key in the effect's transaction."""
    connection = await tx.connection()
    await connection.execute(
        IDEMPOTENCY.update()
        .where(
            IDEMPOTENCY.c.caller == caller,
            IDEMPOTENCY.c.route == key.route,
            IDEMPOTENCY.c.key == key.text,
        )
        .values(status=status, answer=answer)
    )
