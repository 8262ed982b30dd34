"""Transfer as it is run: its commands, its processes, and a call over mutual TLS."""

import asyncio
import base64
import hashlib
import json
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from jsonschema import Draft202012Validator
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from typing_extensions import override

from kit.canonical import canonical
from kit.db import sqlalchemy_url
from kit.ids import uuid7
from kit.migrate import upgrade
from kit.outbox import KIT_TABLES
from kit.topics import TOPICS
from services.exchange.transfer.models import METADATA
from stack.certificates import TRUST_DOMAIN, Certificates, issue
from stack.kafka import Kafka
from stack.ports import free_port
from stack.process import Process
from stack.secrets import write_secret
from stack.settings import inherited_environment
from tests.integration.transfer.conftest import AREA_ITEMS, RESOURCE
from tests.support.callers import AUDIENCE, ISSUER, Identities
from tests.support.kafka import create_topics
from tests.support.processes import wait_until

PACKAGE = "services.exchange.transfer"
SCHEMA = Path(__file__).parents[3] / "contracts" / "events" / "transfer.change.v1.schema.json"


def environment(folder: Path, url: str, kafka: str) -> tuple[dict[str, str], Certificates]:
    """Return the settings of a process, and the certificates of a CA of the test."""
    certificates = issue(folder / "tls", ["transfer", "gateway", "sharing"], datetime.now(UTC))
    pair = certificates.parts["transfer"]
    url_file = folder / "postgres.url"
    url_file.write_text(url, encoding="utf-8")
    write_secret(folder / "pseudonym.key", "01" * 32)
    values = {
        "DATONG_ENVIRONMENT": "development",
        "DATONG_TRUST_DOMAIN": TRUST_DOMAIN,
        "DATONG_TLS_CERTIFICATE_FILE": str(pair.certificate),
        "DATONG_TLS_KEY_FILE": str(pair.key),
        "DATONG_TLS_CA_FILE": str(certificates.ca),
        "DATONG_KAFKA": kafka,
        "DATONG_ISSUER": ISSUER,
        "DATONG_AUDIENCE": AUDIENCE,
        "DATONG_POSTGRES_URL_FILE": str(url_file),
        "DATONG_OBJECT_DIRECTORY": str(folder / "objects"),
        "DATONG_PSEUDONYM_KEY_FILE": str(folder / "pseudonym.key"),
    }
    return values, certificates


async def run(values: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", PACKAGE, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=inherited_environment(**values),
    )


class PublishedIdentities(Identities):
    """Callers whose states are kept as the events that identity would publish."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, bytes]] = []
        super().__init__()

    @override
    def _put(self, topic: str, subject: str, data: Mapping[str, Any], critical: list[str]) -> None:
        super()._put(topic, subject, data, critical)
        full = {**data, "critical": critical}
        self.events.append((topic, subject, event(topic, subject, self._versions[subject], full)))


def event(topic: str, subject: str, version: int, data: Mapping[str, Any]) -> bytes:
    """Return a state event in its canonical bytes."""
    return canonical(
        {
            "specversion": "1.0",
            "id": uuid7(),
            "source": f"/{topic.split('.')[0]}",
            "type": topic,
            "subject": subject,
            "time": "2026-11-22T00:00:00.000000Z",
            "datacontenttype": "application/json",
            "incarnation": 1,
            "version": version,
            "data": dict(data),
        }
    )


@asynccontextmanager
async def as_peer(
    certificates: Certificates, part: str, port: int
) -> AsyncIterator[httpx.AsyncClient]:
    """A client that calls the internal listener with the certificate of `part`."""
    context = ssl.create_default_context(cafile=str(certificates.ca))
    pair = certificates.parts[part]
    context.load_cert_chain(pair.certificate, pair.key)
    async with httpx.AsyncClient(verify=context, base_url=f"https://127.0.0.1:{port}") as client:
        yield client


async def test_rows_are_published_and_queried_over_mutual_tls_and_facts_are_told(
    own_kafka: Kafka, database_url: str, tmp_path: Path, start_process: Callable[..., Process]
) -> None:
    await create_topics(own_kafka.bootstrap, {t.name: t.settings for t in TOPICS.values()})
    values, certificates = environment(tmp_path, database_url, own_kafka.bootstrap)
    assert (await run(values, "migrate")).returncode == 0
    identities = PublishedIdentities()
    owner, consumer = identities.system("civil-affairs"), identities.system("health")
    entry, grant = uuid7(), uuid7()
    entry_data = {
        "id": entry,
        "version": 1,
        "name": "行政区划代码",
        "agency": "civil-affairs",
        "share_class": "unconditional",
        "legal_basis": None,
        "state": "published",
        "resource": RESOURCE,
        "items": AREA_ITEMS,
        "modes": ["query"],
        "update_frequency": "yearly",
        "critical": ["share_class", "state", "items"],
    }
    grant_data = {
        "id": grant,
        "resource": RESOURCE,
        "entry": entry,
        "entry_version": 1,
        "owner": "civil-affairs",
        "consumer": "health",
        "systems": [consumer.id],
        "items": ["code", "name"],
        "modes": ["query"],
        "operations": [],
        "purposes": ["public-health"],
        "valid_from": None,
        "valid_until": None,
        "state": "active",
        "reason": None,
        "critical": ["systems", "items", "modes", "operations", "purposes", "state"],
    }
    ports = {name: free_port() for name in ("api", "api health", "relay health", "work health")}
    processes = [
        start_process(
            "-m",
            PACKAGE,
            command,
            **values,
            DATONG_LISTEN=f"127.0.0.1:{ports['api']}",
            DATONG_HEALTH_LISTEN=f"127.0.0.1:{ports[f'{command} health']}",
        )
        for command in ("api", "relay", "work")
    ]
    producer = AIOKafkaProducer(bootstrap_servers=own_kafka.bootstrap)
    await producer.start()
    for topic, subject, value in [
        *identities.events,
        (
            "catalog.entry.v1",
            f"entry/{entry}",
            event("catalog.entry.v1", f"entry/{entry}", 1, entry_data),
        ),
        (
            "sharing.grant.v1",
            f"grant/{grant}",
            event("sharing.grant.v1", f"grant/{grant}", 3, grant_data),
        ),
    ]:
        await producer.send_and_wait(topic, value, key=subject.encode())
    await producer.stop()
    async with httpx.AsyncClient() as probes:
        for name in ("api health", "relay health", "work health"):

            async def ready(url: str = f"http://127.0.0.1:{ports[name]}/health/ready") -> bool:
                try:
                    return (await probes.get(url)).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(ready, 60, f"{name}: ready")

    async with as_peer(certificates, "gateway", ports["api"]) as client:

        async def publish(method: str, path: str, body: bytes = b"", **headers: str) -> Any:
            answer = await client.request(
                method,
                f"/data/v1/{RESOURCE}/batches{path}",
                content=body,
                headers=identities.headers(
                    owner, **{"Datong-Internal-Entry": f"{entry}@1", **headers}
                ),
                timeout=40,
            )
            assert answer.status_code < 300, answer.text
            return answer.json()

        json_type = {"Content-Type": "application/json"}
        opened = await publish(
            "POST", "", b'{"mode":"snapshot"}', **json_type, **{"Idempotency-Key": "k"}
        )
        rows = '{"code":"330106","name":"西湖区","level":3}'.encode()
        digest = base64.b64encode(hashlib.sha256(rows).digest()).decode()
        await publish(
            "PUT",
            f"/{opened['id']}/chunks/0",
            rows,
            **{"Content-Type": "application/x-ndjson", "Content-Digest": f"sha-256=:{digest}:"},
        )
        await publish("POST", f"/{opened['id']}/seals", b'{"chunks":1}', **json_type)
        ended = await publish("GET", f"/{opened['id']}?wait=30")
        assert (ended["state"], ended["effects"]["added"]) == ("effective", 1)
        asked = {
            "url": f"/data/v1/{RESOURCE}/query",
            "content": b'{"key":{"code":"330106"}}',
            "headers": identities.headers(
                consumer,
                **{
                    "Content-Type": "application/json",
                    "Datong-Purpose": "public-health",
                    "Datong-Internal-Grant": f"{grant}@3",
                },
            ),
        }
        found = await client.post(**asked)
        assert found.json() == {"rows": [{"code": "330106", "name": "西湖区"}], "next": None}
        assert found.headers["datong-internal-enforced"] == f"{grant}@3"
    async with as_peer(certificates, "sharing", ports["api"]) as client:
        refused = await client.post(**asked)
        assert (refused.status_code, refused.json()["code"]) == (403, "not-through-gateway")

    facts = await _facts(own_kafka.bootstrap, 3)
    assert [(f["type"], f["sequence"]) for f in facts] == [
        ("transfer.batch-opened.v1", 1),
        ("transfer.batch-sealed.v1", 2),
        ("transfer.batch-effective.v1", 3),
    ]
    for fact in facts:
        Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(fact)
    for process in processes:
        process.tell_to_stop()
        await wait_until(lambda ended=process: not ended.running, 20, "the process has ended")
        assert process.returncode == 0, process.output()


async def _facts(bootstrap: str, count: int) -> list[dict[str, Any]]:
    consumer = AIOKafkaConsumer(
        "transfer.change.v1",
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        return [
            json.loads((await asyncio.wait_for(consumer.getone(), 20)).value) for _ in range(count)
        ]
    finally:
        await consumer.stop()


async def test_commands_work_on_an_empty_database(database_url: str, tmp_path: Path) -> None:
    values, _ = environment(tmp_path, database_url, "127.0.0.1:1")
    for arguments in (("migrate",), ("migrate", "--restored"), ("republish",), ("sweep",)):
        done = await run(values, *arguments)
        assert done.returncode == 0, done.stderr


async def test_an_unknown_command_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    values, _ = environment(tmp_path, "postgresql://nowhere", "x:1")
    for arguments in (
        (),
        ("dance",),
        ("relay", "now"),
        ("work", "hard"),
        ("migrate", "--sideways"),
    ):
        unknown = await run(values, *arguments)
        assert unknown.returncode not in (0, -6)
        assert "Traceback" not in unknown.stderr


async def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    await upgrade(database_url, PACKAGE)

    def differences(connection: Connection) -> list[object]:
        def is_ours(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "table" or name not in {*KIT_TABLES.tables, "alembic_version"}

        context = MigrationContext.configure(
            connection, opts={"include_name": is_ours, "compare_type": True}
        )
        return list(compare_metadata(context, METADATA))

    engine = create_async_engine(sqlalchemy_url(database_url))
    try:
        async with engine.connect() as connection:
            assert await connection.run_sync(differences) == []
    finally:
        await engine.dispose()
