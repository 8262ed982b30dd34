"""The permission table over a real Kafka: states, beats, freshness, events that cannot be read."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from aiokafka import AIOKafkaProducer

from gateway.domain import Allowed, Denied, decide
from gateway.table import PermissionTable
from kit.canonical import canonical
from kit.clock import SystemClock
from kit.events import beat
from kit.ids import uuid7
from kit.topics import TOPICS, state_topics_of
from stack.kafka import Kafka
from stack.supervisor.servers import create_topics
from tests.support.permissions import NOW, QUERY, SYSTEM, THUMBPRINT
from tests.support.spools import eventually

PERMISSION_TOPICS = [
    topic for part in ("identity", "catalog", "sharing") for topic in state_topics_of(part)
]


@pytest.fixture(scope="module")
def bus(own_kafka: Kafka) -> Kafka:
    asyncio.run(create_topics(own_kafka.bootstrap))
    return own_kafka


class Bus:
    """Publishes states and beats as the relays do."""

    def __init__(self, producer: AIOKafkaProducer) -> None:
        self._producer = producer

    async def state(
        self, topic: str, subject: str, data: Mapping[str, Any], version: int = 1, **envelope: Any
    ) -> None:
        event = {
            "specversion": "1.0",
            "id": uuid7(),
            "source": "/test",
            "type": topic,
            "subject": subject,
            "time": "2026-11-24T08:00:00.000000Z",
            "datacontenttype": "application/json",
            "incarnation": 1,
            "version": version,
            "data": data,
        } | envelope
        await self.raw(topic, subject, canonical(event))

    async def raw(self, topic: str, subject: str, value: bytes | None) -> None:
        await self._producer.send_and_wait(topic, value=value, key=subject.encode())

    async def beats(self, topics: Sequence[str]) -> None:
        value = beat(source="/test", event_id=uuid7(), at=SystemClock().now(), database="up")
        await asyncio.gather(*(self.raw(topic, "~beat", value) for topic in topics))


@pytest.fixture
async def publisher(bus: Kafka) -> AsyncIterator[Bus]:
    producer = AIOKafkaProducer(bootstrap_servers=bus.bootstrap)
    await producer.start()
    yield Bus(producer)
    await producer.stop()


@asynccontextmanager
async def reading(bus: Kafka, stale_after: float = 60) -> AsyncIterator[PermissionTable]:
    table = PermissionTable({"bootstrap_servers": [bus.bootstrap]}, stale_after=stale_after)
    task = asyncio.get_running_loop().create_task(table.run())
    try:
        await eventually(lambda: table.ready)
        yield table
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _entry_of(resource: str) -> str:
    """Return the id of the one entry of `resource`; tests share the topics but no entry."""
    return str(uuid5(NAMESPACE_URL, resource))


def a_grant(grant_id: str, resource: str) -> dict[str, Any]:
    return {
        "id": grant_id,
        "resource": resource,
        "entry": _entry_of(resource),
        "entry_version": 1,
        "owner": "civil-affairs",
        "consumer": "health-commission",
        "systems": [SYSTEM],
        "items": ["code"],
        "modes": ["query"],
        "operations": [],
        "purposes": ["public-health"],
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": "2027-01-01T00:00:00Z",
        "state": "active",
        "reason": None,
        "basis": "unconditional",
        "share_class": "unconditional",
        "critical": ["systems", "items", "modes", "operations", "purposes", "state"],
    }


async def publish_world(publisher: Bus, resource: str, grant_id: str) -> None:
    await publisher.state(
        "identity.agency.v1",
        "agency/health-commission",
        {
            "id": "health-commission",
            "name": "卫生健康委员会",
            "level": "city",
            "area_code": "330100",
            "state": "active",
            "critical": ["state"],
        },
    )
    await publisher.state(
        "identity.system.v1",
        f"system/{SYSTEM}",
        {
            "id": SYSTEM,
            "agency": "health-commission",
            "name": "健康档案系统",
            "state": "active",
            "critical": ["state"],
        },
    )
    await publisher.state(
        "identity.credential.v1",
        f"credential/{THUMBPRINT}",
        {
            "thumbprint": THUMBPRINT,
            "kind": "system",
            "holder": SYSTEM,
            "agency": "health-commission",
            "serial": "01",
            "not_before": "2026-01-01T00:00:00Z",
            "not_after": "2027-01-01T00:00:00Z",
            "state": "active",
            "critical": ["state", "not_after"],
        },
    )
    await publisher.state(
        "catalog.entry.v1",
        f"entry/{_entry_of(resource)}",
        {
            "id": _entry_of(resource),
            "version": 1,
            "name": "行政区划代码",
            "agency": "civil-affairs",
            "resource": resource,
            "share_class": "unconditional",
            "legal_basis": None,
            "state": "published",
            "items": [],
            "modes": ["query"],
            "update_frequency": "yearly",
            "critical": ["share_class", "state", "items"],
        },
    )
    await publisher.state("sharing.grant.v1", f"grant/{grant_id}", a_grant(grant_id, resource))


async def test_a_revocation_is_felt_by_a_table_that_follows(bus: Kafka, publisher: Bus) -> None:
    resource, grant_id = f"r-{secrets.token_hex(4)}", uuid7()
    await publish_world(publisher, resource, grant_id)
    call = replace(QUERY, resource=resource)
    async with reading(bus) as table:
        assert isinstance(decide(table, call, NOW), Allowed)
        suspended = a_grant(grant_id, resource) | {"state": "suspended", "reason": "调查"}
        await publisher.state("sharing.grant.v1", f"grant/{grant_id}", suspended, 2)
        assert await table.wait_for([("sharing.grant.v1", f"grant/{grant_id}", 2)], 5)

        outcome = decide(table, call, NOW)
        assert isinstance(outcome, Denied)
        assert outcome.reason == "grant-suspended"

        await publisher.state(
            "sharing.grant.v1", f"grant/{grant_id}", a_grant(grant_id, resource), 1
        )
        other = uuid7()
        await publisher.state("sharing.grant.v1", f"grant/{other}", a_grant(other, "elsewhere"))
        assert await table.wait_for([("sharing.grant.v1", f"grant/{other}", 1)], 5)
        assert isinstance(decide(table, call, NOW), Denied), "an older state brings nothing back"


async def test_a_table_that_starts_later_reads_the_same_permissions(
    bus: Kafka, publisher: Bus
) -> None:
    resource, grant_id = f"r-{secrets.token_hex(4)}", uuid7()
    await publish_world(publisher, resource, grant_id)
    ended = a_grant(grant_id, resource) | {"state": "ended"}
    await publisher.state("sharing.grant.v1", f"grant/{grant_id}", ended, 2)

    async with reading(bus) as table:
        outcome = decide(table, replace(QUERY, resource=resource), NOW)

    assert isinstance(outcome, Denied)
    assert outcome.reason == "grant-ended"


@asynccontextmanager
async def beating(publisher: Bus, topics: Sequence[str]) -> AsyncIterator[None]:
    async def beat_on() -> None:
        while True:
            await publisher.beats(topics)
            await asyncio.sleep(0.05)

    task = asyncio.get_running_loop().create_task(beat_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_table_is_fresh_while_every_owner_beats(bus: Kafka, publisher: Bus) -> None:
    await publisher.beats(PERMISSION_TOPICS)
    async with reading(bus, stale_after=2.0) as table:
        assert not table.is_fresh(time.monotonic()), "beats from before the start say nothing"
        async with beating(publisher, PERMISSION_TOPICS):
            await eventually(lambda: table.is_fresh(time.monotonic()))
        await eventually(lambda: not table.is_fresh(time.monotonic()))
        await eventually(
            lambda: set(table.stale_topics(time.monotonic())) == set(PERMISSION_TOPICS)
        )


async def test_one_silent_owner_makes_the_table_stale(bus: Kafka, publisher: Bus) -> None:
    others = [topic for topic in PERMISSION_TOPICS if topic != "sharing.grant.v1"]
    async with reading(bus, stale_after=2.0) as table:
        async with beating(publisher, PERMISSION_TOPICS):
            await eventually(lambda: table.is_fresh(time.monotonic()))
        async with beating(publisher, others):
            await eventually(lambda: table.stale_topics(time.monotonic()) == ["sharing.grant.v1"])
            assert not table.is_fresh(time.monotonic())


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"not json",
        b'{"specversion":"1.0","specversion":"1.0"}',
        b'{"specversion":"1.0","type":"sharing.grant.v1","subject":"grant/other"}',
    ],
)
async def test_an_event_that_cannot_be_read_is_not_skipped(
    bus: Kafka, publisher: Bus, value: bytes | None
) -> None:
    resource, grant_id = f"r-{secrets.token_hex(4)}", uuid7()
    await publish_world(publisher, resource, grant_id)
    await publisher.raw("sharing.grant.v1", f"grant/{grant_id}", value)

    async with reading(bus) as table:
        outcome = decide(table, replace(QUERY, resource=resource), NOW)
        assert isinstance(outcome, Denied)
        assert outcome.reason == "permission-unreadable"
        assert f"grant/{grant_id}" in table.unreadable

        await publisher.state(
            "sharing.grant.v1", f"grant/{grant_id}", a_grant(grant_id, resource), 2
        )
        assert await table.wait_for([("sharing.grant.v1", f"grant/{grant_id}", 2)], 5)
        assert isinstance(decide(table, replace(QUERY, resource=resource), NOW), Allowed)
        assert f"grant/{grant_id}" not in table.unreadable


async def test_waiting_for_a_state_that_does_not_come_ends_in_time(bus: Kafka) -> None:
    async with reading(bus) as table:
        assert not await table.wait_for([("sharing.grant.v1", "grant/none", 1)], 0.2)
        assert not table.reached([("sharing.grant.v1", "grant/none", 1)])


async def test_a_restored_database_supersedes_what_was_read(bus: Kafka, publisher: Bus) -> None:
    resource, grant_id = f"r-{secrets.token_hex(4)}", uuid7()
    await publish_world(publisher, resource, grant_id)
    newer = a_grant(grant_id, resource)
    await publisher.state("sharing.grant.v1", f"grant/{grant_id}", newer, 9)
    ended = newer | {"state": "ended"}
    await publisher.state("sharing.grant.v1", f"grant/{grant_id}", ended, 3, incarnation=2)

    async with reading(bus) as table:
        outcome = decide(table, replace(QUERY, resource=resource), NOW)

    assert isinstance(outcome, Denied)
    assert outcome.reason == "grant-ended"


def test_every_permission_topic_is_read() -> None:
    table = PermissionTable({"bootstrap_servers": ["127.0.0.1:1"]}, stale_after=60)

    assert set(table.stale_topics(time.monotonic())) == set(PERMISSION_TOPICS)
    assert set(PERMISSION_TOPICS) <= set(TOPICS)
