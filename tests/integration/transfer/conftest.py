"""A running transfer service over a real database, with copies that tests fill by events."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import pytest

from kit.canonical import canonical
from kit.clock import SystemClock
from kit.db import Db
from kit.ids import uuid7
from kit.migrate import upgrade
from kit.states import StateEvent
from kit.tokens import Verifier
from services.exchange.transfer.app import build_app
from services.exchange.transfer.consumer import ENTRY, GRANT, Arrivals
from services.exchange.transfer.domain import Copies
from services.exchange.transfer.store import RowReader
from tests.support.callers import AUDIENCE, ISSUER, Identities, TestCaller, gateway_client

RESOURCE = "area-codes"
OWNER = "civil-affairs"
CONSUMER = "health"


def item(
    name: str,
    kind: str = "text",
    *,
    required: bool = False,
    key: bool = False,
    filterable: bool = False,
) -> dict[str, Any]:
    """An item as entries carry it."""
    return {
        "name": name,
        "title": name,
        "type": kind,
        "required": required,
        "key": key,
        "filterable": filterable,
    }


AREA_ITEMS = [
    item("code", required=True, key=True, filterable=True),
    item("name", required=True),
    item("level", "integer", required=True, filterable=True),
    item("parent", filterable=True),
]


@dataclass
class Town:
    """The service, who calls it, and what it knows."""

    client: httpx.AsyncClient
    db: Db
    url: str
    app: Any
    arrivals: Arrivals
    identities: Identities
    owner: TestCaller
    consumer: TestCaller
    entry: str = field(default_factory=uuid7)
    grant: str = field(default_factory=uuid7)
    versions: dict[str, int] = field(default_factory=dict)

    def publish(self, items: list[dict[str, Any]] | None = None, **changed: Any) -> None:
        """Publish a state of the entry, or a changed one."""
        data = {
            "id": self.entry,
            "version": 1,
            "name": "行政区划代码",
            "agency": OWNER,
            "share_class": "unconditional",
            "legal_basis": None,
            "state": "published",
            "resource": RESOURCE,
            "items": items or AREA_ITEMS,
            "modes": ["query"],
            "update_frequency": "yearly",
            "critical": ["share_class", "state", "items"],
        } | changed
        self._apply(ENTRY, f"entry/{data['id']}", data)

    def give(self, items: list[str] | None = None, **changed: Any) -> int:
        """Publish a state of the grant, or a changed one; return its version."""
        data = {
            "id": self.grant,
            "resource": RESOURCE,
            "entry": self.entry,
            "entry_version": 1,
            "owner": OWNER,
            "consumer": CONSUMER,
            "systems": [self.consumer.id],
            "items": items or ["code", "name", "level", "parent"],
            "modes": ["query"],
            "operations": [],
            "purposes": ["public-health"],
            "valid_from": "2026-01-01T00:00:00.000000Z",
            "valid_until": None,
            "state": "active",
            "reason": None,
            "basis": "unconditional",
            "share_class": "unconditional",
            "critical": [
                "systems",
                "items",
                "modes",
                "operations",
                "purposes",
                "valid_from",
                "valid_until",
                "state",
            ],
        } | changed
        return self._apply(GRANT, f"grant/{data['id']}", data)

    def _apply(self, topic: str, subject: str, data: Mapping[str, Any]) -> int:
        version = self.versions[subject] = self.versions.get(subject, 0) + 1
        self.arrivals.apply(
            StateEvent(topic, subject, 1, version, data, frozenset(data["critical"]))
        )
        return version

    async def load(
        self, rows: Sequence[Mapping[str, Any]] | bytes, *, resource: str = RESOURCE, **headers: str
    ) -> httpx.Response:
        """Load rows as a system of the owner; bytes go as they are."""
        body = rows if isinstance(rows, bytes) else b"\n".join(map(canonical, rows))
        return await self.client.put(
            f"/data/v1/{resource}/rows",
            content=body,
            headers=self.identities.headers(
                self.owner, **{"Content-Type": "application/x-ndjson", **headers}
            ),
        )

    async def query(
        self, body: Any, *, version: int | None = None, resource: str = RESOURCE, **headers: str
    ) -> httpx.Response:
        """Query as the consumer's system, as the gateway passes the call on."""
        version = version or self.versions.get(f"grant/{self.grant}", 1)
        content = body if isinstance(body, bytes) else orjson.dumps(body)
        all_headers = {
            "Content-Type": "application/json",
            "Datong-Purpose": "public-health",
            "Datong-Internal-Grant": f"{self.grant}@{version}",
            **headers,
        }
        return await self.client.post(
            f"/data/v1/{resource}/query",
            content=content,
            headers=self.identities.headers(self.consumer, **all_headers),
        )


@pytest.fixture
async def town(database_url: str) -> AsyncIterator[Town]:
    """Transfer with an entry published and granted, and no rows yet."""
    await upgrade(database_url, "services.exchange.transfer")
    identities = Identities()
    arrivals = Arrivals(Copies(), identities.directory)
    db = Db(database_url, "transfer", pool=3)
    reader = RowReader(database_url, size=3)
    app = build_app(
        db,
        reader,
        identities.directory,
        arrivals,
        Verifier(ISSUER, AUDIENCE),
        clock=SystemClock(),
    )
    async with gateway_client(app) as client:
        made = Town(
            client,
            db,
            database_url,
            app,
            arrivals,
            identities,
            identities.system(OWNER),
            identities.system(CONSUMER),
        )
        made.publish()
        made.give()
        yield made
    await reader.close()
    await db.dispose()


Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


@pytest.fixture
def problem() -> Problem:
    """Check that an answer is a problem of a status and code, and return its document."""

    def check(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
        document: dict[str, Any] = answer.json()
        assert (answer.status_code, document["code"]) == (status, code), document
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["datong-internal-reason"] == code
        return document

    return check
