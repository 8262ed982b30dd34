"""A log writer with a bus and a database of its own, and gateways that write to it."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaProducer

from kit.canonical import canonical
from kit.clock import SystemClock, rfc3339
from kit.ids import uuid7
from kit.topics import TOPICS
from services.audit.store.keys import load_key
from services.audit.store.log import LogView, newest_number, read_commit
from services.audit.store.objects import FolderStore
from tests.support.kafka import create_topics

ORIGIN = "datong.example/log"
CALLS = "gateway.call.v1"


class Place:
    """Files of one log, and the environment of its processes."""

    def __init__(self, folder: Path, bootstrap: str, database_url: str) -> None:
        self.objects = folder / "objects"
        self.key_file = folder / "log.key"
        self.outside = folder / "outside" / "checkpoint"
        self.url_file = folder / "postgres.url"
        folder.mkdir(parents=True, exist_ok=True)
        self.key_file.write_bytes(sha256(b"the log of a test").digest())
        self.url_file.write_text(database_url, "utf-8")
        self.bootstrap = bootstrap
        self.database_url = database_url
        self.store = FolderStore(self.objects)
        self.key = load_key(ORIGIN, self.key_file)

    def environment(self, **more: str) -> dict[str, str]:
        """Variables of audit's processes."""
        return {
            "DATONG_ENVIRONMENT": "development",
            "DATONG_TRUST_DOMAIN": "datong.example",
            "DATONG_TLS_CERTIFICATE_FILE": os.devnull,
            "DATONG_TLS_KEY_FILE": os.devnull,
            "DATONG_TLS_CA_FILE": os.devnull,
            "DATONG_KAFKA": self.bootstrap,
            "DATONG_POSTGRES_URL_FILE": str(self.url_file),
            "DATONG_ISSUER": "https://identity.datong.example",
            "DATONG_AUDIENCE": "https://datong.example",
            "DATONG_OBJECT_DIRECTORY": str(self.objects),
            "DATONG_LOG_ORIGIN": ORIGIN,
            "DATONG_LOG_KEY_FILE": str(self.key_file),
            "DATONG_LAST_CHECKPOINT_FILE": str(self.outside),
            **more,
        }

    @property
    def size(self) -> int:
        """Size of the newest commit; 0 when there is none."""
        commit = read_commit(self.store, newest_number(self.store))
        return 0 if commit is None else commit.size

    def view(self) -> LogView:
        """The log as of its newest commit."""
        commit = read_commit(self.store, newest_number(self.store))
        assert commit is not None
        return LogView(self.store, commit)


class Gateway:
    """Makes records of one instance and epoch, as a gateway worker does."""

    def __init__(self, instance: str = "gateway-0/0", **previous: Any) -> None:
        self.instance = instance
        self.epoch = uuid7()
        self.sequence = 0
        self.records: list[bytes] = []
        self.salts: dict[str, bytes] = {}
        self.add("epoch", **previous)

    def add(self, kind: str = "call", **fields: Any) -> bytes:
        """Make the next record."""
        record = canonical(
            {
                "type": kind,
                "record": uuid7(),
                "instance": self.instance,
                "epoch": self.epoch,
                "sequence": self.sequence,
                "at": rfc3339(SystemClock().now()),
                **fields,
            }
        )
        self.sequence += 1
        self.records.append(record)
        return record

    def call(self, **fields: Any) -> bytes:
        """Make a record of an allowed data call."""
        return self.add(
            "call",
            **{
                "call": uuid7(),
                "route": "query",
                "caller": f"system/{uuid7()}",
                "caller_agency": "health",
                "owner_agency": "civil-affairs",
                "resource": "divisions",
                "grant": uuid7(),
                "grant_version": 1,
                "purpose": "statistics",
                "mode": "query",
                "operation": "query",
                "decision": "allowed",
                "rows": 1,
                "items": ["code", "name"],
                "status": 200,
                "request_digest": "00" * 32,
                "answer_digest": "11" * 32,
                **fields,
            },
        )


async def topics(bootstrap: str) -> None:
    """Create the platform's topics."""
    await create_topics(bootstrap, {name: topic.settings for name, topic in TOPICS.items()})


def headers_of(record: bytes, salt: bytes | None = None) -> list[tuple[str, bytes]]:
    """Headers with which a gateway sends a record."""
    return [] if salt is None else [("datong_salt", salt)]


async def send(
    bootstrap: str,
    values: Iterable[bytes],
    *,
    topic: str = CALLS,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Send values to a topic in order and wait until the bus has them."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5)
    await producer.start()
    try:
        batch = producer.create_batch()
        for value in values:
            if batch.append(key=b"k", value=value, timestamp=None, headers=list(headers)) is None:
                await (await producer.send_batch(batch, topic, partition=0))
                batch = producer.create_batch()
                batch.append(key=b"k", value=value, timestamp=None, headers=list(headers))
        if batch.record_count():
            await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


@dataclass(frozen=True)
class Message:
    """One message of the bus, for tests without one."""

    topic: str
    partition: int
    offset: int
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
