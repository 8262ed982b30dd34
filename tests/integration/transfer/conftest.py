"""A running transfer service over a real database, with copies that tests fill by events."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
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
from services.exchange.transfer.domain import ConsumerKeys, Copies
from services.exchange.transfer.store import Context, FolderObjects, News, RowReader, work
from services.exchange.transfer.worker import HANDLERS, Fitting
from tests.support.callers import AUDIENCE, ISSUER, Identities, TestCaller, gateway_client

RESOURCE = "area-codes"
OWNER = "civil-affairs"
CONSUMER = "health"
KEYS = ConsumerKeys(bytes(range(32)))


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
    context: Context
    fitting: Fitting
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
        data["critical"] = [*data["critical"], *(n for n in ("row_filter", "masks") if n in data)]
        return self._apply(GRANT, f"grant/{data['id']}", data)

    def _apply(self, topic: str, subject: str, data: Mapping[str, Any]) -> int:
        version = self.versions[subject] = self.versions.get(subject, 0) + 1
        self.arrivals.apply(
            StateEvent(topic, subject, 1, version, data, frozenset(data["critical"]))
        )
        return version

    async def call(
        self, method: str, path: str, *, resource: str = RESOURCE, json: Any = None, **more: Any
    ) -> httpx.Response:
        """Call a route below a resource as the owner's system; `more` are headers or `content`."""
        content = more.pop("content", None)
        if json is not None:
            content = orjson.dumps(json)
            more.setdefault("Content-Type", "application/json")
        return await self.client.request(
            method,
            f"/data/v1/{resource}/{path}",
            content=content,
            headers=self.identities.headers(self.owner, **more),
        )

    async def open(self, mode: str = "snapshot", **members: Any) -> str:
        """Open a batch and return its id."""
        answer = await self.call(
            "POST", "batches", json={"mode": mode, **members}, **{"Idempotency-Key": uuid7()}
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def put(
        self, batch: str, chunk: int, rows: Sequence[Mapping[str, Any]] | bytes, **more: str
    ) -> httpx.Response:
        """Put a chunk: rows as NDJSON, or bytes as they are."""
        body = rows if isinstance(rows, bytes) else b"".join(canonical(r) + b"\n" for r in rows)
        headers = {
            "Content-Type": "application/x-ndjson",
            "Content-Digest": f"sha-256=:{b64encode(sha256(body).digest()).decode()}:",
            **more,
        }
        path = f"batches/{batch}/chunks/{chunk}"
        return await self.call("PUT", path, content=body, **headers)

    async def seal(self, batch: str, chunks: int = 1) -> httpx.Response:
        """Seal a batch."""
        return await self.call("POST", f"batches/{batch}/seals", json={"chunks": chunks})

    async def batch(self, batch: str, wait: int = 0) -> dict[str, Any]:
        """Return a batch as it is now."""
        answer = await self.call("GET", f"batches/{batch}?wait={wait}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def publish_rows(
        self, *chunks: Sequence[Mapping[str, Any]] | bytes, mode: str = "snapshot", **members: Any
    ) -> dict[str, Any]:
        """Publish a batch of these chunks, do its work, and return it as it ended."""
        batch = await self.open(mode, **members)
        for number, rows in enumerate(chunks):
            answer = await self.put(batch, number, rows)
            assert answer.status_code == 201, answer.text
        sealed = await self.seal(batch, len(chunks))
        assert sealed.status_code == 202, sealed.text
        await self.work()
        return await self.batch(batch)

    async def work(self) -> int:
        """Notice changed grants and do all work that there is; return how many items."""
        await self.fitting.fit(self.context)
        done = 0
        while (item := await work.claim(self.db, seconds=60)) is not None:
            await HANDLERS[item.kind](item, self.context)
            done += 1
        return done

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
async def town(database_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """Transfer with an entry published and granted, and no rows yet."""
    await upgrade(database_url, "services.exchange.transfer")
    identities = Identities()
    fitting = Fitting()
    arrivals = Arrivals(Copies(), identities.directory, on_grant=fitting.note)
    db = Db(database_url, "transfer", pool=6)
    reader = RowReader(database_url, size=3)
    context = Context(
        db,
        FolderObjects(tmp_path / "objects"),
        SystemClock(),
        copies=arrivals.copies,
        keys=KEYS,
    )
    news = News(database_url)
    listening = asyncio.create_task(news.run())
    app = build_app(
        db,
        reader,
        identities.directory,
        arrivals,
        Verifier(ISSUER, AUDIENCE),
        clock=SystemClock(),
        objects=context.objects,
        news=news,
        keys=KEYS,
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
            context,
            fitting,
        )
        made.publish()
        made.give()
        yield made
    listening.cancel()
    await asyncio.wait([listening])
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
