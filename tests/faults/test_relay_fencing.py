"""A relay that was stopped, replaced and resumed cannot bring an old permission back.

Readers ignore what is not newer; but a stale state at the end of a compacted topic would in time
be the only one left, and a reader that starts afterwards would believe it.
"""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kit.db import Db
from kit.events import State
from kit.migrate import upgrade
from kit.outbox import append
from stack.process import Process
from tests.support.kafka import create_topics
from tests.support.processes import wait_until

PACKAGE = "services.exchange.sharing"
SUBJECT = "grant/1"


def _is_stopped(process: Process) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"


async def _versions(bootstrap: str, topic: str) -> list[int]:
    """Return the versions of the subject as a reader that starts now finds them, in order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, 0)
        found: list[int] = []
        while await consumer.position(partition) < end:
            records = (await consumer.getmany(timeout_ms=200)).get(partition, [])
            found += [
                json.loads(record.value)["version"]
                for record in records
                if record.key == SUBJECT.encode()
            ]
        return found
    finally:
        await consumer.stop()


async def _change(db: Db, topic: str, version: int, state: str) -> None:
    async with db.begin() as tx:
        await append(tx, State(topic, SUBJECT, version, {"state": state, "critical": ["state"]}))


class Story:
    """Stop a relay with a claimed grant, replace it, suspend the grant, resume the relay."""

    def __init__(
        self, url: str, bootstrap: str, prefix: str, start: Callable[..., Process]
    ) -> None:
        self.url, self.bootstrap = url, bootstrap
        self.part, self.topic = f"{prefix}sharing", f"{prefix}grant.v1"
        self._start = start

    def relay(self, *flags: str) -> Process:
        return self._start(
            "-m",
            "tests.faults.stopped_relay",
            self.url,
            self.bootstrap,
            self.part,
            self.topic,
            *flags,
        )

    async def versions(self) -> list[int]:
        return await _versions(self.bootstrap, self.topic)

    async def tell(self, *flags: str, at_start: bool) -> Process:
        """Tell it up to the moment before the stopped relay resumes; return that relay."""
        await upgrade(self.url, PACKAGE)
        await create_topics(self.bootstrap, {self.topic: {"cleanup.policy": "compact"}})
        db = Db(self.url, self.part)
        try:
            if at_start:
                await _change(db, self.topic, 1, "active")
                stopped = self.relay("stop", *flags)
            else:
                stopped = self.relay("stop", *flags)
                await wait_until(self._beats, 20, "a first beat")
                await _change(db, self.topic, 1, "active")
            await wait_until(lambda: _is_stopped(stopped), 20, "the relay stops itself")
            self.relay(*flags)
            await _change(db, self.topic, 2, "suspended")

            async def taken_over() -> bool:
                return await self.versions() == [1, 2]

            await wait_until(taken_over, 30, "the second relay publishes both")
        finally:
            await db.dispose()
        return stopped

    async def _beats(self) -> bool:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            partition = TopicPartition(self.topic, 0)
            return (await consumer.end_offsets([partition]))[partition] > 0
        finally:
            await consumer.stop()


@pytest.fixture
def story(
    database_url: str, kafka_server: str, topic_prefix: str, start_process: Callable[..., Process]
) -> Story:
    return Story(database_url, kafka_server, topic_prefix, start_process)


@pytest.mark.parametrize(
    "at_start", [True, False], ids=["with its first claim", "with a later one"]
)
async def test_a_relay_that_was_stopped_and_replaced_publishes_nothing(
    story: Story, at_start: bool
) -> None:
    stopped = await story.tell(at_start=at_start)

    stopped.send(signal.SIGCONT)
    await wait_until(lambda: not stopped.running, 40, "the stopped relay is fenced and ends")

    assert await story.versions() == [1, 2]
    assert "another relay" in stopped.output()


@pytest.mark.parametrize("safeguard_off", ["unfenced", "late"])
async def test_without_a_safeguard_the_old_permission_comes_back(
    story: Story, safeguard_off: str
) -> None:
    """Control runs: the same story with one safeguard off must find the loss."""
    stopped = await story.tell(safeguard_off, at_start=False)

    stopped.send(signal.SIGCONT)

    async def is_back() -> bool:
        return await story.versions() == [1, 2, 1]

    await wait_until(is_back, 20, "the stale state is the last one on the topic")
