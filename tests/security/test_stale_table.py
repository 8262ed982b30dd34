"""A sign of life counts from when it was written, not from when a late reader comes to read it."""

import asyncio
import threading
import time

from aiokafka import AIOKafkaProducer

from tests.integration.kit.conftest import Part
from tests.integration.kit.test_state_reader import Reading, a_beat
from tests.support.processes import wait_until

STALE_AFTER = 2.0


def beat_once(bootstrap: str, topic: str) -> None:
    """Send one beat from a loop of its own, while the test's own loop stands still."""

    async def send() -> None:
        key, value = a_beat()
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
        await producer.start()
        try:
            await producer.send_and_wait(topic, value, key=key.encode())
        finally:
            await producer.stop()

    asyncio.run(send())


async def test_beats_written_during_a_pause_do_not_make_a_table_fresh_after_it(part: Part) -> None:
    reading = Reading(part, part.states, stale_after=STALE_AFTER)
    await reading.until_fresh(part)
    sender = threading.Thread(target=beat_once, args=(part.bootstrap, part.states))
    sender.start()
    sender.join()  # the loop stands still: the beat lies unread
    time.sleep(2 * STALE_AFTER)

    resumed = time.monotonic()
    was_fresh = False
    while time.monotonic() < resumed + STALE_AFTER:
        was_fresh = was_fresh or reading.is_fresh()
        await asyncio.sleep(0.01)

    assert not was_fresh
    await reading.until_fresh(part)  # a beat from after the pause counts at once


async def test_a_pause_shorter_than_the_limit_needs_no_new_beat(part: Part) -> None:
    reading = Reading(part, part.states, stale_after=60.0)
    await reading.until_fresh(part)

    time.sleep(1.0)

    assert not reading.is_fresh()
    await wait_until(reading.is_fresh, 10)
