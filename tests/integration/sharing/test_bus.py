"""Sharing between a real database and a real Kafka: what is changed, heard and waited for."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from kit import topics
from kit.canonical import canonical
from kit.clock import rfc3339
from kit.follow import follow
from kit.ids import uuid7
from kit.relay import Relay
from kit.states import StateEvent, StateReader
from kit.tokens import Verifier
from services.exchange.sharing import consumer
from services.exchange.sharing.app import build_app
from services.exchange.sharing.clients import ENTRY
from stack.kafka import Kafka
from tests.integration.sharing.conftest import Sharing
from tests.support.callers import AUDIENCE, ISSUER, gateway_client
from tests.support.kafka import create_topics
from tests.support.processes import wait_until

TOPICS = ("sharing.grant.v1", "sharing.change.v1", "catalog.entry.v1", "catalog.change.v1")
_created: set[str] = set()


@pytest.fixture
async def bootstrap(own_kafka: Kafka) -> str:
    """The module's Kafka, with the topics of sharing and of the catalogue."""
    if own_kafka.bootstrap not in _created:
        settings = {name: topics.TOPICS[name].settings for name in TOPICS}
        await create_topics(own_kafka.bootstrap, settings)
        _created.add(own_kafka.bootstrap)
    return own_kafka.bootstrap


@contextlib.asynccontextmanager
async def running(*work: Any) -> AsyncIterator[None]:
    """Run coroutines beside the test; cancel them at its end."""
    tasks = [asyncio.get_running_loop().create_task(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def connected(sharing: Sharing, *readers: StateReader) -> AsyncIterator[httpx.AsyncClient]:
    """The service with the patience that it has in production."""
    app = build_app(
        sharing.db,
        sharing.copies,
        Verifier(ISSUER, AUDIENCE),
        clock=sharing.clock,
        readers=readers,
        bus_seconds=10.0,
    )
    async with gateway_client(app) as client:
        sharing.client = client
        yield client


def a_relay(sharing: Sharing, bootstrap: str) -> Relay:
    options = {"bootstrap_servers": [bootstrap]}
    return Relay(sharing.url, "sharing", topics.state_topics_of("sharing"), options)


async def publish(bootstrap: str, topic: str, event: dict[str, Any]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, canonical(event), key=event["subject"].encode())
    finally:
        await producer.stop()


async def test_a_suspension_is_answered_once_the_bus_has_it(
    sharing: Sharing, bootstrap: str
) -> None:
    seen: dict[str, StateEvent] = {}
    reader = StateReader(
        {"bootstrap_servers": [bootstrap]},
        {"sharing.grant.v1": lambda event: seen.update({event.subject: event})},
        stale_after=60,
        on_unreadable=lambda *about: pytest.fail(str(about)),
    )
    relay = a_relay(sharing, bootstrap)
    async with connected(sharing), running(relay.run(), reader.run()):
        await wait_until(lambda: relay.ready, 20, "the relay publishes")
        grant = await sharing.grant()

        suspended = await sharing.change(sharing.owner, grant["id"], "suspensions")

        assert suspended.status_code == 200, suspended.text
        assert suspended.json()["on_bus"] is True
        # The bus has it already: a reader needs no help but to read on.
        position = ("sharing.grant.v1", f"grant/{grant['id']}", 2)
        assert await reader.wait_for([position], 10)
    state = seen[f"grant/{grant['id']}"]
    assert (state.version, state.data["state"]) == (2, "suspended")
    assert state.data["reason"] == "For suspensions."


async def test_facts_are_numbered_without_a_gap(sharing: Sharing, bootstrap: str) -> None:
    relay = a_relay(sharing, bootstrap)
    heard: list[dict[str, Any]] = []

    async def hear() -> None:
        feed = AIOKafkaConsumer(
            "sharing.change.v1",
            bootstrap_servers=bootstrap,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await feed.start()
        try:
            while True:
                heard.append(json.loads((await feed.getone()).value))
        finally:
            await feed.stop()

    async with connected(sharing), running(relay.run(), hear()):
        await wait_until(lambda: relay.ready, 20, "the relay publishes")
        grant = await sharing.grant()
        await sharing.change(sharing.owner, grant["id"], "endings")

        def mine() -> list[dict[str, Any]]:
            return [e for e in heard if grant["id"] in (e["data"].get("grant"), e["subject"][6:])]

        await wait_until(lambda: len(mine()) == 3, 10, "three facts")
    sequences = [event["sequence"] for event in mine()]
    assert sequences == list(range(sequences[0], sequences[0] + 3))
    assert {event["actor"] for event in mine()} == {
        sharing.head.subject,
        sharing.owner.subject,
    }


async def test_a_request_waits_for_the_entry_that_its_caller_has_seen(
    sharing: Sharing, bootstrap: str
) -> None:
    reader = StateReader(
        {"bootstrap_servers": [bootstrap]},
        {ENTRY: sharing.copies.apply_entry},
        stale_after=60,
        on_unreadable=sharing.copies.on_unreadable,
    )
    entry = uuid7()
    after = f"catalog.entry/{entry}@1"
    async with connected(sharing, reader), running(reader.run()):
        await wait_until(lambda: reader.ready, 20, "the reader has caught up")
        asking = asyncio.create_task(
            sharing.call(
                sharing.head,
                "POST",
                "/requests",
                sharing.body(resource="streets"),
                Idempotency_Key=uuid7(),
                Datong_After=after,
            )
        )
        await publish(bootstrap, ENTRY, an_entry_event(entry, "streets"))

        answer = await asking

        never = await sharing.call(
            sharing.head, "GET", "/usable", Datong_After=f"catalog.entry/{entry}@2"
        )
    assert answer.status_code == 201, answer.text
    assert answer.json()["grant"]["entry"] == entry
    assert (never.status_code, never.json()["code"]) == (503, "permissions-behind")


async def test_nothing_is_granted_while_the_catalogue_is_not_heard_of(
    sharing: Sharing, bootstrap: str
) -> None:
    reader = StateReader(
        {"bootstrap_servers": [bootstrap]},
        {ENTRY: sharing.copies.apply_entry},
        stale_after=60,
        on_unreadable=sharing.copies.on_unreadable,
    )
    sharing.copies.is_fresh = lambda: reader.is_fresh(time.monotonic())
    async with connected(sharing, reader), running(reader.run()):
        await wait_until(lambda: reader.ready, 20, "the reader has caught up")

        refused = await sharing.ask()
        drafted = await sharing.draft()
        asking = asyncio.create_task(sharing.ask())
        entry = uuid7()
        await publish(bootstrap, ENTRY, an_entry_event(entry, "roads"))
        answer = await asking

    assert (refused.status_code, refused.json()["code"]) == (503, "permissions-stale")
    assert drafted["state"] == "drafted"
    assert answer.status_code == 201, answer.text


async def test_a_withdrawal_heard_on_the_bus_ends_the_grants_once(
    sharing: Sharing, bootstrap: str
) -> None:
    entry = sharing.entry("streets")
    async with connected(sharing):
        grant = await sharing.grant(resource="streets")
    fact = {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "/catalog",
        "type": "catalog.entry-withdrawn.v1",
        "subject": f"entry/{entry}",
        "time": rfc3339(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "incarnation": 1,
        "sequence": 1,
        "actor": f"person/{uuid7()}",
        "data": {"entry": entry, "reason_text": "Merged."},
    }
    await publish(bootstrap, "catalog.change.v1", fact)
    await publish(bootstrap, "catalog.change.v1", fact)

    async def state() -> str:
        answer = await sharing.call(sharing.owner, "GET", f"/grants/{grant['id']}")
        return str(answer.json()["state"])

    async def has_ended() -> bool:
        return await state() == "ended"

    following = follow(
        sharing.db,
        {"bootstrap_servers": [bootstrap]},
        consumer.GROUP,
        consumer.TOPICS,
        consumer.HANDLERS,
    )
    async with connected(sharing), running(following):
        await wait_until(has_ended, 30, "the grant has ended")

    states = await sharing.outbox("sharing.grant.v1")
    assert [s["data"]["state"] for s in states] == ["active", "ended"]
    assert states[1]["data"]["reason"] == "The entry was withdrawn: Merged."


def an_entry_event(entry: str, resource: str) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "/catalog",
        "type": ENTRY,
        "subject": f"entry/{entry}",
        "time": rfc3339(datetime.now(UTC)),
        "datacontenttype": "application/json",
        "incarnation": 1,
        "version": 1,
        "data": {
            "id": entry,
            "version": 1,
            "name": resource,
            "agency": "civil-affairs",
            "share_class": "unconditional",
            "legal_basis": None,
            "state": "published",
            "resource": resource,
            "items": [
                {"name": name, "title": name, "type": "text", "key": True, "filterable": True}
                for name in ("code", "name")
            ],
            "modes": ["query"],
            "update_frequency": "yearly",
            "critical": ["share_class", "state", "items"],
        },
    }
