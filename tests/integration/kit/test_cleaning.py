"""Rows that have served their time go; younger ones and unpublished ones stay."""

from datetime import timedelta

from kit.clock import SystemClock
from kit.idempotency import IDEMPOTENCY
from kit.inbox import INBOX
from kit.outbox import OUTBOX
from tests.integration.kit.conftest import Part
from tests.support.processes import wait_until


async def test_a_relay_removes_old_rows_and_no_others(part: Part) -> None:
    now = SystemClock().now()
    await part.append(*(part.state(n) for n in (1, 2)))
    async with part.db.begin() as tx:
        connection = await tx.connection()
        for key, age in {"old": 7, "young": 6}.items():
            await connection.execute(
                IDEMPOTENCY.insert().values(
                    caller="person/1",
                    route="/requests",
                    key=key,
                    fingerprint="f",
                    created_at=now - timedelta(days=age, hours=1),
                )
            )
        for event, age in {"old": 30, "young": 29}.items():
            await connection.execute(
                INBOX.insert().values(
                    event_id=event, received_at=now - timedelta(days=age, hours=1)
                )
            )
        await connection.execute(
            OUTBOX.update().where(OUTBOX.c.id == 1).values(published_at=now - timedelta(days=2))
        )

    relay = part.start_relay()
    await wait_until(lambda: relay.ready, 20)

    assert [row.key for row in await part.rows("SELECT key FROM idempotency")] == ["young"]
    assert [row.event_id for row in await part.rows("SELECT event_id FROM inbox")] == ["young"]
    assert [row.id for row in await part.rows("SELECT id FROM outbox")] == [2]
