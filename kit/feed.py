"""Reading topics from given positions, for a reader that keeps its positions itself.

The log of audit commits records and positions together, so it takes no part in a group: what is
committed there is the only truth about how far was read.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from kit.kafka import within
from kit.logging import get_logger

FETCH_BYTES: Final = 8 << 20
RETRY_SECONDS: Final = 0.5

log = get_logger()


class Received(Protocol):
    """One message, as the client hands it out."""

    @property
    def topic(self) -> str:
        """Return the topic's name."""
        ...

    @property
    def partition(self) -> int:
        """Return the partition's number."""
        ...

    @property
    def offset(self) -> int:
        """Return the message's offset; the next position is one more."""
        ...

    @property
    def value(self) -> bytes | None:
        """Return the value; None for a tombstone."""
        ...

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        """Return the headers in order."""
        ...


class Feed:
    """All partitions of some topics, from given positions, committed messages only.

    A partition without a position, or whose position the bus no longer has, is read from its
    beginning: the reader recognises what it has already. A lost bus is tried again.

    Args:
        options: `kit.kafka.client_options(settings)`.
        topics: names; they must exist.
        positions: next offset by topic and partition (decimal text), as of the last commit.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        topics: Sequence[str],
        positions: Mapping[str, Mapping[str, int]],
    ) -> None:
        self._options = dict(options)
        self._topics = list(topics)
        self._next = {
            TopicPartition(topic, int(partition)): offset
            for topic, offsets in positions.items()
            for partition, offset in offsets.items()
        }
        self._consumer: AIOKafkaConsumer | None = None

    @property
    def connected(self) -> bool:
        """Tell whether the bus answered the last time."""
        return self._consumer is not None

    async def poll(self, seconds: float, most: int) -> list[Received]:
        """Return what has arrived, in order within each partition; nothing after `seconds`.

        Args:
            most: greatest number of messages.
        """
        try:
            consumer = await self._open()
            batches = await consumer.getmany(timeout_ms=int(seconds * 1000), max_records=most)
        except (KafkaError, OSError, TimeoutError) as error:
            log.warning("bus lost", error=repr(error))
            await self.close()
            await asyncio.sleep(RETRY_SECONDS)
            return []
        received: list[Received] = []
        for partition, messages in batches.items():
            received.extend(messages)
            self._next[partition] = messages[-1].offset + 1
        return received

    async def close(self) -> None:
        """Close the connection; a later `poll` goes on where this one stopped."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            with contextlib.suppress(Exception):
                await within(5, consumer.stop())

    async def _open(self) -> AIOKafkaConsumer:
        if self._consumer is not None:
            return self._consumer
        consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            request_timeout_ms=10_000,
            retry_backoff_ms=100,
            metadata_max_age_ms=30_000,
            max_partition_fetch_bytes=FETCH_BYTES,
            fetch_max_bytes=2 * FETCH_BYTES,
        )
        try:
            await consumer.start()
            await self._assign(consumer)
        except BaseException:
            with contextlib.suppress(Exception):
                await within(5, consumer.stop())
            raise
        self._consumer = consumer
        return consumer

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Assign all partitions; seek only where the bus has the position."""
        known = await consumer.topics()
        missing = [topic for topic in self._topics if topic not in known]
        if missing:
            raise OSError(f"the topics {', '.join(missing)} do not exist yet")
        partitions = [
            TopicPartition(topic, number)
            for topic in self._topics
            for number in sorted(consumer.partitions_for_topic(topic) or {0})
        ]
        consumer.assign(partitions)
        first = await consumer.beginning_offsets(partitions)
        last = await consumer.end_offsets(partitions)
        for partition in partitions:
            wanted = self._next.get(partition, 0)
            there = first[partition] <= wanted <= last[partition]
            if self._next.get(partition) is not None and not there:
                log.error("position not on the bus", topic=partition.topic, position=wanted)
            consumer.seek(partition, wanted if there else first[partition])
