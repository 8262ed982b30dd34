"""The catalogue's commands and processes, as the supervisor runs them."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db import sqlalchemy_url
from kit.migrate import upgrade
from kit.outbox import KIT_TABLES
from kit.topics import TOPICS
from services.catalog.models import METADATA
from stack.certificates import TRUST_DOMAIN, issue
from stack.kafka import Kafka
from stack.ports import free_port
from stack.process import Process
from stack.settings import inherited_environment
from tests.support.callers import AUDIENCE, ISSUER
from tests.support.kafka import create_topics
from tests.support.processes import wait_until


def environment(folder: Path, url: str, kafka: str) -> dict[str, str]:
    """Return the settings of a process; its certificate is issued by a CA of the test."""
    certificates = issue(folder / "certificates", ["catalog"], datetime.now(UTC))
    pair = certificates.parts["catalog"]
    url_file = folder / "postgres.url"
    url_file.write_text(url, encoding="utf-8")
    return {
        "DATONG_ENVIRONMENT": "development",
        "DATONG_TRUST_DOMAIN": TRUST_DOMAIN,
        "DATONG_TLS_CERTIFICATE_FILE": str(pair.certificate),
        "DATONG_TLS_KEY_FILE": str(pair.key),
        "DATONG_TLS_CA_FILE": str(certificates.ca),
        "DATONG_KAFKA": kafka,
        "DATONG_ISSUER": ISSUER,
        "DATONG_AUDIENCE": AUDIENCE,
        "DATONG_POSTGRES_URL_FILE": str(url_file),
        "DATONG_INDEX_DIRECTORY": str(folder / "index"),
    }


async def run(values: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.catalog", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=inherited_environment(**values),
    )


async def test_every_process_becomes_ready_and_ends_cleanly(
    own_kafka: Kafka,
    database_url: str,
    tmp_path: Path,
    start_process: Callable[..., Process],
) -> None:
    await create_topics(own_kafka.bootstrap, {t.name: t.settings for t in TOPICS.values()})
    values = environment(tmp_path, database_url, own_kafka.bootstrap)
    migrated = await run(values, "migrate")
    assert migrated.returncode == 0, migrated.stderr

    started = []
    for command in ("api", "relay"):
        port, health = free_port(), free_port()
        listen = {
            "DATONG_LISTEN": f"127.0.0.1:{port}",
            "DATONG_HEALTH_LISTEN": f"127.0.0.1:{health}",
        }
        started.append(
            (health, start_process("-m", "services.catalog", command, **values, **listen))
        )

    async with httpx.AsyncClient() as client:
        for health, _ in started:

            async def ready(address: str = f"http://127.0.0.1:{health}/health/ready") -> bool:
                try:
                    return (await client.get(address)).status_code == 200
                except httpx.TransportError:
                    return False

            await wait_until(ready, 60, "the process is ready")
    for _, process in started:
        process.tell_to_stop()
        await wait_until(lambda ended=process: not ended.running, 20, "the process has ended")
        assert process.returncode == 0, process.output()


async def test_commands_work_on_an_empty_database(database_url: str, tmp_path: Path) -> None:
    values = environment(tmp_path, database_url, "127.0.0.1:1")
    for arguments in (("migrate",), ("migrate", "--restored"), ("republish",)):
        done = await run(values, *arguments)
        assert done.returncode == 0, done.stderr


async def test_an_unknown_command_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    for arguments in ((), ("dance",), ("relay", "now"), ("migrate", "--sideways")):
        unknown = await run(environment(tmp_path, "postgresql://nowhere", "x:1"), *arguments)
        assert unknown.returncode not in (0, -6)
        assert "Traceback" not in unknown.stderr


async def test_the_migrations_make_the_tables_of_the_models(database_url: str) -> None:
    await upgrade(database_url, "services.catalog")

    def differences(connection: Connection) -> list[object]:
        def is_ours(name: str | None, kind: str, _parents: object) -> bool:
            return kind != "table" or name not in {*KIT_TABLES.tables, "alembic_version"}

        context = MigrationContext.configure(connection, opts={"include_name": is_ours})
        return list(compare_metadata(context, METADATA))

    engine = create_async_engine(sqlalchemy_url(database_url))
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
    finally:
        await engine.dispose()

    assert found == []


async def test_only_the_api_loads_the_web_framework() -> None:
    script = (
        "import sys, services.catalog.__main__, services.catalog.actions, "
        "kit.relay, kit.serve, kit.kafka, kit.follow, kit.states;"
        "sys.exit('fastapi' in sys.modules)"
    )

    done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", script])

    assert done.returncode == 0
