"""A database that is away for a while makes no event a poisoned one."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from kit import inbox
from kit.db import Tx
from tests.integration.kit.conftest import Part
from tests.integration.kit.test_follow import fact, note, start, until_effects


async def test_lost_connections_are_tried_again_for_as_long_as_it_takes(part: Part) -> None:
    lost = 0

    async def unlucky(tx: Tx, event: Mapping[str, Any]) -> None:
        nonlocal lost
        if lost < 6:
            lost += 1
            # The server ends this very connection, as a restart of it does.
            await (await tx.connection()).execute(
                text("SELECT pg_terminate_backend(pg_backend_pid())")
            )
        await note(tx, event)

    start(part, {"noted": unlucky}, attempts=2)
    await part.send(part.facts, fact("a"))

    await until_effects(part, ["a"])
    async with part.db.begin() as tx:
        assert await inbox.parked(tx) == []
