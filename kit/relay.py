"""The relay: a process of its own that publishes a service's outbox in order, and beats.

One relay of a service works at a time: it holds an advisory lock and renews a lease each second;
a waiting one takes over when the lease is 5 s old. A relay that was stopped and comes back is
fenced by Kafka (`transactional_id`), so it can publish nothing any more (`Relay._turn`).
A send that failed or timed out is *unknown*: the producer is closed, a new one sends again from
the oldest unpublished row; readers ignore what is not newer.
Once a minute it removes what has served its time from the outbox, the inbox and the idempotency
keys; each of these modules says how long that is (`DAYS`).
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerFenced

from kit import idempotency, inbox, outbox
from kit.canonical import canonical
from kit.clock import SystemClock
from kit.events import BEAT_KEY, beat
from kit.ids import uuid7
from kit.kafka import within
from kit.logging import get_logger

BEAT_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.25
CLEAN_SECONDS: Final = 60.0
LEASE_SECONDS: Final = 5
SEND_SECONDS: Final = 15.0
PAGE: Final = 500
LOCK: Final = 0x72656C6179

_CLAIM = """
SELECT id, topic, key, fact, sequence, envelope::text AS envelope FROM outbox
WHERE published_at IS NULL ORDER BY id LIMIT $1
"""
_NUMBER = """
INSERT INTO outbox_sequence (topic, last) VALUES ($1, $2)
ON CONFLICT (topic) DO UPDATE SET last = outbox_sequence.last + $2 RETURNING last
"""
_CLEAN: Final = (
    f"DELETE FROM outbox WHERE published_at < now() - make_interval(days => {outbox.DAYS})",  # noqa: S608 - numbers of ours
    f"DELETE FROM idempotency WHERE created_at < now() - make_interval(days => {idempotency.DAYS})",  # noqa: S608
    f"DELETE FROM inbox WHERE received_at < now() - make_interval(days => {inbox.DAYS})",  # noqa: S608
)

log = get_logger()


class Fenced(Exception):
    """Another relay of this service has taken over; the process ends."""


class Relay:
    """Publishes one outbox.

    Args:
        url: the service's database.
        part: the service; names the transactional id and the source of beats.
        beats: state topics on which to beat once a second.
        kafka: options of aiokafka clients (`kit.kafka.client_options`).
    """

    def __init__(self, url: str, part: str, beats: Sequence[str], kafka: Mapping[str, Any]) -> None:
        self._url = url
        self._part = part
        self._beats = tuple(beats)
        self._kafka = dict(kafka)
        self._incarnation = 0
        self._wake = asyncio.Event()
        self._producer: AIOKafkaProducer | None = None
        self._last_beat = 0.0
        self._cleaned_at = float("-inf")
        self._connected = False
        self.ready = False

    async def run(self) -> None:
        """Publish until cancelled.

        Raises:
            Fenced: another relay has taken over.
        """
        try:
            while True:
                try:
                    await self._publish_with_database()
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    log.warning("database lost", error=str(error))
                    # A connection that ended says nothing of the database: another relay may
                    # have ended it. Only one that cannot be made does.
                    if not self._connected:
                        await self._beat_without_database()
        finally:
            await self._close_producer()

    async def _publish_with_database(self) -> None:
        """Hold the lock on one connection and publish until that connection breaks."""
        self._connected = False
        connection = await asyncpg.connect(
            self._url, timeout=5, server_settings={"application_name": f"datong-{self._part}-relay"}
        )
        self._connected = True
        try:
            await self._take_lock(connection)
            # The producer starts after the lock is ours: its start fences the relay before us.
            await self._close_producer()
            self._incarnation = await connection.fetchval("SELECT value FROM incarnation")
            await connection.add_listener(outbox.APPENDED, lambda *_: self._wake.set())
            while True:
                await self._turn(connection)
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)

    async def _take_lock(self, connection: asyncpg.Connection) -> None:
        """Wait for the advisory lock; end a holder that has not renewed its lease."""
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
            await connection.execute(
                """
                SELECT pg_terminate_backend(l.pid)
                FROM pg_locks l JOIN pg_database d ON d.oid = l.database, relay_lease r
                WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database()
                  AND l.classid::bigint << 32 | l.objid::bigint = $1
                  AND r.renewed_at < now() - make_interval(secs => $2)
                """,
                LOCK,
                LEASE_SECONDS,
            )
            await asyncio.sleep(POLL_SECONDS)
        await connection.execute("UPDATE relay_lease SET renewed_at = now()")

    async def _turn(self, connection: asyncpg.Connection) -> None:
        """Publish one page, or a beat when it is time, or wait for either.

        The order is what keeps old states off the bus: the lock is seen to be ours, then the
        producer is opened, then rows are claimed. A relay that stops after the claim and is
        replaced has a producer that was opened before its successor's, and is fenced; one that
        opened it afterwards would fence the successor and publish what it claimed long ago.
        """
        self._wake.clear()
        due = time.monotonic() - self._last_beat >= BEAT_SECONDS
        if due or self._producer is None:
            await connection.execute("UPDATE relay_lease SET renewed_at = now()")
        if due and time.monotonic() - self._cleaned_at >= CLEAN_SECONDS:
            # Reads all of these tables: too dear for every beat.
            for statement in _CLEAN:
                await connection.execute(statement)
            self._cleaned_at = time.monotonic()
        if not await self._has_producer():
            return
        rows = await self._claim(connection)
        if rows or due:
            if not await self._send([_message(row, self._incarnation) for row in rows], "up", due):
                return
            if rows:
                await connection.execute(
                    "UPDATE outbox SET published_at = now() WHERE id = ANY($1::bigint[])",
                    [row["id"] for row in rows],
                )
            self.ready = True
        else:
            until_beat = BEAT_SECONDS - (time.monotonic() - self._last_beat)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, min(POLL_SECONDS, until_beat))):
                    await self._wake.wait()

    async def _claim(self, connection: asyncpg.Connection) -> list[dict[str, Any]]:
        """Return the oldest unpublished rows; facts get their sequence before the first send."""
        rows = [dict(row) for row in await connection.fetch(_CLAIM, PAGE)]
        new = [row for row in rows if row["fact"] and row["sequence"] is None]
        if not new:
            return rows
        async with connection.transaction():
            for topic in sorted({row["topic"] for row in new}):
                of_topic = [row for row in new if row["topic"] == topic]
                last = await connection.fetchval(_NUMBER, topic, len(of_topic))
                for sequence, row in enumerate(of_topic, last - len(of_topic) + 1):
                    row["sequence"] = sequence
            await connection.executemany(
                "UPDATE outbox SET sequence = $2 WHERE id = $1",
                [(row["id"], row["sequence"]) for row in new],
            )
        return rows

    async def _send(
        self, messages: list[tuple[str, bytes, bytes]], database: str, beat_due: bool
    ) -> bool:
        """Send messages and beats in one Kafka transaction; tell whether the bus has them.

        The producer is one that `_has_producer` opened before the messages were claimed.
        """
        if beat_due:
            value = beat(
                source=f"/{self._part}",
                event_id=uuid7(),
                at=SystemClock().now(),
                database=database,
            )
            messages = [*messages, *((topic, BEAT_KEY.encode(), value) for topic in self._beats)]
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await self._transact(messages)
        except ProducerFenced as error:
            raise Fenced(f"another relay of {self._part} has taken over") from error
        except (KafkaError, TimeoutError, OSError) as error:
            await self._lose_bus(error)
            return False
        if beat_due:
            self._last_beat = time.monotonic()
        return True

    async def _beat_without_database(self) -> None:
        """Say once a second that the database is down, so that readers know nothing changed."""
        self.ready = False
        due = time.monotonic() - self._last_beat >= BEAT_SECONDS
        if due and self._incarnation and await self._has_producer():
            await self._send([], "down", beat_due=True)
        await asyncio.sleep(POLL_SECONDS)

    async def _transact(self, messages: list[tuple[str, bytes, bytes]]) -> None:
        """Send all messages in one transaction, or none of them."""
        producer = self._producer
        if producer is None:
            raise RuntimeError("a producer is opened before rows are claimed")
        async with producer.transaction():
            sent = [await producer.send(t, value=v, key=k) for t, k, v in messages]
        await asyncio.gather(*sent)

    async def _has_producer(self) -> bool:
        """Open a producer unless one is open, which fences those before it; tell whether it is."""
        if self._producer is not None:
            return True
        producer = AIOKafkaProducer(**self._kafka, **self._producer_options())
        self._producer = producer
        try:
            await within(SEND_SECONDS, producer.start())
        except (KafkaError, TimeoutError, OSError) as error:
            await self._lose_bus(error)
            return False
        return True

    def _producer_options(self) -> dict[str, Any]:
        return {
            "transactional_id": f"datong-{self._part}-relay",
            "transaction_timeout_ms": 10_000,
            "acks": "all",
            "linger_ms": 0,
            "max_batch_size": 131072,
            "request_timeout_ms": 10_000,
            "retry_backoff_ms": 100,
        }

    async def _lose_bus(self, error: Exception) -> None:
        log.warning("bus did not acknowledge", error=repr(error))
        await self._close_producer()
        await asyncio.sleep(POLL_SECONDS)

    async def _close_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                await within(5, producer.stop())


def _message(row: Mapping[str, Any], incarnation: int) -> tuple[str, bytes, bytes]:
    envelope = orjson.loads(row["envelope"]) | {"incarnation": incarnation}
    if row["fact"]:
        envelope["sequence"] = row["sequence"]
    return row["topic"], row["key"].encode(), canonical(envelope)
