"""A receipt closes a delivery: both sides' figures agree, or an alert names all of them."""

from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from kit.ids import uuid7
from tests.integration.transfer.conftest import RESOURCE, Town
from tests.integration.transfer.receiving import Department, department, one_delivery

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]
FIGURES = {"added": 0, "updated": 0, "deleted": 0, "rows": 0, "digest": "0" * 64}


@pytest.fixture
async def health(town: Town) -> Department:
    """A department to which the table was delivered, and one change."""
    await town.publish_rows(ROWS)
    receiver = department(town)
    await receiver.subscribe()
    await town.work()
    await town.publish_rows(
        [
            {"_op": "delete", "code": "330100"},
            {"_op": "upsert", "code": "330200", "name": "宁波市", "level": 2, "parent": "330000"},
        ],
        mode="changes",
    )
    return receiver


async def test_both_sides_agree(health: Department) -> None:
    table, changes = await health.deliveries()
    of_table = await health.apply(table)
    of_changes = await health.apply(changes)

    first = (await health.receipt(table["id"], of_table)).json()
    second = (await health.receipt(changes["id"], of_changes)).json()

    assert (first["state"], second["state"]) == ("agreed", "agreed")
    assert first["platform"] == first["consumer"] == of_table
    assert first["platform"]["rows"] == first["platform"]["added"] == 2
    assert second["platform"] == of_changes | {"added": 1, "updated": 0, "deleted": 1, "rows": 2}
    assert [d["receipt"] for d in await health.deliveries()] == ["agreed", "agreed"]


async def test_receipts_come_late_and_in_any_order(health: Department) -> None:
    figures = [(d["id"], await health.apply(d)) for d in await health.deliveries()]

    for delivery, counted in reversed(figures):
        assert (await health.receipt(delivery, counted)).json()["state"] == "agreed"


async def test_the_same_receipt_twice_is_one(town: Town, health: Department) -> None:
    delivery = await one_delivery_of(health)
    figures = await health.apply(delivery)

    first = await health.receipt(delivery["id"], figures)
    again = await health.receipt(delivery["id"], dict(reversed(figures.items())))

    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json()
    assert [kind for kind, _ in await facts(town)] == ["receipt-agreed"]


async def test_another_receipt_is_refused(town: Town, health: Department, problem: Problem) -> None:
    delivery = await one_delivery_of(health)
    figures = await health.apply(delivery)
    await health.receipt(delivery["id"], figures)

    answer = await health.receipt(delivery["id"], figures | {"rows": 7})

    refused = problem(answer, 409, "receipt-differs")
    assert figures["digest"] not in str(refused)
    assert len(await facts(town)) == 1


async def test_a_row_changed_behind_the_consumers_back_raises_the_alert(
    town: Town, health: Department
) -> None:
    delivery = await one_delivery_of(health)
    figures = await health.apply(delivery)
    health.rows["330000",] = {**health.rows["330000",], "name": "changed by hand"}
    counted = figures | health.digest(health.rows.values())
    before = count_of("differs")

    answer = await health.receipt(delivery["id"], counted)

    assert answer.status_code == 200
    assert answer.json()["state"] == "differs"
    ((kind, event),) = await facts(town)
    assert kind == "reconciliation-differs"
    assert event["subject"] == f"delivery/{delivery['id']}"
    assert event["actor"] == f"system/{health.caller.id}"
    assert event["data"] == {
        "delivery": delivery["id"],
        "subscription": health.subscription["id"],
        "sequence": 1,
        "kind": "table",
        "version": 1,
        "batch": delivery["batch"],
        "resource": RESOURCE,
        "entry": town.entry,
        "grant": health.grant,
        "agency": "health",
        "system": health.caller.id,
        "platform": figures,
        "consumer": counted,
    }
    assert count_of("differs") == before + 1


async def test_the_next_receipt_shows_a_row_that_was_changed_before(health: Department) -> None:
    table, changes = await health.deliveries()
    await health.receipt(table["id"], await health.apply(table))
    health.rows["330000",] = {**health.rows["330000",], "name": "changed by hand"}

    answer = await health.receipt(changes["id"], await health.apply(changes))

    assert answer.json()["state"] == "differs"


async def test_from_now_the_delivered_rows_are_compared(town: Town, health: Department) -> None:
    receiver = department(town, "education")
    await receiver.subscribe("now")
    await town.publish_rows(
        [
            {"_op": "delete", "code": "330200"},
            {"_op": "upsert", "code": "330000", "name": "浙江", "level": 1},
            {"_op": "upsert", "code": "330300", "name": "温州市", "level": 2},
        ],
        mode="changes",
    )
    delivery = await one_delivery(receiver)
    figures = await receiver.apply(delivery)

    answer = (await receiver.receipt(delivery["id"], figures)).json()

    assert answer["state"] == "agreed"
    assert (figures["added"], figures["updated"], figures["deleted"]) == (1, 1, 1)
    assert figures["rows"] == 2


async def test_a_receipt_for_anothers_delivery_is_not_found(
    town: Town, health: Department, problem: Problem
) -> None:
    delivery = await one_delivery_of(health)
    other = department(town, "education")
    documents = []
    for named in (delivery["id"], uuid7()):
        refused = problem(await other.receipt(named, FIGURES), 404, "delivery-unknown")
        refused.pop("call")
        documents.append(str(refused).replace(named, "…"))

    assert documents[0] == documents[1]
    assert (await one_delivery_of(health))["receipt"] is None


async def test_a_receipt_under_another_resource_is_refused(
    health: Department, problem: Problem
) -> None:
    delivery = await one_delivery_of(health)

    answer = await health.call(
        "PUT", f"deliveries/{delivery['id']}/receipt", FIGURES, resource="other-codes"
    )

    problem(answer, 404, "resource-unknown")


@pytest.mark.parametrize(
    ("changed", "pointer"),
    [
        ({"added": -1}, "/added"),
        ({"updated": "1"}, "/updated"),
        ({"deleted": 1.5}, "/deleted"),
        ({"rows": "2"}, "/rows"),
        ({"rows": None}, "/rows"),
        ({"rows": True}, "/rows"),
        ({"digest": "F" * 64}, "/digest"),
        ({"digest": "0" * 65}, "/digest"),
        ({"note": "x"}, "/note"),
    ],
)
async def test_figures_that_are_none_are_pointed_at(
    health: Department, problem: Problem, changed: dict[str, Any], pointer: str
) -> None:
    delivery = await one_delivery_of(health)

    refused = problem(await health.receipt(delivery["id"], FIGURES | changed), 422, "body-invalid")

    assert [error["pointer"] for error in refused["errors"]] == [pointer]
    assert (await one_delivery_of(health))["receipt"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body-malformed"),
        (b'{"added":0,"added":0}', 400, "body-malformed"),
        (orjson.dumps(FIGURES).replace(b'"rows":0', b'"rows":NaN'), 400, "body-malformed"),
        (orjson.dumps(FIGURES | {"updated": 2**53}), 400, "body-malformed"),
        (b"[]", 422, "body-invalid"),
        (b"{}", 422, "body-invalid"),
    ],
)
async def test_a_body_that_is_no_receipt_is_refused(
    health: Department, problem: Problem, body: bytes, status: int, code: str
) -> None:
    delivery = await one_delivery_of(health)

    answer = await health.call("PUT", f"deliveries/{delivery['id']}/receipt", content=body)

    problem(answer, status, code)


async def test_a_delivery_is_named_by_a_uuid(health: Department, problem: Problem) -> None:
    problem(await health.receipt("7", FIGURES), 422, "parameter-invalid")


async def one_delivery_of(receiver: Department) -> dict[str, Any]:
    """Return the first delivery."""
    return (await receiver.deliveries())[0]


async def facts(town: Town) -> list[tuple[str, dict[str, Any]]]:
    """Return kind and envelope of the facts of receipts, in order."""
    async with town.db.begin() as tx:
        connection = await tx.connection()
        found = await connection.execute(
            text(
                "SELECT envelope::text FROM outbox WHERE envelope ->> 'type' IN"
                " ('transfer.receipt-agreed.v1', 'transfer.reconciliation-differs.v1') ORDER BY id"
            )
        )
        events = [orjson.loads(envelope) for envelope in found.scalars()]
    return [(event["type"].split(".")[1], event) for event in events]


def count_of(state: str) -> float:
    """Return how many receipts of a state were counted."""
    return REGISTRY.get_sample_value("datong_transfer_receipts_total", {"state": state}) or 0.0
