"""A part with a database, topics of its own, and ways to look at both."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from sqlalchemy import text

from kit.db import Db
from kit.events import Fact, State
from kit.migrate import upgrade
from kit.outbox import append
from kit.relay import Relay
from tests.support.kafka import create_topics

PACKAGE = "tests.integration.kit.part"
COMPACT = {"cleanup.policy": "compact"}


@dataclass
class Part:
    """A part of the platform, as far as the kit sees one."""

    url: str
    bootstrap: str
    prefix: str
    db: Db
    tasks: list[asyncio.Task[Any]] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.prefix}part"

    @property
    def states(self) -> str:
        return f"{self.prefix}grant.v1"

    @property
    def facts(self) -> str:
        return f"{self.prefix}change.v1"

    @property
    def options(self) -> dict[str, Any]:
        return {"bootstrap_servers": self.bootstrap}

    def state(self, version: int, subject: str = "grant/1", **data: Any) -> State:
        return State(self.states, subject, version, {"state": "active", "critical": [], **data})

    def fact(self, name: str, **data: Any) -> Fact:
        return Fact(self.facts, f"{name}.v1", "grant/1", data, "person/1", call="c")

    async def append(self, *events: State | Fact) -> list[int]:
        async with self.db.begin() as tx:
            return await append(tx, *events)

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Run `work` until the test ends."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    def start_relay(self, url: str | None = None) -> Relay:
        relay = Relay(url or self.url, self.name, [self.states], self.options)
        self.start(relay.run())
        return relay

    async def stop(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def published(self, topic: str) -> list[dict[str, Any]]:
        """Return what a reader that starts now finds on a topic, beats left out."""
        return [json.loads(v) for k, v in await self.messages(topic) if k != b"~beat"]

    async def messages(self, topic: str) -> list[tuple[bytes, bytes]]:
        """Return keys and values of all committed messages of a topic."""
        consumer = AIOKafkaConsumer(**self.options, isolation_level="read_committed")
        await consumer.start()
        try:
            partition = TopicPartition(topic, 0)
            consumer.assign([partition])
            end = (await consumer.end_offsets([partition]))[partition]
            consumer.seek(partition, 0)
            found: list[tuple[bytes, bytes]] = []
            while await consumer.position(partition) < end:
                records = (await consumer.getmany(timeout_ms=200)).get(partition, [])
                found += [(record.key or b"", record.value) for record in records]
            return found
        finally:
            await consumer.stop()

    async def send(self, topic: str, *messages: tuple[str | None, bytes | None]) -> None:
        """Send raw messages, as a writer of any kind might."""
        producer = AIOKafkaProducer(**self.options)
        await producer.start()
        try:
            for key, value in messages:
                await producer.send_and_wait(
                    topic, value, key=None if key is None else key.encode()
                )
        finally:
            await producer.stop()

    async def rows(self, query: str) -> list[Any]:
        async with self.db.begin() as tx:
            connection = await tx.connection()
            return list(await connection.execute(text(query)))


@pytest.fixture
async def part(database_url: str, kafka_server: str, topic_prefix: str) -> AsyncIterator[Part]:
    """A part whose tables and topics are there; what it starts is stopped at the end."""
    await upgrade(database_url, PACKAGE)
    made = Part(database_url, kafka_server, topic_prefix, Db(database_url, f"{topic_prefix}part"))
    await create_topics(kafka_server, {made.states: COMPACT, made.facts: {}})
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    await made.db.dispose()
