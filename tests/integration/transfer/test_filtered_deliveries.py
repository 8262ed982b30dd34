"""Deliveries through row filters and masks, and grants that are narrowed while they go on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from kit.db import Db
from services.exchange.transfer.store import work
from tests.integration.transfer.conftest import Town, item
from tests.integration.transfer.receiving import Department, department, one_delivery

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ITEMS = [
    item("number", required=True, key=True),
    item("name"),
    item("mobile"),
    item("born", "date", filterable=True),
    item("area", filterable=True),
    item("score", "integer", filterable=True),
]


def person(number: int, name: str, area: str, born: str = "1990-01-02") -> dict[str, Any]:
    return {
        "number": f"33010619900102{number:04d}",
        "name": name,
        "mobile": "13812345678",
        "born": born,
        "area": area,
        "score": number,
    }


ROWS = [person(1, "张三丰", "330106"), person(2, "李四", "330106"), person(3, "王五", "330102")]
IN_330106 = {"all": [{"item": "area", "in": ["330106"]}]}
NAMES = [i["name"] for i in ITEMS]


@pytest.fixture
async def people(town: Town) -> Town:
    town.publish(ITEMS)
    assert (await town.publish_rows(ROWS))["state"] == "effective"
    return town


@pytest.fixture
def health(people: Town) -> Department:
    return department(people, items=NAMES)


def seen(receiver: Department, name: str) -> list[str | None]:
    return sorted((row[name] for row in receiver.rows.values()), key=str)


async def follow(town: Town, receiver: Department) -> None:
    """Do all work, and receive what there is, agreed on by both sides."""
    await town.work()
    assert set(await receiver.catch_up()) <= {"agreed"}


async def test_rows_enter_and_leave_the_filter(people: Town, health: Department) -> None:
    health.give(NAMES, row_filter=IN_330106)
    await health.subscribe()
    await follow(people, health)
    assert seen(health, "name") == ["张三丰", "李四"]

    moved = [
        person(1, "张三丰", "330102"),
        person(2, "李四四", "330106"),
        person(3, "王五", "330106"),
        person(4, "赵六", "330109"),
    ]
    await people.publish_rows([{"_op": "upsert", **row} for row in moved], mode="changes")

    delivery = await one_delivery(health)
    rows = await health.fetch(delivery)
    assert sorted((row["_op"], row["name"]) for row in rows) == [
        ("added", "王五"),
        ("deleted", None),
        ("updated", "李四四"),
    ]
    await follow(people, health)
    assert seen(health, "name") == ["李四四", "王五"]


async def test_what_happens_outside_of_the_filter_is_not_told(
    people: Town, health: Department
) -> None:
    health.give(NAMES, row_filter=IN_330106)
    await health.subscribe()
    await follow(people, health)

    changed = [{"_op": "upsert", **person(3, "王五五", "330102")}]
    await people.publish_rows(changed, mode="changes")

    assert (await one_delivery(health))["segments"] == []
    await follow(people, health)


@pytest.mark.parametrize(
    ("conditions", "numbers"),
    [
        ([{"item": "score", "from": "2"}], [2, 3, 10]),
        ([{"item": "score", "from": "2", "until": "10"}], [2, 3]),
        ([{"item": "born", "until": "1990-01-02"}], [10]),
        ([{"item": "area", "in": ["330106", "330102"]}, {"item": "score", "until": "3"}], [1, 2]),
        ([{"item": "area", "in": ["no such area"]}], []),
        ([{"item": "score", "in": ["ten", "10"]}], [10]),
        ([{"item": "score", "in": ["ten"]}], []),
        ([{"item": "area", "from": "330106"}], []),
        ([{"item": "gone", "in": ["1"]}], []),
    ],
)
async def test_the_table_the_changes_and_queries_agree_on_which_rows_are_covered(
    people: Town, health: Department, conditions: list[dict[str, Any]], numbers: list[int]
) -> None:
    """Also where the entry has changed since the grant: then nothing is covered."""
    row_filter = {"all": conditions}
    tenth = person(10, "钱十", "330110", "1989-12-31")
    nobody = {"number": "x", "name": "无"}
    health.give(NAMES, row_filter=row_filter)
    await health.subscribe()
    await follow(people, health)
    await people.publish_rows([*ROWS, tenth, nobody])
    later = department(people, "police")
    later.give(NAMES, row_filter=row_filter)
    await later.subscribe()

    for receiver in (health, later):
        await follow(people, receiver)
        assert seen(receiver, "score") == sorted(map(str, numbers))
    people.give(NAMES, row_filter=row_filter)
    for row in (*ROWS, tenth, nobody):
        found = (await people.query({"key": {"number": row["number"]}})).json()["rows"]
        assert bool(found) is (row.get("score") in numbers)


async def test_masked_items_are_texts_and_hide_what_they_are_for(
    people: Town, health: Department
) -> None:
    masks = {"number": "pseudonym", "name": "name", "mobile": "mobile", "born": "year"}
    health.give(NAMES, masks=masks)
    subscription = await health.subscribe()
    assert {i["name"]: i["type"] for i in subscription["items"]} == dict.fromkeys(NAMES, "text") | {
        "score": "integer"
    }
    await follow(people, health)

    assert seen(health, "name") == ["张**", "李*", "王*"]
    assert set(seen(health, "mobile")) == {"138****5678"}
    assert set(seen(health, "born")) == {"1990"}
    assert all(len(str(name)) == 26 for name in seen(health, "number"))

    changes = [
        {"_op": "upsert", **person(1, "张三峰", "330106", "1990-12-31")},
        {"_op": "upsert", **person(2, "刘四", "330106")},
        {"_op": "delete", "number": person(3, "", "")["number"]},
    ]
    await people.publish_rows(changes, mode="changes")
    rows = await health.fetch(await one_delivery(health))
    assert sorted(str(row["_op"]) for row in rows) == ["deleted", "updated"], "one change is hidden"
    await follow(people, health)
    assert seen(health, "name") == ["刘*", "张**"]


async def test_two_agencies_get_pseudonyms_that_do_not_meet(
    people: Town, health: Department
) -> None:
    police = department(people, "police")
    same = Department(people, people.identities.system(health.caller.agency))
    for receiver in (health, police, same):
        receiver.give(NAMES, masks={"number": "pseudonym"})
        await receiver.subscribe()
        await follow(people, receiver)

    assert set(health.rows) == set(same.rows)
    assert not set(health.rows) & set(police.rows)
    async with people.db.begin() as tx:
        connection = await tx.connection()
        count = (await connection.execute(text("SELECT count(*) FROM projection"))).scalar_one()
    assert count == 2, "systems of one agency share a projection"


async def test_the_order_of_rows_tells_nothing_of_a_masked_key(
    people: Town, health: Department
) -> None:
    many = [person(n, "某", "330106") for n in range(1, 60)]
    await people.publish_rows(many)
    health.give(NAMES, masks={"number": "pseudonym"})
    await health.subscribe()
    await people.work()

    rows = await health.fetch(await one_delivery(health))
    scores = [int(str(row["score"])) for row in rows]
    assert sorted(scores) == list(range(1, 60))
    assert scores != sorted(scores)
    changed = [{"_op": "upsert", **row, "name": "某某"} for row in many]
    await people.publish_rows(changed, mode="changes")
    rows = await health.fetch((await health.deliveries())[1])
    assert [row["number"] for row in rows] == sorted(str(row["number"]) for row in rows)


@pytest.mark.parametrize(
    ("narrowed", "code", "status"),
    [
        ({"items": ["number", "name"]}, "items-not-granted", 403),
        ({"row_filter": IN_330106}, "terms-changed", 409),
        ({"masks": {"name": "name"}}, "terms-changed", 409),
        ({"masks": {"number": "pseudonym"}}, "terms-changed", 409),
    ],
)
async def test_a_narrowed_grant_gets_the_table_of_what_is_left(
    people: Town,
    health: Department,
    problem: Problem,
    narrowed: dict[str, Any],
    code: str,
    status: int,
) -> None:
    await health.subscribe()
    await follow(people, health)
    await people.publish_rows([{"_op": "upsert", **person(4, "赵六", "330109")}], mode="changes")
    unread = await one_delivery(health)
    health.give(**{"items": NAMES, **narrowed})

    # Nothing that was made before is handed out, and no figure of it is told.
    fetched = await health.call("GET", f"deliveries/{unread['id']}/segments/0")
    problem(fetched, status, code)
    figures = {"added": 0, "updated": 0, "deleted": 0, "rows": 0, "digest": "0" * 64}
    problem(await health.receipt(unread["id"], figures), status, code)
    before = [s["digest"] for each in await health.deliveries() for s in each["segments"]]
    assert before == [None, None], "the digest of one row could be guessed by trying values"

    await people.work()
    table = (await health.deliveries())[-1]
    assert all(len(segment["digest"]) == 64 for segment in table["segments"])
    assert (table["kind"], table["sequence"]) == ("table", unread["sequence"] + 1)
    health.sequence = unread["sequence"]
    await health.look_again()
    await follow(people, health)
    fresh = department(people, health.caller.agency)
    fresh.give(**{"items": NAMES, **narrowed})
    await fresh.subscribe()
    await follow(people, fresh)
    assert health.rows == fresh.rows

    await people.publish_rows([{"_op": "upsert", **person(5, "孙七", "330106")}], mode="changes")
    for receiver in (health, fresh):
        await follow(people, receiver)
    assert health.rows == fresh.rows
    problem(await health.call("GET", f"deliveries/{unread['id']}/segments/0"), status, code)


async def test_a_prolonged_grant_changes_no_delivery(people: Town, health: Department) -> None:
    terms = {"row_filter": IN_330106, "masks": {"name": "name"}}
    health.give(NAMES, **terms)
    await health.subscribe()
    await follow(people, health)
    first = await health.deliveries()

    health.give(NAMES, valid_until="2999-01-01T00:00:00.000000Z", **terms)
    health.give(NAMES, state="suspended", **terms)
    health.give(NAMES, valid_until="2999-01-01T00:00:00.000000Z", **terms)

    assert await people.work() == 0
    assert [each["id"] for each in await health.deliveries()] == [each["id"] for each in first]
    assert len(await health.fetch(first[0])) == 2


async def test_a_worker_that_lags_behind_moves_nobody_back(
    people: Town, health: Department
) -> None:
    await health.subscribe()
    await follow(people, health)
    grants = people.arrivals.copies.grants
    wide = grants[health.grant]
    health.give(NAMES, row_filter=IN_330106)
    await people.work()
    narrow, grants[health.grant] = grants[health.grant], wide
    people.fitting.note(health.grant)

    assert await people.work() == 0
    grants[health.grant] = narrow
    assert len(await health.deliveries()) == 2


async def test_subscribing_again_after_a_narrowing_finds_the_subscription(
    people: Town, health: Department
) -> None:
    first = await health.subscribe()
    health.give(["number", "name"])

    again = await health.subscribe()

    assert again["id"] == first["id"]
    assert [i["name"] for i in again["items"]] == ["number", "name"]
    await follow(people, health)
    assert health.sequence == 1, "the table that was waited for is not made for nobody"


async def test_a_grant_that_loses_the_key_ends_the_subscription(
    people: Town, health: Department
) -> None:
    await health.subscribe()
    await follow(people, health)
    health.give(["name"])

    await people.work()

    assert (await health.look_again())["state"] == "ended"


async def test_a_key_that_looks_alike_when_masked_cannot_be_subscribed_to(
    people: Town, health: Department, problem: Problem
) -> None:
    health.give(NAMES, masks={"number": "id_number"})

    answer = await health.call("POST", "subscriptions", {"from": "beginning"})

    problem(answer, 409, "key-not-granted")


async def test_a_worker_notices_a_grant_by_itself_and_tries_again_after_a_failure(
    people: Town, health: Department
) -> None:
    await health.subscribe()
    await follow(people, health)
    away = replace(people.context, db=Db("postgresql://nobody@127.0.0.1:1/none", "transfer"))
    health.give(NAMES, row_filter=IN_330106)
    with pytest.raises(OSError, match="Connect"):
        await people.fitting.fit(away)

    noticing = asyncio.create_task(people.fitting.run(people.context))
    deadline = asyncio.get_running_loop().time() + 10
    while await work.claim(people.db, seconds=0) is None:
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.01)
    noticing.cancel()
    await asyncio.wait([noticing])
    await away.db.dispose()

    await follow(people, health)
    assert (health.sequence, seen(health, "name")) == (2, ["张三丰", "李四"])
