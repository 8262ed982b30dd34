"""Reconciliation: declared, platform's and consumers' figures, for those whom they concern."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import event, text

from kit.ids import uuid7
from services.exchange.transfer.store import work
from services.exchange.transfer.worker import HANDLERS
from tests.integration.transfer.conftest import OWNER, RESOURCE, Town
from tests.integration.transfer.receiving import Department, department
from tests.support.callers import TestCaller

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]
CHANGES: list[dict[str, Any]] = [
    {"_op": "delete", "code": "330100"},
    {"_op": "upsert", "code": "330200", "name": "宁波市", "level": 2},
    {"_op": "upsert", "code": 7, "name": "broken", "level": 2},
]


class Reports:
    """Asks for reconciliation as different callers."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.owner = town.identities.person(OWNER, "technical_officer")

    async def get(self, query: str = "", caller: TestCaller | None = None) -> httpx.Response:
        return await self.town.client.get(
            f"/data/v1/{RESOURCE}/reconciliations{query}",
            headers=self.town.identities.headers(caller or self.owner),
        )

    async def items(
        self, query: str = "", caller: TestCaller | None = None
    ) -> list[dict[str, Any]]:
        answer = await self.get(query, caller)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["items"]
        return found


@pytest.fixture
async def reports(town: Town) -> Reports:
    return Reports(town)


@pytest.fixture
async def receivers(town: Town) -> list[Department]:
    """Two departments that received a table and then changes; nobody has put a receipt."""
    made = [department(town, "health"), department(town, "education", items=["code", "name"])]
    await town.publish_rows(ROWS, declared={"rows": 2})
    for each in made:
        await each.subscribe()
    await town.work()
    await town.publish_rows(
        CHANGES, mode="changes", declared={"rows": 3, "deleted": 1}, quarantine_limit=1
    )
    return made


async def test_figures_of_all_sides_stand_side_by_side(
    reports: Reports, receivers: list[Department]
) -> None:
    health, education = receivers
    assert await health.catch_up() == ["agreed", "agreed"]
    table, changes = await education.deliveries()
    figures = await education.apply(table)
    await education.receipt(table["id"], figures | {"added": 9})

    second, first = await reports.items()

    assert first["state"] == "differs"
    assert first["declared"] == {"rows": 2}
    assert first["platform"]["rows"] == first["platform"]["table_rows"] == 2
    assert second["state"] == "pending"
    assert second["declared"] == {"rows": 3, "deleted": 1}
    platform = {name: second["platform"][name] for name in second["platform"] if name != "digest"}
    assert platform == {
        "rows": 2,
        "quarantined": 1,
        "added": 1,
        "updated": 0,
        "deleted": 1,
        "unchanged": 0,
        "table_rows": 2,
    }
    by_agency = {d["agency"]: d for d in first["deliveries"]}
    assert by_agency["health"]["platform"] == by_agency["health"]["consumer"]
    assert by_agency["education"]["platform"] == figures
    assert by_agency["education"]["consumer"] == figures | {"added": 9}
    assert by_agency["education"]["system"] == education.caller.id
    pending = next(d for d in second["deliveries"] if d["agency"] == "education")
    assert pending == {
        "delivery": changes["id"],
        "sequence": 2,
        "subscription": education.subscription["id"],
        "agency": "education",
        "system": education.caller.id,
        "kind": "changes",
        "state": "pending",
        "platform": None,
        "consumer": None,
        "received_at": None,
    }


async def test_a_batch_that_is_still_being_delivered_is_pending(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    for each in receivers:
        await each.catch_up()
    batch = await town.open("changes")
    await town.put(batch, 0, [{"_op": "delete", "code": "330000"}])
    await town.seal(batch)
    seal = await work.claim(town.db, seconds=60)
    assert seal is not None
    await HANDLERS[seal.kind](seal, town.context)

    assert [found["state"] for found in await reports.items()] == ["pending", "agreed", "agreed"]

    await town.work()
    for each in receivers:
        await each.catch_up()
    assert {found["state"] for found in await reports.items()} == {"agreed"}


async def test_a_consumer_sees_only_its_own_deliveries(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    await receivers[0].catch_up()
    alone = await town.publish_rows([*ROWS], declared={"rows": 2})
    await receivers[0].catch_up()
    officer = town.identities.person("education", "resource_administrator")

    for caller in (officer, receivers[1].caller):
        found = await reports.items("", caller)
        assert {d["agency"] for batch in found for d in batch["deliveries"]} == {"education"}
        assert {batch["state"] for batch in found} == {"pending"}
    assert alone["id"] in {batch["batch"] for batch in await reports.items()}
    (day,) = await reports.items(today(), officer)
    assert (day["deliveries"], day["pending"], day["agreed"]) == (3, 3, 0)


async def test_figures_of_the_whole_table_are_not_told_to_a_consumer(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    officer = town.identities.person("education", "resource_administrator")

    for caller in (officer, receivers[1].caller):
        for batch in await reports.items("", caller):
            assert (batch["platform"], batch["declared"]) == (None, None)
            assert batch["deliveries"]
        (day,) = await reports.items(today(), caller)
        assert day["batches"] == 2
        for name in ("declared_rows", "rows", "quarantined", "added", "updated", "deleted"):
            assert day[name] is None


async def test_a_batch_without_a_delivery_to_it_is_not_shown_to_a_consumer(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    await receivers[1].call("POST", f"{receivers[1].path}/endings")
    await town.publish_rows(ROWS)

    assert len(await reports.items()) == 3
    assert len(await reports.items("", receivers[1].caller)) == 2


async def test_auditors_see_all_and_other_agencies_nothing(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    auditor = town.identities.person("audit-office", "auditor")
    stranger = town.identities.person("water", "sharing_office_head")

    assert await reports.items("", auditor) == await reports.items()
    assert await reports.items(today(), auditor) == await reports.items(today())
    assert await reports.items("", stranger) == []
    assert await reports.items(today(), stranger) == []


async def test_people_without_a_role_for_it_see_nothing(
    town: Town, reports: Reports, problem: Problem
) -> None:
    registrar = town.identities.person(OWNER, "registrar")

    for query in ("", today()):
        problem(await reports.get(query, registrar), 403, "role-missing")


async def test_reconciliations_are_narrowed_and_paged(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    await receivers[0].catch_up()
    await receivers[1].catch_up()
    batch = await town.publish_rows(ROWS)
    everything = await reports.items()

    assert [found["batch"] for found in await reports.items("?state=pending")] == [batch["id"]]
    assert await reports.items(f"?batch={batch['id']}") == everything[:1]
    assert await reports.items(f"?batch={uuid7()}") == []
    assert await reports.items("?state=differs") == []
    seen, cursor = [], ""
    while True:
        page = (await reports.get(f"?limit=1{cursor}")).json()
        seen += page["items"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == everything


async def test_days_add_up(town: Town, reports: Reports, receivers: list[Department]) -> None:
    await receivers[0].catch_up()

    (day,) = await reports.items(today())

    assert day == {
        "day": str(datetime.now(ZoneInfo("Asia/Shanghai")).date()),
        "batches": 2,
        "declared_rows": 5,
        "rows": 4,
        "quarantined": 1,
        "added": 3,
        "updated": 0,
        "deleted": 1,
        "deliveries": 4,
        "agreed": 2,
        "differs": 0,
        "pending": 2,
    }


@pytest.mark.parametrize(
    ("sealed_at", "day"),
    [
        ("2026-11-24T15:59:59.999999Z", "2026-11-24"),
        ("2026-11-24T16:00:00.000000Z", "2026-11-25"),
    ],
)
async def test_days_begin_in_shanghai(
    town: Town, reports: Reports, sealed_at: str, day: str
) -> None:
    await town.publish_rows(ROWS)
    async with town.db.begin() as tx:
        moved = text("UPDATE batch SET sealed_at = CAST(CAST(:at AS text) AS timestamptz)")
        await (await tx.connection()).execute(moved.bindparams(at=sealed_at))

    found = await reports.items("/days?from=2026-11-01&until=2026-11-30")

    assert [each["day"] for each in found] == [day]
    assert len(await reports.items(f"/days?from={day}&until={day}")) == 1


@pytest.mark.parametrize("count", [1, 4])
async def test_the_number_of_statements_does_not_grow(
    town: Town, reports: Reports, receivers: list[Department], count: int
) -> None:
    for _ in range(count):
        await town.publish_rows([{"_op": "delete", "code": "330000"}], ROWS[:1], mode="changes")
    statements: list[str] = []
    engine = town.db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))

    await reports.items()
    await reports.items(today())

    assert len([found for found in statements if found.startswith("SELECT")]) == 3


@pytest.mark.parametrize(
    ("query", "status", "code", "pointer"),
    [
        ("?state=open", 422, "parameter-invalid", "/query/state"),
        ("?batch=7", 422, "parameter-invalid", "/query/batch"),
        ("?limit=0", 422, "parameter-invalid", "/query/limit"),
        ("?cursor=WzFd", 400, "cursor-invalid", None),
        ("?cursor=WyJ4IiwieSJd", 400, "cursor-invalid", "/query/cursor"),
        ("/days", 422, "parameter-invalid", "/query/from"),
        ("/days?from=2026-11-24", 422, "parameter-invalid", "/query/until"),
        ("/days?from=0&until=1", 422, "parameter-invalid", "/query/from"),
        ("/days?from=2026-02-30&until=2026-03-01", 422, "parameter-invalid", "/query/from"),
        ("/days?from=2026-11-24&until=20261125", 422, "parameter-invalid", "/query/until"),
        ("/days?from=2026-11-24&until=2026-11-23", 422, "parameter-invalid", "/query/until"),
        ("/days?from=2026-01-01&until=2027-01-02", 422, "parameter-invalid", "/query/until"),
    ],
)
async def test_what_cannot_be_reported_is_pointed_at(
    reports: Reports, problem: Problem, query: str, status: int, code: str, pointer: str | None
) -> None:
    refused = problem(await reports.get(query), status, code)

    if pointer is not None:
        assert refused["errors"][0]["pointer"] == pointer


async def test_an_unknown_resource_has_no_reconciliation(
    town: Town, reports: Reports, problem: Problem
) -> None:
    for more in ("", "/days?from=2026-11-24&until=2026-11-24"):
        answer = await town.client.get(
            f"/data/v1/nothing-here/reconciliations{more}",
            headers=town.identities.headers(reports.owner),
        )
        problem(answer, 404, "resource-unknown")


async def test_what_was_published_stays_on_record_after_the_withdrawal(
    town: Town, reports: Reports, receivers: list[Department]
) -> None:
    before = await reports.items()
    town.publish(state="withdrawn", version=2)

    assert await reports.items() == before


def today() -> str:
    """Return the query for the report of today, in Shanghai."""
    day = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    return f"/days?from={day}&until={day}"
