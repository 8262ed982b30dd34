"""State topics as they are now: `StateReader` keeps up with them and says whether it is fresh."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from kit.canonical import NotStrictJson, strict_loads
from kit.events import BEAT_KEY
from kit.kafka import within
from kit.logging import get_logger

DOWN_SECONDS: Final = 600.0
"""How long a beat that says `database: down` counts as fresh."""

TICK_SECONDS: Final = 0.1
PAUSE_SECONDS: Final = 0.5
LAG_SECONDS: Final = 0.5
MAX_EVENT: Final = 1 << 20

log = get_logger()


@dataclass(frozen=True, slots=True)
class StateEvent:
    """One state of one subject, as read from a state topic.

    Attributes:
        critical: names of the members of `data` that restrict; a reader that does not know one
            of them must treat the subject as unusable.
    """

    topic: str
    subject: str
    incarnation: int
    version: int
    data: Mapping[str, Any]
    critical: frozenset[str]


Apply = Callable[[StateEvent], None]
Unreadable = Callable[[str, str, str], None]
Position = tuple[str, str, int]
"""Topic, subject and version, such as `("sharing.grant.v1", "grant/…", 7)`."""


@dataclass(slots=True)
class _Progress:
    """How far one topic was read, and when its owner was last heard of."""

    start_end: int = 0
    position: int = 0
    target: int = 0
    behind_since: float | None = None
    beat_at: float = float("-inf")
    up_at: float = float("-inf")
    shrunk: bool = False


@dataclass(slots=True)
class _Waiter:
    positions: Sequence[Position]
    done: asyncio.Future[None] = field(repr=False)


class StateReader:
    """Reads state topics from the beginning, without a group, and says whether it is fresh.

    Args:
        options: `client_options(settings)`.
        handlers: per topic a function that takes each newer state; it must not raise. States that
            are not newer than what was read are dropped here.
        stale_after: seconds without a beat after which `is_fresh` is false.
        on_unreadable: takes topic, subject and reason of an event that cannot be read; the
            subject must be treated as unusable. The event is never skipped silently.

    `run` is one task; `is_fresh`, `reached` and `version_of` are plain look-ups for the hot path.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        handlers: Mapping[str, Apply],
        *,
        stale_after: float,
        on_unreadable: Unreadable,
    ) -> None:
        self._options = dict(options)
        self._handlers = dict(handlers)
        self._stale_after = stale_after
        self._on_unreadable = on_unreadable
        self._progress = {topic: _Progress() for topic in handlers}
        self._versions: dict[tuple[str, str], tuple[int, int]] = {}
        self._waiters: list[_Waiter] = []
        self._last_tick = time.monotonic()
        self._catch_up = True
        self.ready = False
        self.on_ready: list[Callable[[], None]] = []

    async def run(self) -> None:
        """Read until cancelled; a lost broker is tried again, from where reading stopped."""
        ticking = asyncio.get_running_loop().create_task(self._tick())
        try:
            while True:
                try:
                    await self._read()
                except (KafkaError, OSError, TimeoutError) as error:
                    log.warning("state topics lost", error=repr(error))
                    self._catch_up = True
                    await asyncio.sleep(0.5)
        finally:
            ticking.cancel()

    def is_fresh(self, now: float) -> bool:
        """Tell whether every topic's owner was heard of recently and nothing waits unread.

        Args:
            now: `time.monotonic()`.
        """
        if not self.ready or self._catch_up or now - self._last_tick > PAUSE_SECONDS + TICK_SECONDS:
            return False
        for progress in self._progress.values():
            if (
                progress.shrunk
                or now - progress.beat_at >= self._stale_after
                or now - progress.up_at >= max(DOWN_SECONDS, self._stale_after)
                or progress.position < progress.target
                or (progress.behind_since is not None and now - progress.behind_since > LAG_SECONDS)
            ):
                return False
        return True

    def stale_topics(self, now: float) -> list[str]:
        """Return the topics that are not fresh, for health and explanations."""
        return [
            topic
            for topic, p in self._progress.items()
            if p.shrunk or now - p.beat_at >= self._stale_after or p.position < p.target
        ]

    def version_of(self, topic: str, subject: str) -> int | None:
        """Return the newest version read of a subject, or None."""
        known = self._versions.get((topic, subject))
        return None if known is None else known[1]

    def reached(self, positions: Iterable[Position]) -> bool:
        """Tell whether all positions on topics that are read here were reached."""
        for topic, subject, version in positions:
            if topic in self._progress:
                known = self._versions.get((topic, subject))
                if known is None or known[1] < version:
                    return False
        return True

    async def wait_for(self, positions: Sequence[Position], seconds: float) -> bool:
        """Wait until `positions` are reached, at most `seconds`; tell whether they were."""
        if self.reached(positions):
            return True
        waiter = _Waiter(positions, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter.done
        except TimeoutError:
            return False
        finally:
            self._waiters.remove(waiter)
        return True

    async def _tick(self) -> None:
        """Notice that the loop stood still: then the topics are read to the end first."""
        while True:
            self._last_tick = time.monotonic()
            await asyncio.sleep(TICK_SECONDS)
            if time.monotonic() - self._last_tick > PAUSE_SECONDS:
                self._catch_up = True

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
            metadata_max_age_ms=30_000,
        )
        try:
            await consumer.start()
            partitions = {TopicPartition(topic, 0): topic for topic in self._handlers}
            consumer.assign(list(partitions))
            ends = await consumer.end_offsets(list(partitions))
            for partition, topic in partitions.items():
                self._aim(topic, ends[partition])
                if not self.ready:
                    self._progress[topic].start_end = ends[partition]
                consumer.seek(partition, self._progress[topic].position)
            while True:
                await self._poll(consumer, partitions)
        finally:
            with contextlib.suppress(Exception):
                await within(5, consumer.stop())

    async def _poll(
        self, consumer: AIOKafkaConsumer, partitions: Mapping[TopicPartition, str]
    ) -> None:
        """Take what has arrived; after a pause ask for the end offsets first."""
        if self._catch_up:
            ends = await within(10, consumer.end_offsets(list(partitions)))
            for partition, topic in partitions.items():
                self._aim(topic, ends[partition])
            self._catch_up = False
        batches = await consumer.getmany(timeout_ms=200, max_records=5000)
        now = time.monotonic()
        for partition, records in batches.items():
            progress = self._progress[partitions[partition]]
            for record in records:
                self._take(progress, record, now)
        for partition, topic in partitions.items():
            await self._advance(consumer, partition, self._progress[topic], now)
        self._check_ready()
        if batches:
            self._wake_waiters()

    def _check_ready(self) -> None:
        """Become ready, once, when the end offsets taken at start are passed."""
        if not self.ready and all(p.position >= p.start_end for p in self._progress.values()):
            self.ready = True
            for callback in self.on_ready:
                callback()

    def _aim(self, topic: str, end: int) -> None:
        """Set how far a topic must be read; an end before our position means it has shrunk."""
        progress = self._progress[topic]
        progress.target = end
        if end < progress.position:
            progress.shrunk = True
            log.error("a state topic has shrunk", topic=topic, end=end, read=progress.position)

    async def _advance(
        self, consumer: Any, partition: TopicPartition, progress: _Progress, now: float
    ) -> None:
        """Note how far a topic was read, and since when records lie unread.

        A position before what was read means that the topic has shrunk: the client itself would
        begin again from the first record and say nothing. A high watermark before it may be just
        that of a broker that has led for a moment only: it rises again, and fetches tell of it as
        it is, while end offsets wait for it (KIP-207). So those are asked for.
        """
        position = await consumer.position(partition)
        end = consumer.highwater(partition)
        if progress.shrunk:
            pass  # it stays so
        elif position < progress.position:
            read = progress.position
            log.error("a state topic has shrunk", topic=partition.topic, at=position, read=read)
            progress.shrunk = True
        elif end is not None and end < progress.position:
            self._catch_up = True
        progress.position = max(progress.position, position)
        # A fetch may have told of records that are handed out only in the next turn; that is
        # no lag. Records that stay unread for longer are.
        if progress.position >= (consumer.last_stable_offset(partition) or 0):
            progress.behind_since = None
        elif progress.behind_since is None:
            progress.behind_since = now

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done.done() and self.reached(waiter.positions):
                waiter.done.set_result(None)

    def _take(self, progress: _Progress, record: Any, now: float) -> None:
        """Apply one record; a sign of life only counts when it is newer than the last aim.

        What lay on the topic when we began to read, came back to the bus or woke from a pause was
        written at a time that nobody here knows: it may be as old as the absence was long.
        """
        is_recent = record.offset >= progress.target
        key = (record.key or b"").decode("utf-8", "replace")
        if key == BEAT_KEY:
            if is_recent:
                progress.beat_at = now
                if b'"database":"down"' not in record.value:
                    progress.up_at = now
            return
        try:
            event = read_state(record.topic, key, record.value)
        except (NotStrictJson, KeyError, TypeError, ValueError) as error:
            log.error("unreadable state", topic=record.topic, subject=key, error=str(error))
            self._on_unreadable(record.topic, key, str(error))
            return
        if is_recent:
            progress.beat_at = progress.up_at = now
        mark = (event.incarnation, event.version)
        if self._versions.get((event.topic, key), (-1, -1)) >= mark:
            return
        self._versions[event.topic, key] = mark
        self._handlers[event.topic](event)


def read_state(topic: str, key: str, value: bytes | None) -> StateEvent:
    """Read a state event strictly.

    Raises:
        NotStrictJson, KeyError, TypeError, ValueError: it is not one. There are no tombstones.
    """
    if value is None:
        raise ValueError("a tombstone; states are never deleted")
    event = strict_loads(value, max_bytes=MAX_EVENT)
    if event["specversion"] != "1.0" or event["type"] != topic or event["subject"] != key:
        raise ValueError("the envelope does not fit topic and key")
    incarnation, version, data = event["incarnation"], event["version"], event["data"]
    if type(incarnation) is not int or type(version) is not int or not isinstance(data, dict):
        raise TypeError("incarnation and version are integers, data is an object")
    return StateEvent(topic, key, incarnation, version, data, frozenset(data["critical"]))
