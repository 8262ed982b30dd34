"""A reader of permissions knows the newest state of each subject, and when it cannot know."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from kit.canonical import canonical
from kit.clock import SystemClock
from kit.events import BEAT_KEY, beat
from kit.ids import uuid7
from kit.states import DOWN_SECONDS, PAUSE_SECONDS, StateEvent, StateReader
from stack.kafka import Kafka
from tests.integration.kit.conftest import COMPACT, Part
from tests.support.kafka import create_topics
from tests.support.processes import wait_until


def state(topic: str, version: Any, subject: str = "grant/1", **changed: Any) -> tuple[str, bytes]:
    """Key and value of a state event."""
    event = {
        "specversion": "1.0",
        "id": uuid7(),
        "source": "/sharing",
        "type": topic,
        "subject": subject,
        "time": "2026-11-22T00:00:00.000000Z",
        "datacontenttype": "application/json",
        "incarnation": 1,
        "version": version,
        "data": {"n": version, "critical": []},
    } | changed
    return subject, canonical(event)


def a_beat(database: str = "up") -> tuple[str, bytes]:
    at = SystemClock().now()
    return BEAT_KEY, beat(source="/sharing", event_id=uuid7(), at=at, database=database)


class Reading:
    """A running reader of one topic, and what it handed out."""

    def __init__(self, part: Part, topic: str, *, stale_after: float = 60.0) -> None:
        self.events: list[StateEvent] = []
        self.unreadable: list[tuple[str, str]] = []
        self.reader = StateReader(
            part.options,
            {topic: self.events.append},
            stale_after=stale_after,
            on_unreadable=lambda _topic, subject, reason: self.unreadable.append((subject, reason)),
        )
        self.task = part.start(self.reader.run())

    @property
    def versions(self) -> list[int]:
        return [event.version for event in self.events]

    def is_fresh(self) -> bool:
        return self.reader.is_fresh(time.monotonic())

    async def until_fresh(self, part: Part) -> None:
        """Beat until the reader is fresh."""

        async def fresh() -> bool:
            await part.send(part.states, a_beat())
            return self.is_fresh()

        await wait_until(fresh, 20, "the reader is fresh")


async def test_a_reader_is_ready_when_it_has_passed_what_was_there_at_its_start(
    part: Part,
) -> None:
    await part.send(part.states, *(state(part.states, n) for n in range(1, 501)), a_beat())

    reading = Reading(part, part.states)
    known_when_ready: list[int | None] = []
    reading.reader.on_ready.append(
        lambda: known_when_ready.append(reading.reader.version_of(part.states, "grant/1"))
    )

    await wait_until(lambda: reading.reader.ready, 20)
    assert known_when_ready == [500]
    assert reading.versions == list(range(1, 501))


async def test_a_beat_from_before_the_start_says_nothing_about_now(part: Part) -> None:
    await part.send(part.states, a_beat())
    reading = Reading(part, part.states)
    await wait_until(lambda: reading.reader.ready, 20)
    assert not reading.is_fresh()
    assert reading.reader.stale_topics(time.monotonic()) == [part.states]

    await reading.until_fresh(part)

    assert reading.reader.stale_topics(time.monotonic()) == []


async def test_a_state_counts_as_a_sign_of_life_too(part: Part) -> None:
    reading = Reading(part, part.states)
    await wait_until(lambda: reading.reader.ready, 20)

    await part.send(part.states, state(part.states, 1))

    await wait_until(reading.is_fresh, 10)


async def test_without_beats_a_reader_is_stale_after_its_time(part: Part) -> None:
    reading = Reading(part, part.states, stale_after=1.0)
    await reading.until_fresh(part)
    last_beat = time.monotonic()

    await wait_until(lambda: not reading.is_fresh(), 10)

    assert time.monotonic() - last_beat >= 0.5  # not at once, and
    await asyncio.sleep(max(0.0, last_beat + 1.5 - time.monotonic()))
    assert not reading.is_fresh()  # no longer after its time
    await reading.until_fresh(part)


async def test_what_is_not_newer_is_ignored_but_a_restored_database_is_believed(
    part: Part,
) -> None:
    reading = Reading(part, part.states)
    await part.send(
        part.states,
        state(part.states, 2),
        state(part.states, 1),
        state(part.states, 2),
        state(part.states, 1, incarnation=2),
        state(part.states, 3, incarnation=1),
        state(part.states, 9, "grant/2"),
    )

    await wait_until(lambda: len(reading.events) == 3, 20)

    seen = [(e.subject, e.incarnation, e.version) for e in reading.events]
    assert seen == [("grant/1", 1, 2), ("grant/1", 2, 1), ("grant/2", 1, 9)]
    assert reading.reader.version_of(part.states, "grant/1") == 1
    assert reading.reader.version_of(part.states, "grant/3") is None


async def test_a_call_waits_for_a_state_until_it_arrives(part: Part) -> None:
    reading = Reading(part, part.states)
    await wait_until(lambda: reading.reader.ready, 20)
    wanted = [(part.states, "grant/1", 7), ("other.topic.v1", "x/1", 99)]
    waiting = asyncio.create_task(reading.reader.wait_for(wanted, 15))
    assert not await reading.reader.wait_for(wanted, 0.05)

    await part.send(part.states, state(part.states, 6), state(part.states, 8))

    assert await waiting
    assert await reading.reader.wait_for(wanted, 0)


UNREADABLE: dict[str, Callable[[str], bytes | None]] = {
    "no JSON": lambda _: b"{",
    "a name twice": lambda _: b'{"a":1,"a":2}',
    "no version": lambda topic: _without(topic, "version"),
    "no data": lambda topic: _without(topic, "data"),
    "no list of restrictions": lambda topic: state(topic, 1, data={"n": 1})[1],
    "another type": lambda topic: state("x.y.v1", 1)[1],
    "another subject": lambda topic: state(topic, 1, "grant/2")[1],
    "a version that is no integer": lambda topic: state(topic, True)[1],
    "a tombstone": lambda _: None,
}


def _without(topic: str, member: str) -> bytes:
    event = json.loads(state(topic, 1)[1])
    del event[member]
    return canonical(event)


async def test_an_event_that_cannot_be_read_is_told_and_reading_goes_on(part: Part) -> None:
    reading = Reading(part, part.states)
    await part.send(
        part.states,
        *(("grant/1", made(part.states)) for made in UNREADABLE.values()),
        state(part.states, 5),
    )

    await wait_until(lambda: reading.versions == [5], 20)

    assert [subject for subject, _ in reading.unreadable] == ["grant/1"] * len(UNREADABLE)
    assert all(reason for _, reason in reading.unreadable)


async def test_what_a_transaction_took_back_is_never_seen(part: Part) -> None:
    reading = Reading(part, part.states)
    producer = AIOKafkaProducer(**part.options, transactional_id=f"{part.name}-t")
    await producer.start()
    try:
        await producer.begin_transaction()
        key, value = state(part.states, 1)
        await producer.send_and_wait(part.states, value, key=key.encode())
        await producer.abort_transaction()
    finally:
        await producer.stop()
    await part.send(part.states, state(part.states, 2))

    await wait_until(lambda: bool(reading.versions), 20)
    assert reading.versions == [2]


async def test_after_a_pause_of_the_loop_the_topic_is_read_to_its_end_first(part: Part) -> None:
    reading = Reading(part, part.states)
    await reading.until_fresh(part)

    time.sleep(PAUSE_SECONDS + 0.4)  # the loop stands still, as in a long pause of the process

    assert not reading.is_fresh()
    await asyncio.sleep(0)
    assert not reading.is_fresh()
    await wait_until(reading.is_fresh, 10)


async def test_beats_that_say_the_database_is_down_count_for_a_limited_time(part: Part) -> None:
    reading = Reading(part, part.states, stale_after=60)
    await wait_until(lambda: reading.reader.ready, 20)
    await part.send(part.states, a_beat("down"))
    await wait_until(lambda: not reading.reader.stale_topics(time.monotonic()), 10)
    assert not reading.is_fresh(), "a database that was never up vouches for nothing"

    await reading.until_fresh(part)
    await part.send(part.states, state(part.states, 1))
    assert await reading.reader.wait_for([(part.states, "grant/1", 1)], 10)
    progress = reading.reader._progress[part.states]
    up_at = progress.up_at
    await part.send(part.states, a_beat("down"))
    await wait_until(lambda: progress.beat_at > up_at, 10)

    assert progress.up_at == up_at
    for later, fresh in ((DOWN_SECONDS - 1, True), (DOWN_SECONDS + 0.01, False)):
        reading.reader._last_tick = progress.beat_at = up_at + later  # as if beaten until then
        assert reading.reader.is_fresh(up_at + later) is fresh


async def test_a_topic_that_has_shrunk_is_never_fresh_again(part: Part) -> None:
    reading = Reading(part, part.states)
    await part.send(part.states, *(state(part.states, n) for n in range(1, 20)))
    await reading.until_fresh(part)
    admin = AIOKafkaAdminClient(bootstrap_servers=part.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([part.states])

        async def recreated() -> bool:
            try:
                await create_topics(part.bootstrap, {part.states: COMPACT})
            except Exception:  # noqa: BLE001 - the broker is still deleting it
                return False
            return True

        await wait_until(recreated, 20)
    finally:
        await admin.close()

    await wait_until(lambda: reading.reader._progress[part.states].shrunk, 60, "it is noticed")
    await part.send(part.states, a_beat())

    assert not reading.is_fresh()
    assert reading.reader.stale_topics(time.monotonic()) == [part.states]


@pytest.fixture
async def own_part(own_kafka: Kafka, part: Part) -> Part:
    """The part on a bus of its own, which may be paused."""
    part.bootstrap = own_kafka.bootstrap
    await create_topics(own_kafka.bootstrap, {part.states: COMPACT})
    return part


async def test_a_reader_that_is_cut_off_from_the_bus_is_stale_after_its_time_and_recovers(
    own_kafka: Kafka, own_part: Part
) -> None:
    reading = Reading(own_part, own_part.states, stale_after=2.0)
    beating = own_part.start(_keep_beating(own_part))
    await wait_until(reading.is_fresh, 20)
    assert own_kafka.process is not None

    own_kafka.process.send(signal.SIGSTOP)
    try:
        cut = time.monotonic()
        await wait_until(lambda: not reading.is_fresh(), 10)
        assert time.monotonic() - cut < 4.0, "safety bound: stale_after, and a moment for beats"
    finally:
        own_kafka.process.send(signal.SIGCONT)

    await wait_until(reading.is_fresh, 40)
    await own_part.stop(beating)


async def _keep_beating(part: Part) -> None:
    producer = AIOKafkaProducer(**part.options)
    await producer.start()
    try:
        while True:
            key, value = a_beat()
            await producer.send(part.states, value, key=key.encode())
            await asyncio.sleep(0.2)
    finally:
        await producer.stop()


class Watermarked:
    """A consumer that has read 8 records, of a broker whose high watermark lags behind that."""

    def __init__(self, high_watermark: int, end: int) -> None:
        self._high_watermark = high_watermark
        self._end = end

    async def position(self, _partition: TopicPartition) -> int:
        return 8

    def highwater(self, _partition: TopicPartition) -> int:
        return self._high_watermark

    last_stable_offset = highwater

    async def end_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self._end)

    async def getmany(self, **_limits: int) -> dict[TopicPartition, list[Any]]:
        return {}


@pytest.mark.parametrize(("end", "shrunk"), [(8, False), (9, False), (5, True)])
async def test_a_high_watermark_that_lags_has_the_end_asked_for(end: int, shrunk: bool) -> None:
    reader = StateReader({}, {"t": lambda _: None}, stale_after=60, on_unreadable=lambda *_: None)
    reader._progress["t"].position = 8
    reader._catch_up = False
    partitions = {TopicPartition("t", 0): "t"}

    await reader._poll(Watermarked(5, end), partitions)
    assert reader._catch_up
    await reader._poll(Watermarked(end, end), partitions)

    assert reader._progress["t"].shrunk is shrunk
