"""One real PostgreSQL per test session, and fresh databases in it."""

import asyncio
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from stack.postgres import Postgres


@pytest.fixture(scope="session")
def postgres_server(session_directory: Path) -> Iterator[Postgres]:
    """The session's PostgreSQL 18 on 127.0.0.1, without fsync: its data dies with the session."""
    server = Postgres(session_directory / "postgres-server", durable=False)
    server.run()
    yield server
    if server.process is not None:
        server.process.send(signal.SIGQUIT)  # at once; there is nothing to keep
        server.process.wait()
    server.remove()


@pytest.fixture(scope="session")
def create_database(postgres_server: Postgres) -> Callable[[], str]:
    """Return a function that creates an empty database and returns its URL (about 40 ms)."""

    def create() -> str:
        name = f"test_{secrets.token_hex(6)}"
        _in_a_thread(
            lambda: asyncio.run(_execute(postgres_server.url(), f"CREATE DATABASE {name}"))
        )
        return postgres_server.url(name)

    return create


@pytest.fixture
def database_url(create_database: Callable[[], str]) -> str:
    """An empty database for this test: `postgresql://user:password@host:port/database`."""
    return create_database()


@pytest.fixture(scope="module")
def module_database_url(create_database: Callable[[], str]) -> str:
    """An empty database for this module: for tests that can share what is in it."""
    return create_database()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _in_a_thread(work: Callable[[], None]) -> None:
    """Run `work` where no event loop runs: fixtures are also made while a test's loop does."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the caller below
            problems.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if problems:
        raise problems[0]
