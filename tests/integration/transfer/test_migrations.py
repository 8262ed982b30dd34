"""What an older release left is carried on."""

from typing import Any

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db import Db, sqlalchemy_url
from kit.migrate import script_directory, upgrade
from services.exchange.transfer.domain import ItemType, View
from services.exchange.transfer.store.projections import projection_of
from services.exchange.transfer.store.subscriptions import active_under
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
    rows = await connection.fetch("SELECT * FROM rows.d_keyed ORDER BY i_code")
    assert [dict(row) for row in rows] == [
        {"i_code": "a", "i_level": None},
        {"i_code": "b", "i_level": 1},
    ]
    assert await connection.fetchval("SELECT to_regclass('rows.d_keyless')") is None
    await connection.close()


async def test_projections_of_items_become_those_of_views(database_url: str) -> None:
    await upgrade_to(database_url, "0002")
    connection = await asyncpg.connect(database_url)
    await connection.execute("INSERT INTO projection (id, entry, items) VALUES ('p', 'e', '{b,a}')")
    await connection.execute(
        "INSERT INTO subscription (id, resource, entry, grant_id, system, agency, projection,"
        " starts, state, sequence, created_at)"
        " VALUES ('s', 'r', 'e', 'g', 'y', 'health', 'p', 'now', 'active', 0, now())"
    )

    await upgrade(database_url, PACKAGE)

    db = Db(database_url, "transfer", pool=1)
    async with db.begin() as tx:
        assert await projection_of(tx, "e", View(("b", "a"))) == "p"
        (found,) = await active_under(tx, ["g", "h"])
    assert (found.view, found.grant_version) == (View(("b", "a")), 0)
    await db.dispose()
    await connection.close()
