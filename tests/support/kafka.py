"""One real Kafka per test session, and names of topics that no other test uses."""

import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stack.kafka import Kafka


@pytest.fixture(scope="session")
def kafka_server(session_directory: Path) -> Iterator[str]:
    """Bootstrap address of the session's Kafka node; topics must be created before use."""
    node = Kafka(session_directory / "kafka-server")
    node.run()
    yield node.bootstrap
    if node.process is not None:
        node.process.kill()


@pytest.fixture(scope="module")
def own_kafka(session_directory: Path) -> Iterator[Kafka]:
    """A Kafka node for this module alone (about 3 s), to pause, kill, or use real topic names."""
    node = Kafka(session_directory / f"kafka-{secrets.token_hex(3)}")
    node.run()
    yield node
    if node.process is not None:
        node.process.kill()
    node.remove()


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topic, group and transaction names that no other test uses."""
    return f"t{secrets.token_hex(4)}."


async def create_topics(
    bootstrap: str, names: Mapping[str, Mapping[str, str]] | list[str], *, partitions: int = 1
) -> None:
    """Create topics by name, each with its configuration, for example `cleanup.policy`."""
    configurations = names if isinstance(names, Mapping) else {name: {} for name in names}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await admin.create_topics(
            [
                NewTopic(name, partitions, 1, topic_configs=dict(configuration))
                for name, configuration in configurations.items()
            ]
        )
        refused = [error for error in answer.topic_errors if error[1] != 0]
        if refused:
            raise RuntimeError(f"topics not created: {refused}")
    finally:
        await admin.close()
