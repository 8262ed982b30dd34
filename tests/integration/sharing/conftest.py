"""Sharing over ASGI on a real database, in a small town with some entries."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from kit.clock import FixedClock, rfc3339
from kit.db import Db
from kit.ids import uuid7
from kit.migrate import upgrade
from kit.states import StateEvent
from kit.tokens import Verifier
from services.exchange.sharing.app import build_app
from services.exchange.sharing.clients import Copies
from tests.support.callers import AUDIENCE, ISSUER, Identities, TestCaller, gateway_client

ITEMS = (
    ("code", "text", True, True),
    ("name", "text", False, False),
    ("level", "integer", False, True),
    ("born", "date", False, True),
    ("mobile", "text", False, False),
)
"""Items of every entry: name, type, whether part of the key, whether rows are chosen by it."""
LAW = {"kind": "law", "title": "中华人民共和国保守国家秘密法", "article": "第二十九条"}


class Sharing:
    """The service, the people who use it, and a look at its outbox.

    Civil affairs own the resources; the health commission uses them; the big-data bureau is the
    competent department of civil affairs.
    """

    def __init__(self, town: Identities, copies: Copies, url: str, db: Db) -> None:
        self.town = town
        self.copies = copies
        self.url = url
        self.db = db
        self.clock = FixedClock(datetime.now(UTC))
        self.is_fresh = True
        self.client: httpx.AsyncClient
        town.agency("big-data-bureau")
        town.agency("civil-affairs", competent="big-data-bureau")
        self.owner = town.person("civil-affairs", "resource_administrator")
        self.owners_head = town.person("civil-affairs", "agency_head")
        self.head = town.person("health-commission", "sharing_office_head")
        self.officer = town.person("health-commission", "technical_officer")
        self.system = town.system("health-commission")
        self.competent = town.person("big-data-bureau", "competent_officer")
        self.auditor = town.person("audit-office", "auditor")
        self.stranger = town.person(
            "tax-bureau", "sharing_office_head", "resource_administrator", "competent_officer"
        )
        self._versions: dict[str, int] = {}

    def entry(self, resource: str, **changed: Any) -> str:
        """Put the state of an entry into sharing's copy; return the entry's id."""
        entry_id = changed.pop("id", None) or uuid7()
        data = {
            "id": entry_id,
            "version": 1,
            "name": resource,
            "agency": "civil-affairs",
            "share_class": "unconditional",
            "legal_basis": None,
            "state": "published",
            "resource": resource,
            "items": [
                {"name": name, "title": name, "type": kind, "required": key, "key": key}
                | {"filterable": filterable}
                for name, kind, key, filterable in ITEMS
            ],
            "modes": ["query"],
            "update_frequency": "yearly",
            "critical": ["share_class", "state", "items"],
        } | changed
        subject = f"entry/{entry_id}"
        version = self._versions[subject] = self._versions.get(subject, 0) + 1
        self.copies.apply_entry(
            StateEvent("catalog.entry.v1", subject, 1, version, data, frozenset(data["critical"]))
        )
        return entry_id

    def body(self, **changed: Any) -> dict[str, Any]:
        """Return a valid request for `divisions`; `changed` replaces members."""
        now = self.clock.now()
        return {
            "basis": "Duties of the health commission",
            "scenario": "Addresses of patients",
            "resource": "divisions",
            "systems": [self.system.id],
            "items": ["code", "name"],
            "modes": ["query"],
            "purposes": ["health-statistics"],
            "valid_from": rfc3339(now - timedelta(minutes=1)),
            "valid_until": rfc3339(now + timedelta(days=365)),
        } | changed

    async def call(
        self, caller: TestCaller, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Call a route below `/sharing/v1` as the gateway passes it on."""
        now = int(self.clock.now().timestamp())  # tests move the clock by days
        token = self.town.token(caller, iat=now, exp=now + 600)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.request(
            method,
            f"/sharing/v1{path}",
            headers=self.town.headers(caller, Authorization=f"Bearer {token}", **named),
            json=body,
        )

    async def ask(self, key: str | None = None, **changed: Any) -> httpx.Response:
        """Send a request as the head of the health commission's sharing office."""
        return await self.call(
            self.head, "POST", "/requests", self.body(**changed), Idempotency_Key=key or uuid7()
        )

    async def grant(self, **changed: Any) -> dict[str, Any]:
        """Ask for a resource that is granted; return the grant."""
        answer = await self.ask(**changed)
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()["grant"]
        return found

    async def draft(self, caller: TestCaller | None = None, **changed: Any) -> dict[str, Any]:
        """Draft a request for `incomes`, as the technical officer of the health commission."""
        answer = await self.call(
            caller or self.officer,
            "POST",
            "/requests",
            self.body(**{"resource": "incomes"} | changed),
            Idempotency_Key=uuid7(),
        )
        assert answer.status_code == 201, answer.text
        drafted: dict[str, Any] = answer.json()
        return drafted

    async def step(
        self, caller: TestCaller, request: str, step: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        """Take a step (`submissions`, `answers` and so on) in a request."""
        return await self.call(caller, "POST", f"/requests/{request}/{step}", body, **headers)

    async def submitted(self, **changed: Any) -> str:
        """Return the id of a request that was drafted and submitted."""
        request: str = (await self.draft(**changed))["id"]
        answer = await self.step(self.head, request, "submissions")
        assert answer.status_code == 200, answer.text
        return request

    async def answered(self, answer: dict[str, Any] | None = None, **changed: Any) -> str:
        """Return the id of a request that was answered, by default as it was asked."""
        request = await self.submitted(**changed)
        body = {"decision": "approve"} | (answer or {})
        given = await self.step(self.owner, request, "answers", body)
        assert given.status_code == 200, given.text
        return request

    async def confirmed(
        self, answer: dict[str, Any] | None = None, **changed: Any
    ) -> dict[str, Any]:
        """Return a request that was answered and confirmed."""
        request = await self.answered(answer, **changed)
        confirmed = await self.step(self.owners_head, request, "confirmations")
        assert confirmed.status_code == 200, confirmed.text
        found: dict[str, Any] = confirmed.json()
        return found

    async def change(self, caller: TestCaller, grant: str, act: str) -> httpx.Response:
        """Suspend (`suspensions`), resume (`resumptions`) or end (`endings`) a grant."""
        return await self.call(caller, "POST", f"/grants/{grant}/{act}", {"reason": f"For {act}."})

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


_migrated: set[str] = set()


async def _empty(url: str) -> None:
    """Migrate the module's database once; empty its tables for each test."""
    if url not in _migrated:
        await upgrade(url, "services.exchange.sharing")
        _migrated.add(url)
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            'TRUNCATE request_step, request, "grant", withdrawn_entry, outbox, inbox, parked, '
            "idempotency "
            "RESTART IDENTITY"
        )
    finally:
        await connection.close()


@pytest.fixture
async def sharing(module_database_url: str) -> AsyncIterator[Sharing]:
    """Sharing without requests; entries `divisions`, `secrets` (not shared), `incomes`
    (conditional), `registers` (not shared, offered to statutory recipients) and `old` (withdrawn)
    are published by civil affairs."""
    await _empty(module_database_url)
    db = Db(module_database_url, "sharing")
    town = Identities()
    copies = Copies(town.directory, lambda: service.is_fresh)
    service = Sharing(town, copies, module_database_url, db)
    service.entry("divisions")
    service.entry("secrets", share_class="not_shared", legal_basis=LAW, modes=[])
    service.entry("incomes", share_class="conditional")
    service.entry("registers", share_class="not_shared", legal_basis=LAW)
    service.entry("old", state="withdrawn")
    app = build_app(db, copies, Verifier(ISSUER, AUDIENCE), clock=service.clock, bus_seconds=0.05)
    async with gateway_client(app) as client:
        service.client = client
        yield service
    await db.dispose()
