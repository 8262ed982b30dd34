"""Deliveries: what a batch did, seen through the items of each subscription, without gap."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.exchange.transfer.actions.projecting import ProjectionDiffers
from services.exchange.transfer.domain import whole
from services.exchange.transfer.store import projections, work
from services.exchange.transfer.worker import HANDLERS
from tests.integration.transfer.conftest import AREA_ITEMS, Town, item
from tests.integration.transfer.receiving import Department, department, one_delivery

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
    {"code": "330106", "name": '西湖区 "\n,', "level": 3, "parent": "330100"},
]
CHANGES: list[dict[str, Any]] = [
    {"_op": "delete", "code": "330106"},
    {"_op": "upsert", "code": "330100", "name": "杭州", "level": 2, "parent": "330000"},
    {"_op": "upsert", "code": "330200", "name": "宁波市", "level": 2, "parent": "330000"},
    {"_op": "upsert", **ROWS[0]},
]


@pytest.fixture
def health(town: Town) -> Department:
    return department(town)


async def test_from_the_beginning_the_table_comes_first_and_changes_follow(
    town: Town, health: Department
) -> None:
    first = await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    second = await town.publish_rows(CHANGES, mode="changes")

    table, changes = await health.deliveries()
    assert (table["sequence"], table["kind"], table["version"], table["batch"]) == (
        1,
        "table",
        1,
        first["id"],
    )
    assert (changes["sequence"], changes["kind"], changes["version"], changes["batch"]) == (
        2,
        "changes",
        2,
        second["id"],
    )
    assert await health.fetch(table) == [
        {"_op": "added", "code": r["code"], "name": r["name"], "level": str(r["level"])}
        | {"parent": r.get("parent")}
        for r in ROWS
    ]
    rows = {row["code"]: row for row in await health.fetch(changes)}
    assert {code: row["_op"] for code, row in rows.items()} == {
        "330100": "updated",
        "330106": "deleted",
        "330200": "added",
    }
    assert rows["330106"] == {
        "_op": "deleted",
        "code": "330106",
        "name": None,
        "level": None,
        "parent": None,
    }
    assert await health.catch_up() == ["agreed", "agreed"]


async def test_a_delivery_tells_no_figures_before_its_receipt(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()

    delivery = await one_delivery(health)

    assert set(delivery) == {
        *("id", "sequence", "kind", "batch", "version", "segments", "created_at", "receipt")
    }
    assert delivery["receipt"] is None


async def test_a_table_without_rows_yet_is_delivered_as_such(
    town: Town, health: Department
) -> None:
    await health.subscribe()
    await town.work()
    await town.publish_rows(ROWS)

    empty, first = await health.deliveries()

    assert (empty["kind"], empty["version"], empty["segments"]) == ("table", 0, [])
    assert (first["kind"], first["version"]) == ("changes", 1)
    assert await health.catch_up() == ["agreed", "agreed"]
    assert len(health.rows) == 3


async def test_from_now_only_what_comes_is_delivered(town: Town, health: Department) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe("now")
    await town.work()
    assert await health.deliveries() == []

    await town.publish_rows(CHANGES, mode="changes")

    assert [d["kind"] for d in await health.deliveries()] == ["changes"]
    assert await health.catch_up() == ["agreed"]


async def test_only_the_items_of_the_subscription_are_delivered(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe(items=["code", "level"])
    await town.work()
    (table,) = await health.deliveries()
    assert [set(row) for row in await health.fetch(table)] == [{"_op", "code", "level"}] * 3

    await town.publish_rows(CHANGES, mode="changes")

    (changes,) = await health.deliveries(1)
    seen = {row["code"]: row["_op"] for row in await health.fetch(changes)}
    assert seen == {"330106": "deleted", "330200": "added"}, "a new name is not seen"
    assert await health.catch_up() == ["agreed", "agreed"]


async def test_a_batch_that_changes_nothing_seen_is_delivered_empty(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe(items=["code"])
    await town.work()
    await health.catch_up()
    renamed = {"_op": "upsert", "code": "330000", "name": "浙江", "level": 1}

    await town.publish_rows([renamed], mode="changes")

    assert (await one_delivery(health))["segments"] == []
    assert await health.catch_up() == ["agreed"]


async def test_a_refused_batch_is_not_delivered(town: Town, health: Department) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    refused = await town.publish_rows([{"code": "1", "name": 7, "level": 1}], mode="changes")

    assert refused["state"] == "refused"
    assert len(await health.deliveries()) == 1


async def test_who_joins_late_ends_with_the_same_table(town: Town, health: Department) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    await town.publish_rows(CHANGES, mode="changes")
    late = department(town, "education")
    await late.subscribe()
    await town.work()
    await town.publish_rows([{"_op": "delete", "code": "330000"}], mode="changes")

    assert [d["version"] for d in await late.deliveries()] == [2, 3]
    assert await health.catch_up() == ["agreed"] * 3
    assert await late.catch_up() == ["agreed"] * 2
    assert late.rows == health.rows


async def test_what_is_sealed_while_the_table_is_prepared_is_neither_lost_nor_doubled(
    town: Town, health: Department
) -> None:
    """The table is read at version 2; the work for version 2 comes after it in the lane."""
    await town.publish_rows(ROWS)
    early = department(town, "education")
    await early.subscribe()
    await town.work()
    batch = await town.open("changes")
    await town.put(batch, 0, CHANGES)
    await town.seal(batch)
    await health.subscribe()
    seal = await work.claim(town.db, seconds=60)
    base = await work.claim(town.db, seconds=60)
    assert seal is not None
    assert base is not None
    assert (seal.kind, base.kind) == ("seal", "base"), "whoever subscribed was before the version"
    await HANDLERS[seal.kind](seal, town.context)
    await HANDLERS[base.kind](base, town.context)
    await town.work()

    assert [d["version"] for d in await health.deliveries()] == [2]
    assert [d["version"] for d in await early.deliveries()] == [1, 2]
    await town.publish_rows([{"_op": "delete", "code": "330000"}], mode="changes")
    assert set(await health.catch_up() + await early.catch_up()) == {"agreed"}
    assert health.rows == early.rows


async def test_subscribing_waits_for_a_version_that_is_being_committed(
    town: Town, health: Department
) -> None:
    """Whoever subscribes from now while a batch commits gets the next one, or this one."""
    await town.publish_rows(ROWS)
    for number in range(4):
        batch = await town.open("changes")
        row = {"_op": "upsert", "code": f"4{number}", "name": "x", "level": 1}
        await town.put(batch, 0, [row])
        await town.seal(batch)
    receivers = [department(town, "education") for _ in range(4)]

    await asyncio.gather(town.work(), *(each.subscribe("now") for each in receivers))
    await town.work()
    last = await town.publish_rows([{"_op": "delete", "code": "40"}], mode="changes")

    for each in receivers:
        versions = [delivery["version"] for delivery in await each.deliveries()]
        assert versions == list(range(last["version"] - len(versions) + 1, last["version"] + 1))
        assert set(await each.catch_up()) == {"agreed"}


async def test_projections_are_made_once_for_all_who_share_them(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    other = department(town, "education")
    for receiver in (health, other):
        await receiver.subscribe()
    assert await town.work() == 2

    (mine,), (theirs,) = await health.deliveries(), await other.deliveries()

    assert mine["segments"] == theirs["segments"]
    assert mine["id"] != theirs["id"]
    async with town.db.begin() as tx:
        made = await (await tx.connection()).execute(text("SELECT count(*) FROM projected"))
        assert made.scalar_one() == 1


async def test_work_that_is_done_again_delivers_nothing_twice(
    town: Town, health: Department
) -> None:
    """A worker that was stopped before its commit is fenced; the one after it finishes."""
    await town.publish_rows(ROWS)
    await health.subscribe()
    slow = await work.claim(town.db, seconds=0)
    assert slow is not None
    quick = await work.claim(town.db, seconds=60)
    assert quick is not None
    assert quick.id == slow.id
    await HANDLERS[quick.kind](quick, town.context)

    with pytest.raises(work.LeaseLost):
        await HANDLERS[slow.kind](slow, town.context)
    await town.work()

    assert [d["sequence"] for d in await health.deliveries()] == [1]


async def test_a_new_layout_is_delivered_as_a_table(town: Town, health: Department) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    from_now = department(town, "education")
    await from_now.subscribe("now", ["code", "name"])
    await town.work()
    items = [*AREA_ITEMS[:2], item("area", "decimal")]
    town.publish(items, version=2)
    health.give(["code", "name", "level", "parent", "area"])

    await town.publish_rows([{"code": "330000", "name": "浙江省", "area": "105500.0"}])
    await town.publish_rows([{"_op": "delete", "code": "330000"}], mode="changes")

    assert [d["kind"] for d in await health.deliveries()] == ["table", "table", "changes"]
    assert [d["kind"] for d in await from_now.deliveries()] == ["table", "changes"]
    (_, table, _) = await health.deliveries()
    assert await health.fetch(table) == [
        {"_op": "added", "code": "330000", "name": "浙江省", "level": None, "parent": None}
    ]
    shown = (await health.call("GET", health.path)).json()
    assert [i["name"] for i in shown["items"]] == ["code", "name"], "the others have no value"
    assert set(await from_now.catch_up()) == {"agreed"}
    assert set(await health.catch_up()) == {"agreed"}
    assert health.rows == {}


async def test_a_subscription_ends_when_rows_are_told_apart_by_what_it_lacks(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe(items=["code", "name"])
    await town.work()
    town.publish([AREA_ITEMS[0], AREA_ITEMS[1], item("year", "integer", key=True)], version=2)

    await town.publish_rows([{"code": "1", "name": "x", "year": 2026}])

    assert (await health.call("GET", health.path)).json()["state"] == "ended"
    assert len(await health.deliveries()) == 1
    async with town.db.begin() as tx:
        ended = await (await tx.connection()).execute(
            text(
                "SELECT envelope #>> '{data,reason}', envelope ->> 'actor' FROM outbox"
                " WHERE envelope ->> 'type' = 'transfer.subscription-ended.v1'"
            )
        )
        assert ended.all() == [("key-not-granted", "part/transfer")]


async def test_a_renewal_brings_the_whole_table_again_and_changes_after_it(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    await health.catch_up()
    health.rows.clear()
    renewed = [await health.call("POST", f"{health.path}/renewals") for _ in range(2)]
    await town.work()
    await town.publish_rows(CHANGES, mode="changes")

    assert [answer.status_code for answer in renewed] == [202, 202]
    assert [d["kind"] for d in await health.deliveries(1)] == ["table", "changes"]
    assert await health.catch_up() == ["agreed", "agreed"]


async def test_under_a_suspended_grant_deliveries_are_made_and_fetched_after_it_resumes(
    town: Town, health: Department, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    health.give(state="suspended")
    await town.publish_rows(CHANGES, mode="changes")
    problem(await health.call("GET", f"{health.path}/deliveries"), 403, "grant-suspended")

    health.give()

    assert await health.catch_up() == ["agreed", "agreed"]


@pytest.mark.parametrize(
    "over", [{"state": "ended"}, {"valid_until": "2026-01-02T00:00:00.000000Z"}]
)
async def test_nothing_is_made_under_a_grant_that_is_over(
    town: Town, health: Department, over: dict[str, Any]
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    health.give(**over)
    await town.publish_rows(CHANGES, mode="changes")
    health.give()

    assert len(await health.deliveries()) == 1
    assert (await health.call("GET", health.path)).json()["state"] == "ended"


async def test_an_item_that_a_grant_has_lost_is_handed_out_no_more(
    town: Town, health: Department, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    delivery = await one_delivery(health)
    figures = await health.apply(delivery)
    health.give(["code", "name"])

    fetched = await health.call("GET", f"deliveries/{delivery['id']}/segments/0")
    refused = problem(fetched, 403, "items-not-granted")
    assert refused["facts"]["items"] == ["level", "parent"]
    assert "the next delivery" in refused["detail"]
    problem(await health.receipt(delivery["id"], figures), 403, "items-not-granted")

    assert (await health.call("POST", f"{health.path}/renewals")).status_code == 202
    await town.work()
    await health.look_again()
    assert await health.catch_up() == ["agreed"]
    assert {tuple(row) for row in health.rows.values()} == {("code", "name")}


async def test_a_row_changed_behind_the_effects_stops_the_delivery(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe(items=["code", "name"])
    await town.work()
    async with town.db.begin() as tx:
        connection = await tx.connection()
        table = (await connection.execute(text("SELECT table_name FROM dataset"))).scalar_one()
        await connection.exec_driver_sql(f"UPDATE rows.\"{table}\" SET i_name = 'x'")
        # The table is to be read anew, as if its version had not been projected before.
        await connection.execute(text("UPDATE projected SET kind = 'changes'"))
    await health.call("POST", f"{health.path}/renewals")

    with pytest.raises(ProjectionDiffers):
        await town.work()


async def test_a_table_that_is_replaced_before_it_is_read_is_looked_up_again(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    async with projections.snapshot_of(town.db, town.entry) as (tx, snapshot):
        town.publish(AREA_ITEMS[:2], version=2)
        await town.publish_rows([{"code": "1", "name": "x"}])
        assert snapshot.layout is not None
        with pytest.raises(projections.TableReplaced):
            await projections.copy_out(tx, snapshot, whole(snapshot.layout.items), None, nothing)


async def nothing(_data: bytes) -> None:
    """Take what nobody wants."""
