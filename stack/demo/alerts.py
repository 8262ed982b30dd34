"""The alerts of transfer as whoever watches the bus sees them."""

import asyncio
import json
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

TOPIC: Final = "transfer.change.v1"
ALERT: Final = "transfer.reconciliation-differs.v1"
SECONDS: Final = 20.0


async def wait_for_alert(bootstrap: str, delivery: str) -> dict[str, Any]:
    """Return the alert about a delivery; it is on the bus soon after the receipt.

    Raises:
        TimeoutError: none came within 20 s.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(TOPIC, 0)])
        await consumer.seek_to_beginning()
        async with asyncio.timeout(SECONDS):
            async for message in consumer:
                event = json.loads(message.value)
                if event["type"] == ALERT and event["data"]["delivery"] == delivery:
                    found: dict[str, Any] = event["data"]
                    return found
    finally:
        await consumer.stop()
    raise TimeoutError(f"no alert about the delivery {delivery}")
