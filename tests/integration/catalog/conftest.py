"""The catalogue over ASGI on a real database, in a small town of callers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from kit.clock import SystemClock
from kit.db import Db
from kit.migrate import upgrade
from kit.tokens import Verifier
from services.catalog.actions import Searching
from services.catalog.app import build_app
from tests.support.callers import AUDIENCE, ISSUER, Identities, TestCaller, gateway_client


class Catalogue:
    """The service, the people who use it, and a look at its outbox."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        town: Identities,
        url: str,
        db: Db,
        searching: Searching,
    ) -> None:
        self.client = client
        self.town = town
        self.url = url
        self.db = db
        self.searching = searching
        self.registrar = town.person("civil-affairs", "registrar")
        self.reviewer = town.person("civil-affairs", "reviewer")
        self.stranger = town.person("health-commission", "registrar", "reviewer")
        self.system = town.system("health-commission")

    async def call(
        self,
        caller: TestCaller,
        method: str,
        path: str,
        body: Any = None,
        **headers: str,
    ) -> httpx.Response:
        """Call a route below `/catalog/v1` as the gateway passes it on."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(
            method,
            f"/catalog/v1{path}",
            headers=self.town.headers(caller, **named),
            json=body,
        )

    async def create(self, **changed: Any) -> dict[str, Any]:
        """Create an entry as the registrar; return it."""
        answer = await self.call(self.registrar, "POST", "/entries", content(**changed))
        assert answer.status_code == 201, answer.text
        entry: dict[str, Any] = answer.json()
        return entry

    async def publish(self, **changed: Any) -> dict[str, Any]:
        """Create, submit and approve an entry; return it."""
        entry = await self.create(**changed)
        return await self.approve(entry["id"])

    async def approve(self, entry: str) -> dict[str, Any]:
        """Submit and approve the draft of `entry`; return the entry."""
        submitted = await self.call(self.registrar, "POST", f"/entries/{entry}/submissions")
        assert submitted.status_code == 200, submitted.text
        approved = await self.call(self.reviewer, "POST", f"/entries/{entry}/approvals")
        assert approved.status_code == 200, approved.text
        found: dict[str, Any] = approved.json()
        return found

    async def outbox(self, topic: str) -> list[dict[str, Any]]:
        """Return the events of `topic` in the order in which they will be published."""
        connection = await asyncpg.connect(self.url)
        try:
            rows = await connection.fetch(
                "SELECT envelope::text AS event FROM outbox WHERE topic = $1 ORDER BY id", topic
            )
        finally:
            await connection.close()
        return [json.loads(row["event"]) for row in rows]


def content(**changed: Any) -> dict[str, Any]:
    """Return the body of a valid entry; `changed` replaces members, None removes one."""
    body = {
        "resource": "divisions",
        "name": "行政区划代码",
        "summary": "Administrative divisions from provinces to streets.",
        "items": [
            item("code", key=True, required=True, filterable=True),
            item("name", required=True),
            item("level", type="integer"),
        ],
        "data_format": "database",
        "update_frequency": "yearly",
        "share_class": "unconditional",
        "modes": ["query"],
        "use_conditions": "For administrative duties only.",
        "data_grade": "general",
        "line": "civil affairs",
        "area": "China",
    }
    return {name: value for name, value in (body | changed).items() if value is not None}


def item(name: str, **changed: Any) -> dict[str, Any]:
    """Return an item of type text that is neither required nor a key."""
    return {"name": name, "title": f"Title of {name}", "type": "text"} | changed


LAW = {"kind": "law", "title": "中华人民共和国保守国家秘密法", "article": "第二十九条"}


_migrated: set[str] = set()


@contextlib.asynccontextmanager
async def running(searching: Searching) -> AsyncIterator[None]:
    """Keep the index in step within the block."""
    task = asyncio.create_task(searching.run())
    try:
        assert await searching.catch_up(20)
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _empty(url: str) -> None:
    """Migrate the module's database once; empty its tables for each test."""
    if url not in _migrated:
        await upgrade(url, "services.catalog")
        _migrated.add(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            "TRUNCATE entry, entry_version, search_miss, outbox, inbox, parked, idempotency "
            "RESTART IDENTITY"
        )
    finally:
        await connection.close()


@pytest.fixture
async def catalogue(module_database_url: str, tmp_path: Path) -> AsyncIterator[Catalogue]:
    """A catalogue without entries; nothing is indexed before `run` or `step` of its search."""
    await _empty(module_database_url)
    db = Db(module_database_url, "catalog")
    town = Identities()
    directory = town.directory
    searching = Searching(
        db,
        tmp_path / "index",
        lambda: {each.id: each.name for each in directory.agencies.values()},
    )
    app = build_app(
        db,
        directory,
        Verifier(ISSUER, AUDIENCE),
        clock=SystemClock(),
        bus_seconds=0.05,
        searching=searching,
    )
    async with gateway_client(app) as client:
        yield Catalogue(client, town, module_database_url, db, searching)
    await searching.close()
    await db.dispose()
