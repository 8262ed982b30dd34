"""A batch from its opening to its seal, as its owner sees it."""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from kit.ids import uuid7
from tests.integration.transfer.conftest import AREA_ITEMS, OWNER, RESOURCE, Town, item

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]


async def facts(town: Town) -> list[dict[str, Any]]:
    """All facts in the outbox, in order."""
    async with town.db.begin() as tx:
        connection = await tx.connection()
        rows = await connection.execute(text("SELECT envelope FROM outbox ORDER BY id"))
        return [row.envelope for row in rows]


async def open_answer(town: Town, body: Any, key: str = "", **more: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await town.call("POST", "batches", json=body, **headers, **more)


async def test_a_batch_opens_and_is_found_again(town: Town) -> None:
    declared = {"rows": 2, "added": 2, "digest": "a" * 64}
    answer = await open_answer(
        town, {"mode": "snapshot", "declared": declared, "quarantine_limit": 5}, uuid7()
    )

    assert answer.status_code == 201
    batch = answer.json()
    assert batch | {"id": "", "opened_at": ""} == {
        "id": "",
        "resource": RESOURCE,
        "entry": town.entry,
        "entry_version": 1,
        "mode": "snapshot",
        "state": "open",
        "declared": declared,
        "quarantine_limit": 5,
        "chunks": 0,
        "rows": 0,
        "quarantined": 0,
        "effects": None,
        "version": None,
        "table": None,
        "refusal": None,
        "opened_by": town.owner.subject,
        "opened_at": "",
        "sealed_at": None,
        "finished_at": None,
    }
    assert answer.headers["datong-internal-digest"] == hashlib.sha256(answer.content).hexdigest()
    assert await town.batch(batch["id"]) == batch
    (fact,) = await facts(town)
    assert (fact["type"], fact["subject"]) == ("transfer.batch-opened.v1", f"batch/{batch['id']}")
    assert fact["actor"] == town.owner.subject
    assert fact["data"]["declared"] == declared


async def test_the_same_key_opens_one_batch(town: Town, problem: Problem) -> None:
    body = {"mode": "snapshot"}
    key = uuid7()
    one, other = await open_answer(town, body, key), await open_answer(town, body, key)

    assert one.json() == other.json()
    changed = await open_answer(town, {"mode": "changes"}, key)
    problem(changed, 422, "idempotency-key-reused")
    problem(await open_answer(town, body), 400, "idempotency-key-required")


async def test_a_key_used_for_another_resource_opens_nothing_there(
    town: Town, problem: Problem
) -> None:
    town.publish(id=uuid7(), resource="other-codes")
    key = uuid7()
    await open_answer(town, {"mode": "snapshot"}, key)

    answer = await open_answer(town, {"mode": "snapshot"}, key, resource="other-codes")

    problem(answer, 422, "idempotency-key-reused")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/mode"),
        ({"mode": "all"}, "/mode"),
        ({"mode": "snapshot", "declared": {"rows": -1}}, "/declared/rows"),
        ({"mode": "snapshot", "declared": {"rows": "2"}}, "/declared/rows"),
        ({"mode": "snapshot", "declared": {"rows": True}}, "/declared/rows"),
        ({"mode": "snapshot", "declared": {"digest": "A" * 64}}, "/declared/digest"),
        ({"mode": "snapshot", "declared": {"total": 2}}, "/declared/total"),
        ({"mode": "snapshot", "quarantine_limit": 10_001}, "/quarantine_limit"),
        ({"mode": "snapshot", "colour": 1}, "/colour"),
    ],
)
async def test_a_batch_that_is_asked_for_wrongly_is_not_opened(
    town: Town, problem: Problem, body: dict[str, Any], pointer: str
) -> None:
    refused = problem(await open_answer(town, body, uuid7()), 422, "body-invalid")

    assert refused["errors"][0]["pointer"] == pointer
    assert await facts(town) == []


async def test_an_entry_has_a_hundred_open_batches_at_most(town: Town, problem: Problem) -> None:
    body, key = {"mode": "snapshot"}, uuid7()
    first = (await open_answer(town, body, key)).json()["id"]
    async with town.db.begin() as tx:
        await (await tx.connection()).execute(
            text(
                "INSERT INTO batch SELECT (jsonb_populate_record("
                "b, jsonb_build_object('id', b.id || n))).* FROM batch b, generate_series(1, 98) n"
            )
        )

    answers = await asyncio.gather(*(open_answer(town, body, uuid7()) for _ in range(2)))

    opened, refused = sorted(answers, key=lambda answer: answer.status_code)
    assert opened.status_code == 201
    facts = problem(refused, 409, "too-many-open-batches")["facts"]
    assert facts == {"resource": RESOURCE, "open": 100, "most": 100}
    assert (await open_answer(town, body, key)).json()["id"] == first, "said again, it is the same"
    await town.call("POST", f"batches/{first}/abandonments")
    assert (await open_answer(town, body, uuid7())).status_code == 201


async def test_only_the_owner_of_a_published_entry_opens_batches(
    town: Town, problem: Problem
) -> None:
    body = {"mode": "snapshot"}
    owner = town.owner
    town.owner = town.identities.system("health")
    problem(await open_answer(town, body, uuid7()), 403, "not-the-owner")
    town.owner = town.identities.person(OWNER, "resource_administrator")
    problem(await open_answer(town, body, uuid7()), 403, "role-missing")
    town.owner = owner
    problem(await open_answer(town, body, uuid7(), resource="nothing"), 404, "resource-unknown")
    town.publish(state="submitted")
    problem(await open_answer(town, body, uuid7()), 409, "entry-not-published")
    town.publish(state="withdrawn")
    problem(await open_answer(town, body, uuid7()), 410, "resource-withdrawn")


async def test_an_entry_without_key_takes_no_batch(town: Town, problem: Problem) -> None:
    town.publish([item("name", required=True)])

    problem(await open_answer(town, {"mode": "snapshot"}, uuid7()), 409, "entry-without-key")


async def test_batches_of_others_are_not_there(town: Town, problem: Problem) -> None:
    """By another agency, and by the same agency under another resource."""
    batch = await town.open()
    town.publish(id=uuid7(), resource="other-codes")
    for path in ("", "/chunks", "/quarantine"):
        answer = await town.call("GET", f"batches/{batch}{path}", resource="other-codes")
        problem(answer, 404, "batch-unknown")
    for path, body in (("/seals", {"chunks": 1}), ("/abandonments", None)):
        answer = await town.call(
            "POST", f"batches/{batch}{path}", json=body, resource="other-codes"
        )
        problem(answer, 404, "batch-unknown")
    problem(await town.call("GET", f"batches/{uuid7()}"), 404, "batch-unknown")
    problem(await town.call("GET", "batches/mine"), 422, "parameter-invalid")
    town.owner = town.identities.system("health")
    problem(await town.call("GET", f"batches/{batch}"), 403, "not-the-owner")
    problem(await town.put(batch, 0, ROWS), 403, "not-the-owner")


async def test_batches_are_listed_newest_first_by_pages_and_state(
    town: Town, problem: Problem
) -> None:
    opened = [await town.open() for _ in range(3)]
    await town.call("POST", f"batches/{opened[0]}/abandonments")

    page = (await town.call("GET", "batches?limit=2")).json()
    rest = (await town.call("GET", f"batches?limit=2&cursor={page['next']}")).json()

    assert [batch["id"] for batch in page["items"] + rest["items"]] == opened[::-1]
    assert rest["next"] is None
    abandoned = (await town.call("GET", "batches?state=abandoned")).json()
    assert [batch["id"] for batch in abandoned["items"]] == [opened[0]]
    problem(await town.call("GET", "batches?cursor=WyIxIiwiMiJd"), 400, "cursor-invalid")
    problem(await town.call("GET", "batches?state=lost"), 422, "parameter-invalid")
    problem(await town.call("GET", "batches?limit=0"), 422, "parameter-invalid")


async def test_what_has_arrived_is_told_while_a_batch_is_open(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 3, ROWS)
    await town.put(batch, 0, [ROWS[0], {"code": "1", "name": "x"}])

    found = await town.batch(batch)
    page = (await town.call("GET", f"batches/{batch}/chunks?limit=1")).json()
    rest = (await town.call("GET", f"batches/{batch}/chunks?cursor={page['next']}")).json()

    assert (found["chunks"], found["rows"], found["quarantined"]) == (2, 3, 1)
    assert [(c["chunk"], c["rows"], c["quarantined"]) for c in page["items"]] == [(0, 1, 1)]
    assert [(c["chunk"], c["rows"], c["quarantined"]) for c in rest["items"]] == [(3, 2, 0)]
    assert rest["next"] is None
    assert (await town.call("GET", "batches")).json()["items"] == [found]


async def test_quarantine_names_rows_items_and_rules_but_no_value(town: Town) -> None:
    town.publish(
        [
            item("code", required=True, key=True) | {"max_length": 6},
            item("level", "integer") | {"minimum": "1", "maximum": "5"},
        ]
    )
    batch = await town.open()
    await town.put(batch, 1, [{"code": "secret-code"}, {"code": "1"}, {"code": "2", "level": 9}])
    await town.put(batch, 0, [{"level": 1}])

    answer = await town.call("GET", f"batches/{batch}/quarantine")

    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.headers["datong-internal-digest"] == hashlib.sha256(answer.content).hexdigest()
    lines = [httpx.Response(200, content=line).json() for line in answer.content.splitlines()]
    assert [(x["chunk"], x["row"], x["item"], x["rule"]) for x in lines] == [
        (0, 1, "code", "required"),
        (1, 1, "code", "length"),
        (1, 3, "level", "range"),
    ]
    assert b"secret" not in answer.content


async def test_a_batch_is_sealed_once(town: Town, problem: Problem) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)

    first, second = await asyncio.gather(town.seal(batch), town.seal(batch))

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert first.json()["state"] == "sealed"
    types = [fact["type"] for fact in await facts(town)]
    assert types == ["transfer.batch-opened.v1", "transfer.batch-sealed.v1"]
    assert await town.work() == 1
    assert (await town.seal(batch)).json()["state"] == "effective"
    problem(await town.seal(batch, 2), 409, "batch-not-open")
    problem(await town.put(batch, 1, ROWS), 409, "batch-not-open")
    problem(await town.call("POST", f"batches/{batch}/abandonments"), 409, "batch-not-open")


async def test_all_chunks_must_be_there(town: Town, problem: Problem) -> None:
    batch = await town.open()
    problem(await town.seal(batch), 409, "chunk-missing")
    await town.put(batch, 2, ROWS)

    missing = problem(await town.seal(batch, 4), 409, "chunk-missing")
    assert missing["facts"]["missing"] == ["0", "1", "3"]
    await town.put(batch, 0, [])
    beyond = problem(await town.seal(batch, 1), 422, "body-invalid")
    assert beyond["errors"][0]["pointer"] == "/chunks"
    for chunks in (0, 100_001, "1", None):
        answer = await town.call("POST", f"batches/{batch}/seals", json={"chunks": chunks})
        problem(answer, 422, "body-invalid")
    assert (await town.batch(batch))["state"] == "open"


async def test_a_seal_compares_the_declared_number_of_rows(town: Town, problem: Problem) -> None:
    batch = await town.open(declared={"rows": 3}, quarantine_limit=1)
    await town.put(batch, 0, ROWS)

    refused = problem(await town.seal(batch), 409, "counts-differ")
    assert (refused["facts"]["declared_rows"], refused["facts"]["found_rows"]) == (3, 2)
    await town.put(batch, 1, [{"code": "1"}])  # in quarantine, but sent

    assert (await town.seal(batch, 2)).status_code == 202


async def test_an_abandoned_batch_forgets_its_chunks(town: Town, problem: Problem) -> None:
    batch = await town.open()
    await town.put(batch, 0, [*ROWS, {"code": "1"}])

    answer = await town.call("POST", f"batches/{batch}/abandonments")
    again = await town.call("POST", f"batches/{batch}/abandonments")

    assert answer.json()["state"] == "abandoned"
    assert answer.json() == again.json()
    assert (await town.call("GET", f"batches/{batch}/chunks")).json()["items"] == []
    assert (await town.call("GET", f"batches/{batch}/quarantine")).content == b""
    problem(await town.put(batch, 0, ROWS), 409, "batch-not-open")
    problem(await town.seal(batch), 409, "batch-not-open")


async def test_a_wait_ends_when_the_batch_does(town: Town) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    await town.seal(batch)

    waiting = asyncio.create_task(town.batch(batch, wait=30))
    await asyncio.sleep(0)
    await town.work()

    async with asyncio.timeout(10):
        assert (await waiting)["state"] == "effective"
    assert (await town.batch(batch, wait=30))["state"] == "effective"
    assert (await town.call("GET", f"batches/{batch}?wait=31")).status_code == 422


async def test_items_that_changed_refuse_an_open_batch_whole(town: Town, problem: Problem) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    town.publish([*AREA_ITEMS, item("area")], version=2)

    problem(await town.put(batch, 1, ROWS), 409, "entry-changed")
    assert (await town.batch(batch))["state"] == "open"
    problem(await town.seal(batch), 409, "entry-changed")
    problem(await town.seal(batch), 409, "entry-changed")

    refused = await town.batch(batch)
    assert (refused["state"], refused["refusal"]["code"]) == ("refused", "entry-changed")
    assert await town.work() == 0


async def test_a_version_of_the_entry_with_the_same_items_changes_nothing(town: Town) -> None:
    batch = await town.open()
    town.publish(version=2, name="另一个名称")
    await town.put(batch, 0, ROWS)

    assert (await town.seal(batch)).status_code == 202


async def test_an_entry_that_is_withdrawn_meanwhile_takes_nothing(
    town: Town, problem: Problem
) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    town.publish(state="withdrawn")

    problem(await town.put(batch, 1, ROWS), 410, "resource-withdrawn")
    problem(await town.seal(batch), 410, "resource-withdrawn")


async def test_a_call_waits_for_the_entry_that_the_gateway_saw(
    town: Town, problem: Problem
) -> None:
    answer = await open_answer(
        town, {"mode": "snapshot"}, uuid7(), **{"Datong-Internal-Entry": f"{town.entry}@7"}
    )
    problem(answer, 503, "permissions-behind")

    waiting = asyncio.create_task(
        open_answer(
            town, {"mode": "snapshot"}, uuid7(), **{"Datong-Internal-Entry": f"{town.entry}@2"}
        )
    )
    await asyncio.sleep(0)
    town.publish([item("id", required=True, key=True)], version=2)
    assert (await waiting).json()["entry_version"] == 2
