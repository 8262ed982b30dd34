"""What the platform needs inside PostgreSQL and Kafka: a role and a database per part; topics."""

import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from kit.topics import TOPICS
from stack.kafka import Kafka
from stack.postgres import Postgres
from stack.process import Process, StartFailed
from stack.secrets import write_secret
from stack.supervisor.plan import Places
from stack.supervisor.watch import Watched

ALREADY_EXISTS = 36
SERVER_RANK = 9  # the servers are stopped last


def watch_server(server: Postgres | Kafka) -> Watched:
    """Return `server` under watch; each start prepares its folder where that is not done."""

    def start() -> Process:
        server.start()
        if server.process is None:
            raise StartFailed("the server was not started")
        return server.process

    async def is_ready() -> bool:
        try:
            return server.is_ready()
        except StartFailed:
            return False

    return Watched(type(server).__name__.lower(), start, is_ready, SERVER_RANK)


async def create_databases(administrator_url: str, places: Places, parts: Sequence[str]) -> None:
    """Give each part a role that owns one database, and write its URL file.

    Safe to repeat: a role keeps the password in its URL file, or gets a new one.

    Args:
        administrator_url: a role that may create roles and databases.
    """
    connection = await asyncpg.connect(administrator_url)
    try:
        for part in parts:
            await _create_database(connection, administrator_url, places, part)
    finally:
        await connection.close()


async def _create_database(
    connection: asyncpg.Connection, administrator_url: str, places: Places, part: str
) -> None:
    name = f"datong_{part}"
    password = _known_password(places, part) or secrets.token_urlsafe(24)
    # Utility statements take no parameters; name and password hold nothing that needs quoting.
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f'CREATE ROLE "{name}" LOGIN')
    await connection.execute(f"ALTER ROLE \"{name}\" PASSWORD '{password}'")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        # An administrator who is no superuser may give away only to roles that it belongs to.
        await connection.execute(f'GRANT "{name}" TO CURRENT_USER')
        await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
    await connection.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    server = urlsplit(administrator_url)
    host = server.netloc.rpartition("@")[2]
    url = urlunsplit(("postgresql", f"{name}:{password}@{host}", f"/{name}", server.query, ""))
    write_secret(places.url_file(part), url)


def _known_password(places: Places, part: str) -> str | None:
    file = places.url_file(part)
    return urlsplit(file.read_text(encoding="utf-8").strip()).password if file.exists() else None


async def create_topics(bootstrap: str) -> None:
    """Create the topics of `kit.topics` that do not exist yet, replicated as brokers allow.

    Raises:
        RuntimeError: a broker refused one.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        brokers = len((await admin.describe_cluster())["brokers"])
        topics = [
            NewTopic(topic.name, topic.partitions, min(3, brokers), topic_configs=topic.settings)
            for topic in TOPICS.values()
        ]
        answer = await admin.create_topics(topics)
        refused = [error for error in answer.topic_errors if error[1] not in (0, ALREADY_EXISTS)]
        if refused:
            raise RuntimeError(f"Kafka refused topics: {refused}")
    finally:
        await admin.close()
