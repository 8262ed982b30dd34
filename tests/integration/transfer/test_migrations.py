"""What an older release left is carried on."""

from typing import Any

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db import sqlalchemy_url
from kit.migrate import script_directory, upgrade
from services.exchange.transfer.domain import ItemType
from services.exchange.transfer.store.tables import TYPES

PACKAGE = "services.exchange.transfer"

ITEMS = (
    '[{"name": "code", "type": "text", "required": true, "key": %s, "filterable": true},'
    ' {"name": "level", "type": "integer", "required": false, "key": false, "filterable": true}]'
)


async def upgrade_to(url: str, revision: str) -> None:
    script = script_directory(PACKAGE)

    def run(connection: Connection) -> None:
        def revisions(present: Any, _context: Any) -> Any:
            return script._upgrade_revs(revision, present)

        with EnvironmentContext(Config(), script, fn=revisions) as environment:
            environment.configure(connection=connection)
            environment.run_migrations()

    engine = create_async_engine(sqlalchemy_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


async def test_rows_with_a_key_stay_and_rows_without_one_are_to_be_published_anew(
    database_url: str,
) -> None:
    await upgrade_to(database_url, "0001")
    connection = await asyncpg.connect(database_url)
    text = TYPES[ItemType.TEXT]
    for table, key in (("d_keyed", "true"), ("d_keyless", "false")):
        await connection.execute(
            f"CREATE TABLE rows.{table} (line bigint NOT NULL, i_code {text} NOT NULL,"
            " i_level bigint)"
        )
        await connection.execute(f"INSERT INTO rows.{table} VALUES (1, 'b', 1), (2, 'a', NULL)")
        await connection.execute(
            "INSERT INTO dataset VALUES ($1, 'res', 'own', 1, $1, $2, 2, 'd', 'system/x', now())",
            table,
            ITEMS % key,
        )
    await connection.execute("ALTER TABLE rows.d_keyed ADD PRIMARY KEY (i_code)")

    await upgrade(database_url, PACKAGE)

    assert await connection.fetch("SELECT entry, version, rows FROM dataset") == [("d_keyed", 1, 2)]
    await connection.execute("INSERT INTO rows.d_keyed (i_code) VALUES ('c')")
    rows = await connection.fetch("SELECT i_code, arrival FROM rows.d_keyed ORDER BY arrival")
    assert [tuple(row) for row in rows] == [("b", 1), ("a", 2), ("c", 3)]
    assert await connection.fetchval("SELECT to_regclass('rows.d_keyless')") is None
    await connection.close()
