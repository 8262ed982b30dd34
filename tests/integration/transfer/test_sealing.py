"""A sealed batch becomes effective whole or is refused whole, and tells what it did to each row."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from kit.canonical import canonical
from services.exchange.transfer.actions import sealing
from services.exchange.transfer.domain import from_stream
from services.exchange.transfer.store import work
from services.exchange.transfer.worker import make_worker
from tests.integration.transfer.conftest import AREA_ITEMS, OWNER, RESOURCE, Town, item
from tests.support.processes import wait_until

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
    {"code": "330106", "name": "西湖区", "level": 3, "parent": "330100"},
]
NO_ROWS = {"rows": 0, "digest": "0" * 64}


def digest_of(rows: list[dict[str, Any]]) -> str:
    """The digest by its definition, over canonical JSON of rows that need no conversion."""
    total = sum(int(hashlib.sha256(canonical(row)).hexdigest(), 16) for row in rows)
    return f"{total % 2**256:064x}"


def effects(batch: dict[str, Any]) -> tuple[int, ...]:
    """Added, updated, deleted, unchanged."""
    assert batch["state"] == "effective", batch
    return tuple(batch["effects"].values())


async def found(town: Town) -> list[dict[str, Any]]:
    """All rows as queries answer them, without items that have no value."""
    rows: list[dict[str, Any]] = []
    for level in (1, 2, 3):
        page = (await town.query({"where": {"level": level}})).json()
        rows += [{k: v for k, v in row.items() if v is not None} for row in page["rows"]]
    return sorted(rows, key=lambda row: row["code"])


async def told(town: Town, batch: str) -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Operation, row before and row after of every effect, by key."""
    rows = []
    for row in await select(
        town, "SELECT object, rows FROM effect_segment WHERE batch = :batch ORDER BY number", batch
    ):
        table = from_stream(town.context.objects.read(row.object))
        assert table.num_rows == row.rows
        rows += table.to_pylist()
    made = [
        (
            row["_op"],
            {k[7:]: v for k, v in row.items() if k.startswith("before.") and v is not None},
            {k[6:]: v for k, v in row.items() if k.startswith("after.") and v is not None},
        )
        for row in rows
    ]
    return sorted(made, key=lambda effect: (effect[1] or effect[2])["code"])


async def select(town: Town, statement: str, batch: str = "") -> list[Any]:
    async with town.db.begin() as tx:
        values = {"batch": batch} if ":batch" in statement else {}
        return list(await (await tx.connection()).execute(text(statement).bindparams(**values)))


async def tables(town: Town) -> int:
    return len(await select(town, "SELECT 1 FROM pg_tables WHERE schemaname = 'rows'"))


async def faults(town: Town, batch: dict[str, Any]) -> list[tuple[Any, ...]]:
    answer = await town.call("GET", f"batches/{batch['id']}/quarantine")
    lines = [httpx.Response(200, content=line).json() for line in answer.content.splitlines()]
    return [(x["chunk"], x["row"], x["item"], x["rule"]) for x in lines]


# ---- what becomes effective ----


async def test_a_first_snapshot_adds_all_rows(town: Town) -> None:
    batch = await town.publish_rows(ROWS[:2], ROWS[2:])

    assert effects(batch) == (3, 0, 0, 0)
    assert (batch["version"], batch["rows"], batch["chunks"]) == (1, 3, 2)
    assert batch["table"] == {"rows": 3, "digest": digest_of(ROWS)}
    assert await found(town) == ROWS
    assert await told(town, batch["id"]) == [
        ("added", {}, {**row, "level": str(row["level"])}) for row in ROWS
    ]


async def test_a_snapshot_tells_what_changed_and_nothing_of_what_did_not(town: Town) -> None:
    await town.publish_rows(ROWS)
    moved = {**ROWS[1], "name": "杭州"}
    new = {"code": "330110", "name": "余杭区", "level": 3}

    batch = await town.publish_rows([new, moved, ROWS[0]])

    assert effects(batch) == (1, 1, 1, 1)
    assert batch["version"] == 2
    assert batch["table"] == {"rows": 3, "digest": digest_of([ROWS[0], moved, new])}
    assert await found(town) == [ROWS[0], moved, new]
    assert [
        (op, before.get("name"), after.get("name"))
        for op, before, after in await told(town, batch["id"])
    ] == [
        ("updated", "杭州市", "杭州"),
        ("deleted", "西湖区", None),
        ("added", None, "余杭区"),
    ]


async def test_changes_touch_only_what_they_name(town: Town) -> None:
    await town.publish_rows(ROWS)

    batch = await town.publish_rows(
        [
            {"_op": "delete", "code": "330106"},
            {"_op": "upsert", **ROWS[0]},
            {"code": "330100", "name": "杭州市", "level": 2},  # has no parent any more
            {"code": "330110", "name": "余杭区", "level": 3},
        ],
        mode="changes",
    )

    assert effects(batch) == (1, 1, 1, 1)
    rows = [
        ROWS[0],
        {"code": "330100", "name": "杭州市", "level": 2},
        {"code": "330110", "name": "余杭区", "level": 3},
    ]
    assert await found(town) == rows
    assert batch["table"]["digest"] == digest_of(rows)


async def test_changes_may_be_the_first_batch(town: Town) -> None:
    batch = await town.publish_rows(ROWS, mode="changes")

    assert effects(batch) == (3, 0, 0, 0)
    assert batch["version"] == 1


async def test_a_snapshot_of_the_same_rows_is_a_version_without_effects(town: Town) -> None:
    first = await town.publish_rows(ROWS)

    batch = await town.publish_rows(list(reversed(ROWS)))

    assert effects(batch) == (0, 0, 0, 3)
    assert (batch["version"], batch["table"]) == (2, first["table"])
    assert await told(town, batch["id"]) == []


async def test_an_empty_snapshot_empties_the_table(town: Town) -> None:
    await town.publish_rows(ROWS)

    batch = await town.publish_rows([])

    assert effects(batch) == (0, 0, 3, 0)
    assert batch["table"] == NO_ROWS
    assert await found(town) == []
    assert effects(await town.publish_rows(b"", mode="changes")) == (0, 0, 0, 0)


async def test_every_type_comes_back_in_its_canonical_text(town: Town) -> None:
    items = [
        item("code", required=True, key=True),
        item("note"),
        item("count", "integer"),
        item("amount", "decimal"),
        item("active", "boolean"),
        item("born", "date"),
        item("seen", "datetime"),
    ]
    town.publish(items)
    town.give([each["name"] for each in items])
    kept = [
        {
            "code": "1",
            "note": 'a "quoted", \\N\nsecond line\r\n\t',
            "count": -9007199254740991,
            "amount": "12345678901234567890123456.7890123456",
            "active": True,
            "born": "0001-01-01",
            "seen": "2025-12-31T23:59:59.123456Z",
        },
        {
            "code": "2",
            "note": "",
            "active": False,
            "amount": "0",
            "seen": "0001-01-01T00:00:00.000000Z",
        },
        {"code": "3"},
        {"code": "\\.", "note": "\\."},
    ]
    sent = [
        {**kept[0], "amount": kept[0]["amount"] + "00", "seen": "2026-01-01T07:59:59.123456+08:00"},
        {**kept[1], "amount": "-0.00", "seen": "0001-01-01T00:00:00Z"},
        *kept[2:],
    ]

    batch = await town.publish_rows(sent)

    assert batch["table"] == {"rows": 4, "digest": digest_of(kept)}
    for row in kept:
        answer = (await town.query({"key": {"code": row["code"]}})).json()["rows"][0]
        assert {k: v for k, v in answer.items() if v is not None} == row
    again = await town.publish_rows(kept)
    assert effects(again) == (0, 0, 0, 4)
    gone = await town.publish_rows([{"code": "1", "note": ""}, kept[1], kept[2], kept[3]])
    assert effects(gone) == (0, 1, 0, 3)
    (told_of,) = await told(town, gone["id"])
    assert told_of[1]["active"] == "true"
    assert gone["table"]["digest"] == digest_of([{"code": "1", "note": ""}, *kept[1:]])


async def test_a_key_may_have_several_items_and_names_may_be_long(town: Town) -> None:
    long = "n" * 63
    items = [item("year", "integer", required=True, key=True), item("code", key=True), item(long)]
    town.publish(items)
    town.give(["year", "code", long])
    row = {"year": 2026, "code": "1", long: "x"}

    await town.publish_rows([row, {**row, "year": 2025}])
    batch = await town.publish_rows(
        [{"_op": "delete", "year": 2025, "code": "1"}, {**row, long: "y"}], mode="changes"
    )

    assert effects(batch) == (0, 1, 1, 0)
    answer = await town.query({"key": {"year": 2026, "code": "1"}})
    assert answer.json()["rows"] == [{**row, long: "y"}]


async def test_an_entry_of_keys_alone_has_no_updates(town: Town) -> None:
    town.publish([item("code", required=True, key=True)])
    await town.publish_rows([{"code": "1"}, {"code": "2"}])

    assert effects(await town.publish_rows([{"code": "2"}, {"code": "3"}])) == (1, 0, 1, 1)


async def test_a_batch_of_many_rows_has_several_segments(town: Town) -> None:
    rows = [{"code": f"{n:06}", "name": "x" * 20, "level": 1} for n in range(70_000)]

    batch = await town.publish_rows(rows[:40_000], rows[40_000:])

    assert effects(batch) == (70_000, 0, 0, 0)
    segments = await select(town, "SELECT rows, bytes, object FROM effect_segment ORDER BY number")
    assert sum(row.rows for row in segments) == 70_000
    assert len(segments) > 1
    assert max(row.rows for row in segments) <= 65_536
    assert [row.bytes for row in segments] == [
        len(town.context.objects.read(row.object)) for row in segments
    ]
    assert batch["table"]["digest"] == digest_of(rows)


# ---- what goes to quarantine, and what is refused ----


async def test_a_key_twice_quarantines_all_its_rows(town: Town) -> None:
    twice = {**ROWS[0], "name": "再一次"}
    batch = await town.publish_rows(
        [ROWS[0], twice, ROWS[1]], [ROWS[2], ROWS[0]], quarantine_limit=3
    )

    assert effects(batch) == (2, 0, 0, 0)
    assert (batch["rows"], batch["quarantined"]) == (2, 3)
    assert await faults(town, batch) == [
        (0, 1, "code", "unique"),
        (0, 2, "code", "unique"),
        (1, 2, "code", "unique"),
    ]
    assert await found(town) == ROWS[1:]


async def test_a_delete_of_an_unknown_key_is_quarantined(town: Town) -> None:
    await town.publish_rows(ROWS)
    batch = await town.publish_rows(
        [
            {"_op": "delete", "code": "9"},
            {"_op": "delete", "code": "330106"},
            {"_op": "delete", "code": "330000"},
            {"_op": "upsert", **ROWS[0]},
        ],
        mode="changes",
        quarantine_limit=3,
    )

    assert effects(batch) == (0, 0, 1, 0)
    assert await faults(town, batch) == [
        (0, 1, "code", "key-unknown"),
        (0, 3, "code", "unique"),
        (0, 4, "code", "unique"),
    ]


async def test_deletes_of_a_first_batch_name_nothing(town: Town) -> None:
    batch = await town.publish_rows(
        [{"_op": "delete", "code": "9"}], mode="changes", quarantine_limit=1
    )

    assert effects(batch) == (0, 0, 0, 0)
    assert await faults(town, batch) == [(0, 1, "code", "key-unknown")]


@pytest.mark.parametrize("limit", [1, 2])
async def test_the_limit_decides_between_accepted_and_refused_whole(town: Town, limit: int) -> None:
    await town.publish_rows(ROWS)
    wrong = {"code": "1", "name": "x", "level": "one"}
    other = {"code": "330110", "name": "余杭区", "level": 3}
    batch = await town.publish_rows([*ROWS, wrong, other, other], quarantine_limit=limit + 1)

    assert batch["quarantined"] == 3
    if limit == 2:
        assert effects(batch) == (0, 0, 0, 3)
        return
    assert (batch["state"], batch["refusal"]["code"]) == ("refused", "too-many-faults")
    assert (batch["effects"], batch["version"], batch["table"]) == (None, None, None)
    assert [fault[3] for fault in await faults(town, batch)] == ["type", "unique", "unique"]
    assert await found(town) == ROWS
    assert await select(town, "SELECT 1 FROM dataset WHERE version = 1") != []


@pytest.mark.parametrize(
    "declared",
    [
        {"added": 2},
        {"updated": 0},
        {"deleted": 0},
        {"digest": "a" * 64},
        {"added": 1, "deleted": 9},
    ],
)
async def test_another_effect_than_was_declared_refuses_the_batch_whole(
    town: Town, declared: dict[str, Any]
) -> None:
    await town.publish_rows(ROWS)
    rows = [ROWS[0], {**ROWS[1], "name": "x"}, {"code": "9", "name": "y", "level": 3}]

    batch = await town.publish_rows(rows, declared=declared)

    assert (batch["state"], batch["refusal"]["code"]) == ("refused", "counts-differ")
    assert next(iter(declared)) in batch["refusal"]["detail"] or "deleted" in declared
    assert await found(town) == ROWS
    assert await told(town, batch["id"]) == []
    assert await tables(town) == 1
    right = {"added": 1, "updated": 1, "deleted": 1, "rows": 3, "digest": digest_of(rows)}
    accepted = await town.publish_rows(rows, declared=right)
    assert effects(accepted) == (1, 1, 1, 1)
    assert accepted["version"] == 2


async def test_a_first_batch_that_is_refused_leaves_no_table(town: Town) -> None:
    batch = await town.publish_rows(ROWS, declared={"added": 1})

    assert batch["refusal"]["code"] == "counts-differ"
    assert await tables(town) == 0
    assert await found(town) == []


async def test_facts_tell_figures_and_no_values(town: Town) -> None:
    effective = await town.publish_rows(ROWS)
    refused = await town.publish_rows(ROWS, declared={"added": 1})

    facts = [row.envelope for row in await select(town, "SELECT envelope FROM outbox ORDER BY id")]
    assert [fact["type"].split(".")[1] for fact in facts] == [
        "batch-opened",
        "batch-sealed",
        "batch-effective",
        "batch-opened",
        "batch-sealed",
        "batch-refused",
    ]
    assert facts[1]["data"] | facts[2]["data"] == facts[2]["data"]
    assert facts[2]["subject"] == f"batch/{effective['id']}"
    assert facts[2]["actor"] == "part/transfer"
    assert facts[2]["data"] == {
        "resource": RESOURCE,
        "entry": town.entry,
        "entry_version": 1,
        "agency": OWNER,
        "mode": "snapshot",
        "version": 1,
        "reset": False,
        "chunks": 1,
        "rows": 3,
        "quarantined": 0,
        "added": 3,
        "updated": 0,
        "deleted": 0,
        "unchanged": 0,
        "table_rows": 3,
        "digest": digest_of(ROWS),
    }
    assert facts[5]["subject"] == f"batch/{refused['id']}"
    assert facts[5]["data"]["code"] == "counts-differ"
    assert "浙江省" not in str(facts)


# ---- other items ----


async def test_other_items_need_a_snapshot_which_makes_a_new_table(
    town: Town, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    items = [*AREA_ITEMS[:2], item("level", required=True, filterable=True), item("area")]
    town.publish(items, version=2)
    town.give(["code", "name", "level", "area"])

    answer = await town.call(
        "POST", "batches", json={"mode": "changes"}, **{"Idempotency-Key": "k"}
    )
    refused = problem(answer, 409, "layout-changed")
    assert refused["facts"]["items"] == ["area", "level", "parent"]
    rows = [{"code": "330000", "name": "浙江省", "level": "省", "area": "105500"}]
    batch = await town.publish_rows(rows)

    assert effects(batch) == (1, 0, 3, 0)
    assert (batch["version"], batch["entry_version"]) == (2, 2)
    assert batch["table"] == {"rows": 1, "digest": digest_of(rows)}
    assert (await select(town, "SELECT reset FROM batch WHERE version = 2"))[0].reset
    assert (await town.query({"where": {"level": "省"}})).json()["rows"] == rows
    assert await tables(town) == 1
    assert effects(await town.publish_rows(rows, mode="changes")) == (0, 0, 0, 1)


async def test_other_rules_of_values_keep_the_table(town: Town) -> None:
    await town.publish_rows(ROWS)
    ruled = [AREA_ITEMS[0], AREA_ITEMS[1] | {"max_length": 3}, *AREA_ITEMS[2:]]
    town.publish(ruled, version=2)

    batch = await town.publish_rows(
        [{"code": "9", "name": "太长的名称", "level": 3}], mode="changes", quarantine_limit=1
    )

    assert effects(batch) == (0, 0, 0, 0)
    assert await faults(town, batch) == [(0, 1, "name", "length")]
    assert not (await select(town, "SELECT reset FROM batch WHERE version = 2"))[0].reset
    assert await found(town) == ROWS


async def test_changes_that_meet_another_table_at_last_are_refused(town: Town) -> None:
    await town.publish_rows(ROWS)
    changes = await town.open("changes")
    await town.put(changes, 0, [{"_op": "delete", "code": "330000"}])
    town.publish([*AREA_ITEMS, item("area")], version=2)
    snapshot = await town.open()
    await town.put(snapshot, 0, ROWS)
    await town.seal(snapshot)
    town.publish(version=3)  # the items are those of before again
    await town.seal(changes)

    await town.work()

    assert (await town.batch(snapshot))["state"] == "effective"
    refused = await town.batch(changes)
    assert (refused["state"], refused["refusal"]["code"]) == ("refused", "layout-changed")
    assert await found(town) == ROWS


# ---- at the same time, and again ----


async def test_queries_see_all_of_one_batch_or_all_of_the_other(town: Town) -> None:
    """Generation g has 40 rows that all carry the name g: no answer may mix or miss any.

    Nobody tells the reader of queries that a table was replaced, as nobody would in another
    process.
    """

    def generation(g: int) -> list[dict[str, Any]]:
        return [{"code": f"{n:03}", "name": str(g), "level": 1} for n in range(40)]

    await town.publish_rows(generation(0))
    done = asyncio.Event()
    answers: list[list[str]] = []

    async def ask() -> None:
        while not done.is_set():
            answer = await town.query({"where": {"level": 1}, "items": ["name"]})
            assert answer.status_code == 200, answer.text
            answers.append([row["name"] for row in answer.json()["rows"]])

    readers = [asyncio.create_task(ask()) for _ in range(2)]
    for g in range(1, 7):
        # Every third generation has other items, so that its table is a new one.
        town.publish([*AREA_ITEMS, item(f"extra{g // 3}")], version=g + 1)
        assert (await town.publish_rows(generation(g)))["state"] == "effective"
    await wait_until(lambda: bool(answers) and answers[-1][0] == "6")
    done.set()
    await asyncio.gather(*readers)

    assert all(len(names) == 40 and len(set(names)) == 1 for names in answers)
    order = [int(names[0]) for names in answers]
    assert order[-1] == 6
    assert len(set(order)) > 1


async def test_batches_sealed_at_the_same_time_become_effective_one_after_the_other(
    town: Town,
) -> None:
    batches = []
    for n in range(4):
        batch = await town.open("changes")
        await town.put(batch, 0, [{**ROWS[0], "name": str(n)}, {**ROWS[1], "code": str(n)}])
        batches.append(batch)
    workers = [
        asyncio.create_task(make_worker(town.url, town.context, concurrency=2).run())
        for _ in range(2)
    ]

    await asyncio.gather(*map(town.seal, batches))
    ended = [await town.batch(batch, wait=30) for batch in batches]

    assert sorted(batch["version"] for batch in ended) == [1, 2, 3, 4]
    last = max(ended, key=lambda batch: batch["version"])
    assert len(await found(town)) == last["table"]["rows"] == 5
    assert last["table"]["digest"] == digest_of(await found(town))
    for worker in workers:
        worker.cancel()
    await asyncio.wait(workers)


async def test_a_seal_that_was_taken_over_changes_nothing(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    await town.seal(batch)
    first = await work.claim(town.db, seconds=0.01)
    assert first is not None
    second: list[work.Work] = []

    async def taken_over() -> bool:
        item = await work.claim(town.db, seconds=60)
        second.extend([item] if item else [])
        return bool(second)

    await wait_until(taken_over)
    with pytest.raises(work.LeaseLost):
        await sealing.seal(first, town.context)
    assert (await town.batch(batch))["state"] == "sealed"
    assert await tables(town) == 0

    await sealing.seal(second[0], town.context)
    assert effects(await town.batch(batch)) == (3, 0, 0, 0)


async def test_work_that_comes_again_after_its_batch_has_ended_does_nothing(town: Town) -> None:
    batch = await town.publish_rows(ROWS)
    async with town.db.begin() as tx:
        await work.add(tx, f"seal/{town.entry}", "seal", {"batch": batch["id"]})

    assert await town.work() == 1
    assert await town.batch(batch["id"]) == batch


async def test_a_chunk_that_cannot_be_read_leaves_the_batch_sealed(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    await town.seal(batch)
    ((name,),) = await select(town, "SELECT object FROM chunk")
    town.context.objects.remove(name)

    with pytest.raises(FileNotFoundError):
        await town.work()

    assert (await town.batch(batch))["state"] == "sealed"
    assert await tables(town) == 0
