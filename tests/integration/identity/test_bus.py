"""On a real bus: what identity publishes is what every other part reads."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from jsonschema import Draft202012Validator

from kit.canonical import canonical, strict_loads
from kit.directory import Directory
from kit.events import BEAT_KEY
from kit.problems import CONTRACTS
from kit.relay import Relay
from kit.states import StateReader
from kit.topics import TOPICS, state_topics_of
from services.identity.events import CHANGE
from stack.kafka import Kafka
from tests.integration.identity.town import Town
from tests.support.kafka import create_topics
from tests.support.processes import wait_until

STATES = state_topics_of("identity")


@pytest.fixture
async def options(own_kafka: Kafka) -> dict[str, Any]:
    """Client options of a Kafka that has identity's topics."""
    names = [*STATES, CHANGE]
    await create_topics(own_kafka.bootstrap, {name: TOPICS[name].settings for name in names})
    return {"bootstrap_servers": own_kafka.bootstrap}


@pytest.fixture
async def relay(town: Town, options: dict[str, Any]) -> AsyncIterator[Relay]:
    """A running relay."""
    relay = Relay(town.url, "identity", STATES, options)
    task = asyncio.get_running_loop().create_task(relay.run())
    yield relay
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def directory(relay: Relay, options: dict[str, Any]) -> AsyncIterator[Directory]:
    """What every other part keeps in memory of identity."""
    directory = Directory()
    reader = StateReader(
        options, directory.handlers(), stale_after=60, on_unreadable=directory.on_unreadable
    )
    task = asyncio.get_running_loop().create_task(reader.run())
    await wait_until(lambda: reader.ready and relay.ready, 30, "relay and reader")
    yield directory
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_others_know_who_calls_and_feel_suspensions_and_revocations(
    town: Town, directory: Directory, options: dict[str, Any]
) -> None:
    officer = await town.agency(name="市卫生健康委员会")
    person = await town.person(officer, "registrar")
    system = await town.system(officer)
    await wait_until(lambda: system.thumbprint in directory.credentials, 10)

    suspended = await town.call(officer, "POST", f"/people/{person.id}/suspensions")
    revoked = await town.call(officer, "POST", f"/credentials/{system.thumbprint}/revocations")
    resumed = await town.call(officer, "POST", f"/people/{person.id}/resumptions")

    assert [a.status_code for a in (suspended, revoked, resumed)] == [200, 200, 200]
    assert all(answer.json()["on_bus"] for answer in (suspended, revoked, resumed))
    await wait_until(lambda: not directory.credentials[system.thumbprint].active, 5)
    await wait_until(lambda: directory.holders[person.subject].active, 5)
    assert directory.holders[person.subject].roles == {"registrar"}
    assert directory.agencies[officer.agency].name == "市卫生健康委员会"
    assert not directory.unusable
    jwks = (await town.client.get("/identity/v1/jwks")).json()["keys"]
    assert set(directory.token_keys) == {key["kid"] for key in jwks}
    ca = (await town.client.get("/identity/v1/ca")).text
    assert list(directory.client_authorities.values()) == [ca]

    events = await _everything(options)
    _check_states(events)
    _check_facts(events[CHANGE])


def _check_states(events: dict[str, list[dict[str, Any]]]) -> None:
    """Every state on the bus fits its schema."""
    for topic in STATES:
        assert events[topic], topic
        validator = _validator(topic)
        for event in events[topic]:
            validator.validate(event)


def _check_facts(facts: list[dict[str, Any]]) -> None:
    """Every fact fits its schema, and the sequence shows that none is missing."""
    validator = _validator(CHANGE)
    for fact in facts:
        validator.validate(fact)
    assert [fact["sequence"] for fact in facts] == list(range(1, len(facts) + 1))
    assert {fact["type"] for fact in facts} >= {
        "identity.bootstrapped.v1",
        "identity.agency-created.v1",
        "identity.person-suspended.v1",
        "identity.person-resumed.v1",
        "identity.credential-issued.v1",
        "identity.credential-revoked.v1",
    }


def _validator(topic: str) -> Draft202012Validator:
    schema = json.loads((CONTRACTS / "events" / f"{topic}.schema.json").read_bytes())
    return Draft202012Validator(schema)


async def _everything(options: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return all events on identity's topics but the beats; the bytes are canonical."""
    found: dict[str, list[dict[str, Any]]] = {topic: [] for topic in [*STATES, CHANGE]}
    async with AIOKafkaConsumer(
        *found, **options, auto_offset_reset="earliest", isolation_level="read_committed"
    ) as consumer:
        ends = await consumer.end_offsets(list(consumer.assignment()))
        for partition in ends:
            await consumer.seek_to_beginning(partition)
        while any([await consumer.position(p) < end for p, end in ends.items()]):
            for partition, records in (await consumer.getmany(timeout_ms=200)).items():
                for record in records:
                    if record.key.decode() == BEAT_KEY:
                        continue
                    event = strict_loads(record.value)
                    assert canonical(event) == record.value
                    assert record.key.decode() == event["subject"]
                    found[partition.topic].append(event)
    return found
