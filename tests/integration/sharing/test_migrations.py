"""Migrations carry on what earlier releases have stored."""

import asyncpg
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db import Db, sqlalchemy_url
from kit.ids import uuid7
from kit.migrate import script_directory, upgrade
from services.exchange.sharing.domain import Actor, RequestState, Side
from services.exchange.sharing.store import requests
from services.exchange.sharing.store.terms import Filters

PACKAGE = "services.exchange.sharing"
REQUEST = """
INSERT INTO request (id, requester, consumer, owner, resource, entry, entry_version, share_class,
                     basis, scenario, systems, items, modes, purposes, valid_from, valid_until,
                     state, refusal_code, law_title, law_article, created_at)
VALUES ($1, 'person/head', 'health', 'affairs', 'divisions', 'e', 1, 'unconditional', 'b', 's',
        '{x}', '{code}', '{query}', '{p}', now(), now(), $2, $3, $3, $3, now())
"""
GRANT = """
INSERT INTO "grant" (id, version, request, resource, entry, entry_version, owner, consumer,
                     share_class, basis, systems, items, modes, operations, purposes, valid_from,
                     valid_until, state, reason, created_at, changed_at)
SELECT $1, 2, id, resource, entry, entry_version, owner, consumer, share_class, basis, systems,
       items, modes, '{}', purposes, valid_from, valid_until, 'suspended', 'r', now(), now()
FROM request WHERE id = $2
"""


async def to_revision(url: str, revision: str) -> None:
    script = script_directory(PACKAGE)

    def run(connection: Connection) -> None:
        def revisions(current: str, _context: object) -> object:
            return script._upgrade_revs(revision, current)

        with EnvironmentContext(Config(), script, fn=revisions) as environment:
            environment.configure(connection=connection)
            environment.run_migrations()

    engine = create_async_engine(sqlalchemy_url(url))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(run)
    finally:
        await engine.dispose()


async def test_requests_that_were_decided_at_once_have_steps_and_their_grant(
    database_url: str,
) -> None:
    await to_revision(database_url, "sharing_0001")
    granted, refused, grant = uuid7(), uuid7(), uuid7()
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(REQUEST, granted, "granted", None)
        await connection.execute(REQUEST, refused, "refused", "class-not-shared")
        await connection.execute(GRANT, grant, granted)
    finally:
        await connection.close()

    await upgrade(database_url, PACKAGE)

    db = Db(database_url, "sharing")
    try:
        async with db.begin() as tx:
            found = await requests.list_visible(
                tx, Actor("person/a", "health"), Filters(), None, 10
            )
    finally:
        await db.dispose()
    (first, its_grant), (second, none) = found
    assert (first.id, first.state, first.grant) == (granted, RequestState.GRANTED, grant)
    assert its_grant is not None
    assert (its_grant.terms.row_filter, its_grant.terms.masks) == ((), {})
    assert [(step.step.value, step.actor) for step in first.steps] == [
        ("draft", "person/head"),
        ("confirm", "part/sharing"),
    ]
    assert its_grant.suspended_by is Side.OWNER
    assert none is None
    assert second.refusal is not None
    assert second.refusal.code == "class-not-shared"
