"""Migrations: one alembic history per service, run by `python -m services.<name> migrate`."""

import argparse
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from kit import idempotency, inbox, outbox  # noqa: F401 - they define kit tables
from kit.db import sqlalchemy_url

LOCK: Final = 0x6461746F6E67
"""Advisory lock under which migrations run, so that two jobs cannot race."""


def create_kit_tables(op: Operations) -> None:
    """Create outbox, inbox, parked, idempotency, incarnation; for a service's first revision."""
    outbox.KIT_TABLES.create_all(op.get_bind())
    # Milliseconds make a wiped and newly created database younger than the one before it.
    op.execute(text("INSERT INTO incarnation VALUES (:value)").bindparams(value=_milliseconds()))
    op.execute(text("INSERT INTO relay_lease VALUES (1, 'epoch')"))


def script_directory(package: str) -> ScriptDirectory:
    """Return the alembic scripts of `package`, which lie in its folder `migrations/versions`."""
    module = import_module(package)
    if module.__file__ is None:
        raise ValueError(f"{package} has no folder")
    folder = Path(module.__file__).parent / "migrations"
    config = Config()
    config.set_main_option("script_location", str(folder))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory(folder, version_locations=[folder / "versions"])


async def upgrade(url: str, package: str, *, target: MetaData | None = None) -> None:
    """Bring the database at `url` to the newest revision of `package`, in one transaction.

    Args:
        url: `postgresql://…`.
        package: such as `services.identity`.
        target: metadata to compare with in drift tests; not needed to upgrade.
    """
    script = script_directory(package)

    def run(connection: Connection) -> None:
        connection.execute(text("SET lock_timeout = '4s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=LOCK))

        def revisions(revision: Any, _context: Any) -> Any:
            return script._upgrade_revs("head", revision)  # noqa: SLF001

        with EnvironmentContext(Config(), script, fn=revisions) as environment:
            environment.configure(connection=connection, target_metadata=target)
            environment.run_migrations()

    engine = create_async_engine(sqlalchemy_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


async def main(url: str, package: str, arguments: Sequence[str]) -> None:
    """Carry out the command `migrate [--restored]`.

    `--restored` is given once after a database was restored from a backup: it raises the
    incarnation, so that readers take the restored states although their versions are lower.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {package} migrate")
    parser.add_argument("--restored", action="store_true")
    options = parser.parse_args(arguments)
    await upgrade(url, package)
    if options.restored:
        engine = create_async_engine(sqlalchemy_url(url))
        try:
            async with engine.begin() as connection:
                await connection.execute(
                    text("UPDATE incarnation SET value = greatest(value + 1, :now)").bindparams(
                        now=_milliseconds()
                    )
                )
        finally:
            await engine.dispose()


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
