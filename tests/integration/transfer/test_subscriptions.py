"""A system subscribes under its grant, and to nothing that the grant does not cover."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from kit.ids import uuid7
from tests.integration.transfer.conftest import AREA_ITEMS, RESOURCE, Town, item
from tests.integration.transfer.receiving import Department, department

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]


@pytest.fixture
def health(town: Town) -> Department:
    return department(town)


async def test_a_subscription_names_its_items_as_the_entry_has_them(health: Department) -> None:
    answer = await health.call("POST", "subscriptions", {"from": "beginning"})

    assert answer.status_code == 201
    made = answer.json()
    assert made["items"] == [
        {"name": "code", "type": "text", "key": True, "required": True},
        {"name": "name", "type": "text", "key": False, "required": True},
        {"name": "level", "type": "integer", "key": False, "required": True},
        {"name": "parent", "type": "text", "key": False, "required": False},
    ]
    assert (made["resource"], made["grant"], made["system"], made["from"], made["state"]) == (
        RESOURCE,
        health.grant,
        health.caller.id,
        "beginning",
        "active",
    )


async def test_the_same_again_is_the_same_subscription(health: Department) -> None:
    first = await health.subscribe("now", ["code", "name"])
    again = await health.call("POST", "subscriptions", {"from": "now", "items": ["name", "code"]})

    assert (again.status_code, again.json()) == (200, first)


@pytest.mark.parametrize("other", [{"from": "beginning"}, {"from": "now", "items": ["code"]}])
async def test_another_subscription_of_the_same_system_needs_the_first_one_ended(
    health: Department, problem: Problem, other: dict[str, Any]
) -> None:
    first = await health.subscribe("now")

    refused = problem(await health.call("POST", "subscriptions", other), 409, "subscription-exists")
    assert refused["facts"]["subscription"] == first["id"]

    assert (await health.call("POST", f"{health.path}/endings")).json()["state"] == "ended"
    assert (await health.call("POST", "subscriptions", other)).status_code == 201


async def test_chosen_items_come_in_the_order_of_the_entry(health: Department) -> None:
    made = await health.subscribe(items=["level", "code"])

    assert [i["name"] for i in made["items"]] == ["code", "level"]


async def test_all_granted_items_are_chosen_when_none_are_named(town: Town) -> None:
    made = await department(town, items=["parent", "code"]).subscribe()

    assert [i["name"] for i in made["items"]] == ["code", "parent"]


@pytest.mark.parametrize(
    ("granted", "asked", "status", "code"),
    [
        (["code", "name"], ["code", "level"], 403, "items-not-granted"),
        (["code", "name"], ["code", "area"], 422, "item-unknown"),
        (["code", "name"], ["name"], 409, "key-not-granted"),
        (["name"], None, 409, "key-not-granted"),
    ],
)
async def test_items_that_cannot_be_delivered_are_refused(
    town: Town,
    problem: Problem,
    granted: list[str],
    asked: list[str] | None,
    status: int,
    code: str,
) -> None:
    receiver = department(town, items=granted)
    body = {"from": "now"} | ({} if asked is None else {"items": asked})

    problem(await receiver.call("POST", "subscriptions", body), status, code)


async def test_an_entry_without_a_key_cannot_be_followed(
    town: Town, health: Department, problem: Problem
) -> None:
    town.publish([item("code"), item("name")], version=2)

    answer = await health.call("POST", "subscriptions", {"from": "now"})

    problem(answer, 409, "entry-without-key")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, "/from"),
        ({"from": "then"}, "/from"),
        ({"from": ["now"]}, "/from"),
        ({"from": None}, "/from"),
        ({"from": "now", "items": []}, "/items"),
        ({"from": "now", "items": ["code", "code"]}, "/items"),
        ({"from": "now", "items": "code"}, "/items"),
        ({"from": "now", "items": [1]}, "/items"),
        ({"from": "now", "since/then": 1}, "/since~1then"),
    ],
)
async def test_a_body_that_asks_for_no_subscription_is_pointed_at(
    health: Department, problem: Problem, body: Any, pointer: str
) -> None:
    refused = problem(await health.call("POST", "subscriptions", body), 422, "body-invalid")

    assert refused["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("body", [b"", b"{", b'{"from":"now","from":"now"}', b"\xff"])
async def test_a_body_that_is_not_strict_json_is_refused(
    health: Department, problem: Problem, body: bytes
) -> None:
    problem(await health.call("POST", "subscriptions", content=body), 400, "body-malformed")


async def test_a_body_of_another_content_type_is_refused(
    health: Department, problem: Problem
) -> None:
    answer = await health.call(
        "POST", "subscriptions", {"from": "now"}, **{"Content-Type": "text/plain"}
    )

    problem(answer, 415, "content-type-unsupported")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"systems": ["somebody-else"]}, "grant-missing"),
        ({"resource": "other-codes"}, "grant-missing"),
        ({"valid_from": "2999-01-01T00:00:00.000000Z"}, "grant-not-yet-valid"),
        ({"valid_until": "2026-01-02T00:00:00.000000Z"}, "grant-expired"),
        ({"state": "suspended"}, "grant-suspended"),
        ({"state": "ended"}, "grant-ended"),
        ({"modes": ["query"]}, "mode-not-granted"),
        ({"purposes": ["statistics"]}, "purpose-not-granted"),
    ],
)
async def test_every_call_of_a_subscription_is_under_our_own_copy_of_the_grant(
    town: Town, health: Department, problem: Problem, changed: dict[str, Any], code: str
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    (delivery,) = await health.deliveries()
    health.give(**changed)
    figures = {"added": 0, "updated": 0, "deleted": 0, "rows": 0, "digest": "0" * 64}

    for method, path, body in [
        ("POST", "subscriptions", {"from": "beginning"}),
        ("GET", "subscriptions", None),
        ("GET", health.path, None),
        ("GET", f"{health.path}/deliveries", None),
        ("POST", f"{health.path}/renewals", None),
        ("POST", f"{health.path}/endings", None),
        ("GET", f"deliveries/{delivery['id']}/segments/0", None),
        ("PUT", f"deliveries/{delivery['id']}/receipt", figures),
    ]:
        refused = problem(await health.call(method, path, body), 403, code)
        assert health.subscription["id"] not in str(refused)


async def test_a_purpose_must_be_stated(health: Department, problem: Problem) -> None:
    answer = await health.call("GET", "subscriptions", **{"Datong-Purpose": ""})

    problem(answer, 400, "purpose-missing")


async def test_people_do_not_subscribe(town: Town, health: Department, problem: Problem) -> None:
    health.caller = town.identities.person("health", "technical_officer")

    problem(await health.call("POST", "subscriptions", {"from": "now"}), 403, "role-missing")


async def test_another_systems_subscription_and_an_unknown_one_are_answered_alike(
    town: Town, health: Department, problem: Problem
) -> None:
    await health.subscribe()
    other = department(town, "education")
    foreign, unknown = health.subscription["id"], uuid7()

    for method, more in [("GET", ""), ("GET", "/deliveries"), ("POST", "/renewals")]:
        documents = []
        for named in (foreign, unknown):
            answer = await other.call(method, f"subscriptions/{named}{more}")
            refused = problem(answer, 404, "subscription-unknown")
            refused.pop("call")
            documents.append(str(refused).replace(named, "…"))
        assert documents[0] == documents[1]


async def test_a_subscription_belongs_to_its_grant(
    town: Town, health: Department, problem: Problem
) -> None:
    await health.subscribe()
    health.grant = uuid7()
    health.give()

    problem(await health.call("GET", health.path), 404, "subscription-unknown")


async def test_subscriptions_are_listed_in_pages(health: Department, problem: Problem) -> None:
    made = []
    for _ in range(3):
        made.append((await health.subscribe("now"))["id"])
        await health.call("POST", f"{health.path}/endings")
    seen, cursor = [], ""
    while True:
        page = (await health.call("GET", f"subscriptions?limit=2{cursor}")).json()
        seen += [found["id"] for found in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert seen == made
    for wrong in ("*", "WzFd", cursor[8:-2], "WyJ4Il0"):
        answer = await health.call("GET", f"subscriptions?cursor={wrong}")
        problem(answer, 400, "cursor-invalid")


async def test_answers_say_what_the_evidence_needs(health: Department) -> None:
    answer = await health.call("POST", "subscriptions", {"from": "now"})

    assert answer.headers["datong-internal-enforced"] == f"{health.grant}@1"
    assert answer.headers["datong-internal-rows"] == "0"
    assert answer.headers["datong-internal-items"] == ""
    assert len(answer.headers["datong-internal-digest"]) == 64


async def test_an_ended_subscription_is_ended_once_and_for_all(
    town: Town, health: Department, problem: Problem
) -> None:
    await health.subscribe()
    await town.work()
    first = await health.call("POST", f"{health.path}/endings")
    again = await health.call("POST", f"{health.path}/endings")

    assert first.json() == again.json()
    problem(await health.call("POST", f"{health.path}/renewals"), 409, "subscription-ended")
    await town.publish_rows(ROWS)
    assert len(await health.deliveries()) == 1
    assert await facts(town) == ["subscription-created", "delivery-made", "subscription-ended"]


async def test_a_key_that_the_rows_have_and_the_entry_lost_is_asked_for(
    town: Town, health: Department, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    items = [dict(AREA_ITEMS[0]), AREA_ITEMS[1] | {"key": True}, *AREA_ITEMS[2:]]
    items[0]["key"] = False
    town.publish(items, version=2)

    answer = await health.call("POST", "subscriptions", {"from": "now", "items": ["name"]})

    refused = problem(answer, 409, "key-not-granted")
    assert refused["facts"]["missing"] == ["code"]


async def facts(town: Town) -> list[str]:
    """Return which facts of subscriptions and deliveries were published, in order."""
    async with town.db.begin() as tx:
        connection = await tx.connection()
        found = await connection.execute(
            text(
                "SELECT envelope ->> 'type' FROM outbox"
                " WHERE envelope ->> 'type' NOT LIKE 'transfer.batch%' ORDER BY id"
            )
        )
        return [kind.split(".")[1] for kind in found.scalars()]
