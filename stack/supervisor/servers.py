"""What the platform needs inside PostgreSQL and Kafka: a role and a database per part; topics."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from kit.topics import TOPICS
from stack.kafka import Kafka
from stack.link import Link
from stack.ports import free_port
from stack.postgres import Postgres
from stack.process import Process, StartFailed
from stack.secrets import write_secret
from stack.settings import StackSettings
from stack.supervisor.plan import Places
from stack.supervisor.watch import Watched

ALREADY_EXISTS = 36
SERVER_RANK = 9  # the servers are stopped last


@dataclass(frozen=True)
class Servers:
    """PostgreSQL and Kafka: ours, or where None, those that the settings name."""

    settings: StackSettings
    postgres: Postgres | None
    kafka: Kafka | None
    link: Link | None

    @classmethod
    async def open(cls, directory: Path, settings: StackSettings, *, linked: bool) -> "Servers":
        """Choose the servers; ours are not started yet.

        Args:
            linked: also open a link to our Kafka, which tests can cut.
        """
        postgres = kafka = link = None
        if settings.postgres_url_file is None:
            postgres = Postgres(directory, port=settings.fixed_port("postgres"))
        if settings.kafka is None:
            port = free_port() if linked else None
            kafka = Kafka(directory, port=settings.fixed_port("kafka"), link_port=port)
            link = Link(port, kafka.behind_link_port) if port is not None else None
        if link is not None:
            await link.open()
        return cls(settings, postgres, kafka, link)

    @property
    def administrator_url(self) -> str:
        """URL of a role that may create roles and databases."""
        return self.postgres.url() if self.postgres else self.settings.administrator_url or ""

    @property
    def bootstrap(self) -> str:
        """Kafka's bootstrap address."""
        return self.kafka.bootstrap if self.kafka else self.settings.kafka or ""

    def watched(self) -> dict[str, Watched]:
        """Return our servers under watch, by name."""
        servers = {"postgres": self.postgres, "kafka": self.kafka}
        return {name: _watched(name, each) for name, each in servers.items() if each is not None}


def _watched(name: str, server: Postgres | Kafka) -> Watched:
    def start() -> Process:
        server.start()  # prepares the folder where that is not done
        if server.process is None:
            raise StartFailed(f"{name} was not started")
        return server.process

    async def is_ready() -> bool:
        try:
            return server.is_ready()
        except StartFailed:
            return False

    return Watched(name, start, is_ready, SERVER_RANK)


async def create_databases(administrator_url: str, places: Places, parts: Sequence[str]) -> None:
    """Give each part a role that owns one database, and write its URL file; safe to repeat."""
    for part in parts:
        await create_database(administrator_url, f"datong_{part}", places.url_file(part))


async def create_database(administrator_url: str, name: str, url_file: Path) -> None:
    """Create a role and a database of its own, both called `name`, and write its URL (0600).

    Safe to repeat: a role keeps the password in its URL file, or gets a new one.

    Args:
        administrator_url: of a role that may create roles and databases.
        name: holds nothing that SQL would need quoted.
        url_file: in an existing folder.
    """
    password = _known_password(url_file) or secrets.token_urlsafe(24)
    connection = await asyncpg.connect(administrator_url)
    try:
        # Utility statements take no parameters; name and password hold nothing that needs quoting.
        if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
            await connection.execute(f'CREATE ROLE "{name}" LOGIN')
        await connection.execute(f"ALTER ROLE \"{name}\" PASSWORD '{password}'")
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            # An administrator who is no superuser may give away only to roles that it belongs to.
            await connection.execute(f'GRANT "{name}" TO CURRENT_USER')
            await connection.execute(f'CREATE DATABASE "{name}" OWNER "{name}"')
        await connection.execute(f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
    finally:
        await connection.close()
    server = urlsplit(administrator_url)
    host = server.netloc.rpartition("@")[2]
    url = urlunsplit(("postgresql", f"{name}:{password}@{host}", f"/{name}", server.query, ""))
    write_secret(url_file, url)


def _known_password(url_file: Path) -> str | None:
    if not url_file.exists():
        return None
    return urlsplit(url_file.read_text(encoding="utf-8").strip()).password


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
