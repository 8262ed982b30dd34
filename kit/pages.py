"""Pages of messages sent to one topic in order, for senders that number their messages.

A page travels as whole batches: one future for hundreds of messages instead of one for each.
"""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from kit.kafka import within

BATCH_BYTES: Final = 256 * 1024
"""Bytes of one batch; well below the broker's `message.max.bytes` of 1 MiB."""

Message = tuple[bytes, Sequence[tuple[str, bytes]]]
"""Value and headers."""


class SendUnknown(Exception):
    """Nobody knows how much of a page the bus has: send the same page again."""


class PageProducer:
    """Sends pages with acks=all and idempotence; a failed or timed-out page is *unknown*.

    Args:
        options: `kit.kafka.client_options(settings)`.
        seconds: how long a page may take, connecting included.
    """

    def __init__(self, options: Mapping[str, Any], *, seconds: float = 15.0) -> None:
        self._options = dict(options)
        self._seconds = seconds
        self._producer: AIOKafkaProducer | None = None
        self._partition = DefaultPartitioner()

    async def send(self, topic: str, key: bytes, messages: Sequence[Message]) -> None:
        """Return when the bus has acknowledged every message, in order.

        Raises:
            SendUnknown: some may be on the bus and some not. The producer was closed: its
                sequence numbers may have a gap that it cannot close itself.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(topic, key, messages)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise SendUnknown(repr(error)) from error

    async def close(self) -> None:
        """Close the connection; what is still in flight may or may not arrive."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(Exception):
                await within(5, producer.stop())

    async def _send(self, topic: str, key: bytes, messages: Sequence[Message]) -> None:
        producer = await self._open()
        partitions = sorted(await producer.partitions_for(topic))
        partition = self._partition(key, partitions, partitions)
        sent = []
        batch = producer.create_batch()
        for value, headers in messages:
            if batch.append(timestamp=None, key=key, value=value, headers=headers) is None:
                sent.append(await producer.send_batch(batch, topic, partition=partition))
                batch = producer.create_batch()
                batch.append(timestamp=None, key=key, value=value, headers=headers)
        if batch.record_count():
            sent.append(await producer.send_batch(batch, topic, partition=partition))
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                **self._options,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=BATCH_BYTES,
                request_timeout_ms=10_000,
                retry_backoff_ms=100,
                metadata_max_age_ms=30_000,
            )
            self._producer = producer
            await producer.start()
        return self._producer
