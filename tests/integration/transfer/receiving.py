"""A department that receives: its calls, and a table of its own that it keeps in step.

Its figures are made row by row from that table, by another code path than the platform's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from kit.ids import uuid7
from services.exchange.transfer.domain import Item, ItemType
from services.exchange.transfer.domain.tables import from_stream
from tests.integration.transfer.conftest import CONSUMER, RESOURCE, Town
from tests.support.callers import TestCaller
from tests.support.checking import canonical_row, digest_of

Row = Mapping[str, str | None]


@dataclass
class Department:
    """One system of one agency with a grant of its own, and the table that it keeps.

    Attributes:
        rows: by key, canonical texts.
        sequence: of the last delivery that was applied.
    """

    town: Town
    caller: TestCaller
    grant: str = field(default_factory=uuid7)
    subscription: dict[str, Any] = field(default_factory=dict)
    rows: dict[tuple[str | None, ...], Row] = field(default_factory=dict)
    sequence: int = 0
    delivered: list[str] = field(default_factory=list)

    def give(self, items: Sequence[str] | None = None, **changed: Any) -> int:
        """Publish a state of the grant; return its version."""
        members = {
            "id": self.grant,
            "systems": [self.caller.id],
            "consumer": self.caller.agency,
            "modes": ["batch"],
        }
        return self.town.give(None if items is None else list(items), **{**members, **changed})

    async def call(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        """Call a route below the resource, as the gateway passes the call on."""
        content = more.pop("content", None)
        resource = more.pop("resource", RESOURCE)
        headers = {
            "Datong-Purpose": "public-health",
            "Datong-Internal-Grant": f"{self.grant}@{self.town.versions[f'grant/{self.grant}']}",
            **more,
        }
        if json is not None:
            content = orjson.dumps(json)
        if content is not None:
            headers.setdefault("Content-Type", "application/json")
        return await self.town.client.request(
            method,
            f"/data/v1/{resource}/{path}",
            content=content,
            headers=self.town.identities.headers(self.caller, **headers),
        )

    async def subscribe(
        self, starts: str = "beginning", items: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """Subscribe, and return the subscription."""
        body = {"from": starts} | ({} if items is None else {"items": list(items)})
        answer = await self.call("POST", "subscriptions", body)
        assert answer.status_code in (200, 201), answer.text
        self.subscription = answer.json()
        return self.subscription

    async def look_again(self) -> dict[str, Any]:
        """Return the subscription as it is now."""
        answer = await self.call("GET", self.path)
        assert answer.status_code == 200, answer.text
        self.subscription = answer.json()
        return self.subscription

    @property
    def path(self) -> str:
        """Path of the subscription."""
        return f"subscriptions/{self.subscription['id']}"

    async def deliveries(self, after: int = 0, **more: int) -> list[dict[str, Any]]:
        """Return the deliveries after a sequence."""
        query = "".join(f"&{name}={value}" for name, value in more.items())
        answer = await self.call("GET", f"{self.path}/deliveries?after={after}{query}")
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found

    async def fetch(self, delivery: Mapping[str, Any]) -> list[dict[str, str | None]]:
        """Return the rows of all segments of a delivery, `_op` among them."""
        rows: list[dict[str, str | None]] = []
        for segment in delivery["segments"]:
            answer = await self.call(
                "GET", f"deliveries/{delivery['id']}/segments/{segment['number']}"
            )
            assert answer.status_code == 200, answer.text
            rows += from_stream(answer.content).to_pylist()
        return rows

    async def apply(self, delivery: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a delivery to the own table and return the figures of its receipt."""
        rows = await self.fetch(delivery)
        counts = {"added": 0, "updated": 0, "deleted": 0}
        if delivery["kind"] == "table":
            self.rows.clear()
        touched = []
        for row in rows:
            told = row.pop("_op") or ""
            key = tuple(row[i["name"]] for i in self.subscription["items"] if i["key"])
            known = key in self.rows
            if told == "deleted":
                done = "deleted" if self.rows.pop(key, None) is not None else "nothing"
            else:
                done = "updated" if known else "added"
                self.rows[key] = row
                touched.append(key)
            # From now, rows of before the subscription are not there to be updated or deleted.
            done = told if self.subscription["from"] == "now" else done
            counts[done] = counts.get(done, 0) + 1
        self.sequence = delivery["sequence"]
        self.delivered.append(delivery["id"])
        seen = self.rows if self.subscription["from"] == "beginning" else touched
        return counts | self.digest(self.rows[key] for key in seen)

    def digest(self, rows: Iterable[Row]) -> dict[str, Any]:
        """Return count and digest of rows, made one by one."""
        items = tuple(
            Item(i["name"], ItemType(i["type"]), i["required"], i["key"], False)
            for i in self.subscription["items"]
        )
        written = [canonical_row(items, [row.get(item.name) for item in items]) for row in rows]
        return {"rows": len(written), "digest": digest_of(written)}

    async def receipt(self, delivery: str, figures: Mapping[str, Any]) -> httpx.Response:
        """Put a receipt."""
        return await self.call("PUT", f"deliveries/{delivery}/receipt", dict(figures))

    async def catch_up(self) -> list[str]:
        """Apply all deliveries that are there, in order, and return how their receipts went."""
        states = []
        for delivery in await self.deliveries(self.sequence, limit=100):
            answer = await self.receipt(delivery["id"], await self.apply(delivery))
            assert answer.status_code == 200, answer.text
            states.append(answer.json()["state"])
        return states


async def one_delivery(receiver: Department) -> dict[str, Any]:
    """Return the only delivery that a department has not applied yet."""
    (delivery,) = await receiver.deliveries(receiver.sequence)
    return delivery


def department(
    town: Town, agency: str = CONSUMER, *, items: Sequence[str] | None = None
) -> Department:
    """Return a department with a grant for mode batch."""
    made = Department(town, town.identities.system(agency))
    made.give(items)
    return made
