"""Records on their way from the spool to a real Kafka, and what audit's watermark lets go."""

import asyncio
import json
import secrets
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from gateway.evidence import Evidence, Shipper
from gateway.evidence.slot import Slot
from kit.canonical import canonical
from stack.kafka import Kafka
from stack.supervisor.servers import create_topics
from tests.support.spools import SALT, an_evidence, entries_of, eventually, put, records_of

VERSIONS = count(1)


@pytest.fixture(scope="module")
def bus(own_kafka: Kafka) -> Kafka:
    asyncio.run(create_topics(own_kafka.bootstrap))
    return own_kafka


@pytest.fixture
def instance() -> str:
    """An instance that no other test of this module uses; they share the topics."""
    return f"g{secrets.token_hex(4)}/0"


def options(bus: Kafka) -> dict[str, Any]:
    return {"bootstrap_servers": [bus.bootstrap]}


@asynccontextmanager
async def shipping(evidence: Evidence, bus: Kafka, **settings: float) -> AsyncIterator[Shipper]:
    """Run a shipper beside an evidence that is started; stop neither."""
    ships = Shipper(evidence, options(bus), **settings)
    task = asyncio.get_running_loop().create_task(ships.run())
    try:
        yield ships
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def messages(bus: Kafka, instance: str) -> list[ConsumerRecord[bytes, bytes]]:
    """Return what lies in the topic under the key of `instance`, in order."""
    consumer = AIOKafkaConsumer(**options(bus), enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition("gateway.call.v1", 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        found = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [record for record in records if record.key == instance.encode()]
        return found
    finally:
        await consumer.stop()


async def accept(bus: Kafka, instance: str, epoch: str, sequence: int) -> None:
    """Publish a watermark as audit does."""
    subject = f"accepted/{instance}/{epoch}"
    data = {"instance": instance, "epoch": epoch, "sequence": sequence, "critical": []}
    event = {
        "specversion": "1.0",
        "id": secrets.token_hex(8),
        "source": "/audit",
        "type": "audit.accepted.v1",
        "subject": subject,
        "time": "2026-11-24T08:00:00.000000Z",
        "datacontenttype": "application/json",
        "incarnation": 1,
        "version": next(VERSIONS),
        "data": data,
    }
    producer = AIOKafkaProducer(**options(bus))
    await producer.start()
    try:
        await producer.send_and_wait(
            "audit.accepted.v1", value=canonical(event), key=subject.encode()
        )
    finally:
        await producer.stop()


async def arrived(bus: Kafka, instance: str, number: int) -> list[ConsumerRecord[bytes, bytes]]:
    """Wait until `number` different records of `instance` are on the bus."""
    async with asyncio.timeout(60):
        while True:
            found = await messages(bus, instance)
            if len({message.value for message in found}) >= number:
                return found


async def test_the_value_is_the_record_and_headers_repeat_it(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    async with shipping(evidence, bus) as ships:
        await put(evidence, case="卫健〔2026〕17号")
        await evidence.stop()
        assert await ships.stop(20)
    evidence.close()

    found = await messages(bus, instance)
    entries = entries_of(tmp_path)
    assert [message.value for message in found] == [entry.record for entry in entries]
    for message, entry in zip(found, entries, strict=True):
        record = json.loads(message.value)
        headers = dict(message.headers)
        assert headers.pop("datong_salt", b"") == (SALT if record["type"] == "call" else b"")
        assert headers == {
            "ce_id": record["record"].encode(),
            "ce_type": b"gateway.call.v1",
            "ce_source": f"/gateway/{instance}".encode(),
            "ce_time": record["at"].encode(),
            "datong_instance": instance.encode(),
            "datong_epoch": evidence.epoch.encode(),
            "datong_sequence": str(entry.sequence).encode(),
        }


async def test_thousands_of_records_arrive_once_each_and_in_order(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    async with shipping(evidence, bus) as ships:
        for _ in range(50):
            await asyncio.gather(*(put(evidence) for _ in range(100)))
        await evidence.stop()
        assert await ships.stop(30)
        assert ships.sent_records == 5002
    evidence.close()

    found = await messages(bus, instance)
    assert [json.loads(m.value)["sequence"] for m in found] == list(range(5002))


async def test_a_shipper_that_is_stopped_in_the_moment_of_news_stops(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    ships = Shipper(evidence, {"bootstrap_servers": ["127.0.0.1:1"]})
    waiting = asyncio.get_running_loop().create_task(ships._wait())
    await asyncio.sleep(0)
    for _ in range(2):
        evidence.news.set()
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()


async def test_segments_go_when_audit_has_accepted_them_and_not_before(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance, limit=400_000)
    await evidence.start()
    async with shipping(evidence, bus) as ships:
        for _ in range(40):
            await asyncio.gather(*(put(evidence) for _ in range(10)))
        await eventually(lambda: ships.sent_records == 401)
        segments = len(evidence.segments)
        assert segments > 4
        assert records_of(tmp_path)[0]["sequence"] == 0

        await accept(bus, instance, evidence.epoch, 200)
        await eventually(lambda: len(evidence.segments) < segments)
        kept = [record["sequence"] for record in records_of(tmp_path)]
        assert kept == list(range(kept[0], 401))
        assert 0 < kept[0] <= 201

        await accept(bus, instance, evidence.epoch, 400)
        await eventually(lambda: len(evidence.segments) == 1)
    await evidence.stop()
    evidence.close()


async def test_a_watermark_of_another_instance_lets_nothing_go(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance, limit=400_000)
    await evidence.start()
    async with shipping(evidence, bus) as ships:
        for _ in range(20):
            await asyncio.gather(*(put(evidence) for _ in range(10)))
        await accept(bus, "other/0", evidence.epoch, 10_000)
        await accept(bus, instance, "019aa5ef-ffff-7000-8000-00000000000e", 10_000)
        await accept(bus, instance, evidence.epoch, 0)
        await eventually(lambda: ships._watermarks.of(instance, evidence.epoch) == 0)
        await eventually(lambda: ships.sent_records >= 200)
    await evidence.stop()
    evidence.close()

    assert records_of(tmp_path)[0]["sequence"] == 0


async def test_what_was_accepted_is_not_sent_again_after_a_restart(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    first = an_evidence(tmp_path, instance=instance)
    await first.start()
    async with shipping(first, bus) as ships:
        await asyncio.gather(*(put(first) for _ in range(50)))
        await eventually(lambda: ships.sent_records == 51)
    await accept(bus, instance, first.epoch, 30)
    first.close()

    second = an_evidence(tmp_path, instance=instance)
    await second.start()
    async with shipping(second, bus) as ships:
        await second.stop()
        assert await ships.stop(20)
        assert ships.sent_records == 20 + 2, "31 to 50 again, and an epoch of two"
    second.close()
    await first.stop()

    sequences: dict[str, list[int]] = {}
    for message in await messages(bus, instance):
        record = json.loads(message.value)
        sequences.setdefault(record["epoch"], []).append(record["sequence"])
    assert sequences[first.epoch] == [*range(51), *range(31, 51)]
    assert sequences[second.epoch] == [0, 1]


async def test_a_slot_that_nobody_holds_is_shipped_and_trimmed_by_a_neighbour(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    gone = an_evidence(tmp_path, instance=instance, slot=7, limit=400_000)
    await gone.start()
    for _ in range(30):
        await asyncio.gather(*(put(gone) for _ in range(10)))
    gone.close()
    neighbour = an_evidence(tmp_path, instance=f"{instance[:-1]}1", slot=1)
    await neighbour.start()
    async with shipping(neighbour, bus) as ships:
        found = await arrived(bus, instance, 301)
        assert {json.loads(message.value)["epoch"] for message in found} == {gone.epoch}
        await accept(bus, instance, gone.epoch, 300)
        await eventually(lambda: ships._watermarks.of(instance, gone.epoch) == 300)
        ships._orphans_at = 0.0
        await eventually(lambda: len(list((tmp_path / "7").glob("*.spool"))) == 1)
        slot = Slot(tmp_path, 7)
        await asyncio.to_thread(slot.lock, 10.0)
        slot.unlock()
    await neighbour.stop()
    neighbour.close()
    await gone.stop()


async def test_a_slot_that_is_held_is_left_to_its_holder(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    held = an_evidence(tmp_path, instance=instance, slot=7)
    await held.start()
    neighbour = an_evidence(tmp_path, instance=f"{instance[:-1]}1", slot=1)
    await neighbour.start()
    async with shipping(neighbour, bus) as ships:
        await eventually(lambda: ships._orphans_at > 0)
        await put(neighbour)
        await eventually(lambda: ships.sent_records == 2)
    for evidence in (held, neighbour):
        await evidence.stop()
        evidence.close()

    assert await messages(bus, instance) == []


async def test_a_torn_tail_is_not_shipped(bus: Kafka, instance: str, tmp_path: Path) -> None:
    gone = an_evidence(tmp_path, instance=instance, slot=3)
    await gone.start()
    await put(gone)
    gone.close()
    (segment,) = (tmp_path / "3").glob("*.spool")
    with segment.open("ab") as file:
        file.write(segment.read_bytes()[-150:-7])
    neighbour = an_evidence(tmp_path, instance=f"{instance[:-1]}1", slot=1)
    await neighbour.start()
    async with shipping(neighbour, bus):
        found = await arrived(bus, instance, 2)
    await neighbour.stop()
    neighbour.close()
    await gone.stop()

    assert [json.loads(message.value)["sequence"] for message in found] == [0, 1]


def kill(bus: Kafka) -> None:
    """Kill the broker: no farewell, nothing flushed."""
    process = bus.process
    assert process is not None
    process.kill()


async def bring_back(bus: Kafka) -> None:
    """Start the broker again; from this thread, since it ends with the thread that forked it."""
    bus.start()
    await eventually(bus.is_ready, 60)


async def crash(bus: Kafka) -> None:
    """Kill the broker and bring it back."""
    kill(bus)
    await bring_back(bus)


async def freeze(bus: Kafka) -> None:
    """Stop the broker for longer than a page may take, then let it go on."""
    process = bus.process
    assert process is not None
    process.send(signal.SIGSTOP)
    await asyncio.sleep(4)
    process.send(signal.SIGCONT)


@pytest.mark.parametrize("fault", [crash, freeze])
async def test_nothing_is_lost_and_nothing_altered_when_the_bus_fails(
    bus: Kafka,
    instance: str,
    tmp_path: Path,
    fault: Callable[[Kafka], Awaitable[None]],
) -> None:
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    async with shipping(evidence, bus, page_seconds=2.0) as ships:
        writing = asyncio.get_running_loop().create_task(write_for_a_while(evidence))
        await fault(bus)
        written = await writing
        await evidence.stop()
        assert await ships.stop(60)
    evidence.close()

    spooled = {entry.sequence: sha256(entry.record).digest() for entry in entries_of(tmp_path)}
    assert len(spooled) == written + 2
    found: dict[int, set[bytes]] = {}
    for message in await messages(bus, instance):
        sequence = int(dict(message.headers)["datong_sequence"])
        found.setdefault(sequence, set()).add(sha256(message.value).digest())
    assert {sequence: {digest} for sequence, digest in spooled.items()} == found


async def write_for_a_while(evidence: Evidence) -> int:
    written = 0
    end = asyncio.get_running_loop().time() + 5
    while asyncio.get_running_loop().time() < end:
        await asyncio.gather(*(put(evidence) for _ in range(5)))
        written += 5
        await asyncio.sleep(0.01)
    return written


async def test_a_worker_starts_and_records_without_the_bus_and_ships_when_it_comes(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    kill(bus)
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    async with shipping(evidence, bus):
        await asyncio.gather(*(put(evidence) for _ in range(10)))
        assert evidence.healthy
        await bring_back(bus)
        found = await arrived(bus, instance, 11)
    await evidence.stop()
    evidence.close()

    assert [json.loads(message.value)["sequence"] for message in found] == list(range(11))


async def test_stopping_without_the_bus_ends_in_time_and_keeps_everything(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    nowhere = Shipper(evidence, {"bootstrap_servers": ["127.0.0.1:1"]})
    task = asyncio.get_running_loop().create_task(nowhere.run())
    await put(evidence)
    await evidence.stop()

    assert not await nowhere.stop(0.5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    evidence.close()

    assert [record["type"] for record in records_of(tmp_path)] == ["epoch", "call", "end"]


async def test_records_that_audit_never_accepts_are_sent_again_after_a_long_time(
    bus: Kafka, instance: str, tmp_path: Path
) -> None:
    evidence = an_evidence(tmp_path, instance=instance)
    await evidence.start()
    async with shipping(evidence, bus, resend_seconds=1.0) as ships:
        await put(evidence)
        await eventually(lambda: ships.sent_records >= 4)
        await accept(bus, instance, evidence.epoch, 1)
        await eventually(lambda: ships._watermarks.of(instance, evidence.epoch) == 1)
    await evidence.stop()
    evidence.close()

    values = [message.value for message in await messages(bus, instance)]
    assert len(set(values)) == 2
    assert len(values) >= 4
