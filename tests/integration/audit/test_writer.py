"""The log writer as a process: from the bus into the log, the index and back to gateways."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import create_async_engine

from kit.canonical import canonical
from kit.db import sqlalchemy_url
from kit.ids import uuid7
from kit.migrate import upgrade
from services.audit import models
from services.audit.events import ACCEPTED
from stack.kafka import Kafka
from stack.process import Process
from tests.integration.audit.platform import Gateway, Place, send, topics
from tests.support.processes import wait_until

SALT = bytes(range(32))
OWN = ("record", "salt", "progress")
Start = Callable[..., Process]


@pytest.fixture(scope="module")
def bus(own_kafka: Kafka) -> str:
    asyncio.run(topics(own_kafka.bootstrap))
    return own_kafka.bootstrap


@pytest.fixture
async def place(tmp_path: Path, bus: str, database_url: str) -> Place:
    await upgrade(database_url, "services.audit")
    return Place(tmp_path / "log", bus, database_url)


def start_writer(start_process: Start, place: Place) -> Process:
    return start_process("-m", "services.audit", "write", **place.environment())


async def stop(process: Process) -> None:
    process.stop()
    assert process.returncode == 0


def fact(sequence: int, incarnation: int) -> bytes:
    return canonical(
        {
            "specversion": "1.0",
            "id": uuid7(),
            "source": "/catalog",
            "type": "catalog.entry-published.v1",
            "subject": f"entry/{uuid7()}",
            "time": "2026-11-24T08:00:00.000000Z",
            "datacontenttype": "application/json",
            "incarnation": incarnation,
            "sequence": sequence,
            "actor": f"person/{uuid7()}",
            "data": {"agency": "civil-affairs", "resource": "divisions"},
        }
    )


async def watermarks(bus: str) -> dict[tuple[str, str], int]:
    """The newest watermark of each epoch, as a gateway reads them."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bus, isolation_level="read_committed")
    await consumer.start()
    found: dict[tuple[str, str], int] = {}
    try:
        partition = TopicPartition(ACCEPTED, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        while await consumer.position(partition) < end:
            for message in (await consumer.getmany(timeout_ms=200)).get(partition, []):
                event = json.loads(message.value)
                data = event["data"]
                assert message.key.decode() == event["subject"]
                assert event["subject"] == f"accepted/{data['instance']}/{data['epoch']}"
                assert data["critical"] == []
                found[data["instance"], data["epoch"]] = data["sequence"]
    finally:
        await consumer.stop()
    return found


async def accepted(place: Place, gateway: Gateway) -> int:
    return (await watermarks(place.bootstrap)).get((gateway.instance, gateway.epoch), -1)


def log_of(place: Place) -> list[bytes]:
    view = place.view()
    return [record for _, record in view.records(0, view.size)]


async def fetch(place: Place, query: str) -> Any:
    connection = await asyncpg.connect(place.database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_records_and_facts_travel_into_log_index_and_back(
    place: Place, start_process: Start
) -> None:
    gateway = Gateway()
    for _ in range(500):
        gateway.call()
    process = start_writer(start_process, place)
    await send(place.bootstrap, gateway.records, headers=[("datong_salt", SALT)])
    facts = [fact(n, 1732435200000) for n in (1, 2)]
    await send(place.bootstrap, facts, topic="catalog.change.v1")

    async def all_accepted() -> bool:
        found = await watermarks(place.bootstrap)
        return (
            found.get((gateway.instance, gateway.epoch)) == 500
            and found.get(("catalog", "1732435200000")) == 2
        )

    await wait_until(all_accepted, 30, "accepted")
    log = log_of(place)
    assert [r for r in log if gateway.epoch.encode() in r] == gateway.records
    assert sum(b'"type":"fact"' in record for record in log) == 2

    async def indexed() -> bool:
        return bool(await fetch(place, "SELECT count(*) FROM salt") == 501)

    await wait_until(indexed, 20, "indexed")
    assert await fetch(place, "SELECT count(*) FROM record WHERE resource = 'divisions'") == 502
    assert await fetch(place, "SELECT salt FROM salt LIMIT 1") == SALT
    await wait_until(lambda: not list(place.store.list("salts")), 10, "salts moved")
    await stop(process)


async def test_what_comes_again_is_told_again_and_enters_once(
    place: Place, start_process: Start
) -> None:
    gateway = Gateway("gateway-7/1")
    for _ in range(50):
        gateway.call()
    await send(place.bootstrap, gateway.records[:30])
    first = start_writer(start_process, place)

    async def reached(sequence: int) -> bool:
        return await accepted(place, gateway) == sequence

    await wait_until(lambda: reached(29), 30, "the first records accepted")
    await stop(first)
    await send(place.bootstrap, gateway.records)
    await send(place.bootstrap, gateway.records[:10])
    second = start_writer(start_process, place)
    await wait_until(lambda: reached(50), 30, "all accepted")
    assert [r for r in log_of(place) if gateway.epoch.encode() in r] == gateway.records
    await stop(second)


async def test_a_hole_holds_the_watermark_until_it_is_filled(
    place: Place, start_process: Start
) -> None:
    gateway = Gateway("gateway-8/0")
    for _ in range(9):
        gateway.call()
    await send(place.bootstrap, [*gateway.records[:3], *gateway.records[5:]])
    process = start_writer(start_process, place)
    await wait_until(
        lambda: (
            sum(gateway.epoch.encode() in r for r in log_of(place)) == 8 if place.size else False
        ),
        30,
        "committed",
    )

    async def reached(sequence: int) -> bool:
        return await accepted(place, gateway) == sequence

    await wait_until(lambda: reached(2), 10, "watermark before the hole")
    await send(place.bootstrap, gateway.records[3:5])
    await wait_until(lambda: reached(9), 10, "watermark after the hole")
    await stop(process)


async def test_the_index_is_rebuilt_from_the_log_and_salts_stay(
    place: Place, start_process: Start
) -> None:
    gateway = Gateway("gateway-9/0")
    for _ in range(300):
        gateway.call()
    await send(place.bootstrap, gateway.records, headers=[("datong_salt", SALT)])
    writer = start_writer(start_process, place)

    async def indexed() -> bool:
        return bool(
            place.size
            and await fetch(place, "SELECT size FROM progress") == place.size
            and await fetch(place, "SELECT count(*) FROM record WHERE instance = 'gateway-9/0'")
            == 301
        )

    await wait_until(indexed, 30, "indexed")
    await stop(writer)
    digest = "SELECT md5(string_agg(record::text, ',' ORDER BY leaf)) FROM record"
    before = await fetch(place, digest)
    salts = await fetch(place, "SELECT count(*) FROM salt")
    await fetch(place, "DELETE FROM record WHERE leaf % 2 = 0")
    rebuild = start_process("-m", "services.audit", "rebuild", **place.environment())
    await wait_until(lambda: rebuild.returncode is not None, 30, "rebuilt")
    assert rebuild.returncode == 0
    assert await fetch(place, digest) == before
    assert await fetch(place, "SELECT count(*) FROM salt") == salts


async def test_a_lost_database_only_makes_the_index_lag(
    place: Place, start_process: Start, tmp_path: Path
) -> None:
    url = place.url_file.read_text("utf-8")
    place.url_file.write_text("postgresql://nobody:none@127.0.0.1:9/none", "utf-8")
    gateway = Gateway("gateway-5/0")
    for _ in range(20):
        gateway.call()
    writer = start_writer(start_process, place)
    await send(place.bootstrap, gateway.records, headers=[("datong_salt", SALT)])

    async def all_accepted() -> bool:
        return await accepted(place, gateway) == 20

    await wait_until(all_accepted, 30, "accepted without a database")
    await stop(writer)
    place.url_file.write_text(url, "utf-8")
    writer = start_writer(start_process, place)
    ids = ",".join(f"'{json.loads(record)['record']}'" for record in gateway.records)

    async def indexed() -> bool:
        return bool(await fetch(place, f"SELECT count(*) FROM salt WHERE record IN ({ids})") == 21)

    await wait_until(indexed, 30, "indexed later, with the salts")
    await stop(writer)


async def test_the_migrations_make_the_tables_of_the_models(place: Place) -> None:
    engine = create_async_engine(sqlalchemy_url(place.database_url))
    async with engine.connect() as connection:
        difference = await connection.run_sync(
            lambda sync: compare_metadata(
                MigrationContext.configure(
                    sync,
                    opts={"include_name": lambda name, kind, _: kind != "table" or name in OWN},
                ),
                models.Row.metadata,
            )
        )
    await engine.dispose()
    assert difference == []
