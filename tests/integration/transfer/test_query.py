"""A system asks for granted items by key or by filters, and gets those and no others."""

import hashlib
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.integration.transfer.conftest import AREA_ITEMS, Town, item
from tests.support.callers import gateway_client

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
    {"code": "330200", "name": "宁波市", "level": 2, "parent": "330000"},
    {"code": "330106", "name": "西湖区", "level": 3, "parent": "330100"},
    {"code": "330102", "name": "上城区", "level": 3, "parent": "330100"},
]

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]


@pytest.fixture
async def loaded(town: Town) -> Town:
    assert (await town.publish_rows(ROWS))["state"] == "effective"
    return town


async def test_a_row_is_found_by_its_key(loaded: Town) -> None:
    answer = await loaded.query({"key": {"code": "330106"}})

    assert answer.json() == {
        "rows": [{"code": "330106", "name": "西湖区", "level": 3, "parent": "330100"}],
        "next": None,
    }


async def test_the_answer_says_what_the_evidence_needs(loaded: Town) -> None:
    answer = await loaded.query({"key": {"code": "330106"}, "items": ["name", "level"]})

    assert answer.headers["datong-internal-rows"] == "1"
    assert answer.headers["datong-internal-items"] == "name,level"
    assert answer.headers["datong-internal-digest"] == hashlib.sha256(answer.content).hexdigest()
    assert answer.headers["datong-internal-enforced"] == f"{loaded.grant}@1"
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.content == '{"rows":[{"name":"西湖区","level":3}],"next":null}'.encode()


async def test_an_unknown_key_finds_no_row(loaded: Town) -> None:
    answer = await loaded.query({"key": {"code": "999999"}})

    assert (answer.status_code, answer.json()["rows"]) == (200, [])


async def test_a_dataset_without_rows_yet_answers_none(town: Town) -> None:
    answer = await town.query({"where": {"level": 2}})

    assert answer.json() == {"rows": [], "next": None}
    assert answer.headers["datong-internal-rows"] == "0"


async def test_filters_hold_together_and_rows_come_in_the_order_of_the_key(loaded: Town) -> None:
    answer = await loaded.query({"where": {"parent": "330100", "level": 3}, "items": ["code"]})

    assert [row["code"] for row in answer.json()["rows"]] == ["330102", "330106"]


async def test_null_finds_rows_without_a_value(loaded: Town) -> None:
    answer = await loaded.query({"where": {"parent": None}, "items": ["name", "parent"]})

    assert answer.json()["rows"] == [{"name": "浙江省", "parent": None}]


async def test_pages_follow_the_key_and_end(loaded: Town) -> None:
    seen: list[str] = []
    body: dict[str, Any] = {"where": {"level": 3}, "items": ["code"], "limit": 1}
    while True:
        page = (await loaded.query(body)).json()
        seen += [row["code"] for row in page["rows"]]
        if page["next"] is None:
            break
        body["cursor"] = page["next"]

    assert seen == ["330102", "330106"]


async def test_pages_go_by_arrival_when_the_key_is_not_granted(loaded: Town) -> None:
    loaded.give(["name", "level"])
    body: dict[str, Any] = {"where": {"level": 3}, "items": ["name"], "limit": 1}
    first = (await loaded.query(body)).json()
    second = (await loaded.query(body | {"cursor": first["next"]})).json()

    names = [row["name"] for page in (first, second) for row in page["rows"]]
    assert sorted(names) == ["上城区", "西湖区"]
    assert second["next"] is None


async def test_a_cursor_of_another_shape_is_refused(loaded: Town, problem: Problem) -> None:
    body: dict[str, Any] = {"where": {"level": 3}, "limit": 1}
    cursor = (await loaded.query(body)).json()["next"]

    for changed in (cursor + "A", "*", cursor[:-3], "WzFd", ""):
        problem(await loaded.query(body | {"cursor": changed}), 400, "cursor-invalid")


async def test_only_granted_items_are_answered(loaded: Town) -> None:
    loaded.give(["code", "name"])

    answer = await loaded.query({"key": {"code": "330106"}})

    assert answer.json()["rows"] == [{"code": "330106", "name": "西湖区"}]
    assert answer.headers["datong-internal-enforced"] == f"{loaded.grant}@2"


@pytest.mark.parametrize(
    "body",
    [
        {"key": {"code": "330106"}, "items": ["code", "level"]},
        {"where": {"level": 3}, "items": ["code"]},
        {"where": {"level": 3}},
    ],
)
async def test_an_item_that_is_not_granted_is_neither_answered_nor_filtered_by(
    loaded: Town, problem: Problem, body: Any
) -> None:
    loaded.give(["code", "name"])

    refused = problem(await loaded.query(body), 403, "items-not-granted")

    assert refused["facts"]["items"] == ["level"]
    assert refused["facts"]["granted"] == ["code", "name"]


async def test_an_unknown_item_is_named(loaded: Town, problem: Problem) -> None:
    refused = problem(
        await loaded.query({"where": {"level": 3}, "items": ["code", "area"]}), 422, "item-unknown"
    )

    assert refused["facts"]["items"] == ["area"]


async def test_rows_are_not_chosen_by_an_item_that_is_not_filterable(
    loaded: Town, problem: Problem
) -> None:
    refused = problem(await loaded.query({"where": {"name": "西湖区"}}), 422, "item-not-filterable")

    assert refused["errors"][0]["pointer"] == "/where/name"
    assert refused["facts"]["filterable"] == ["code", "level", "parent"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({}, ""),
        ({"key": {"code": "1"}, "where": {}}, ""),
        ({"key": {}}, "/key"),
        ({"key": {"code": "1", "level": 1}}, "/key"),
        ({"key": {"level": 1}}, "/key"),
        ({"key": {"code": 1}}, "/key/code"),
        ({"key": {"code": None}}, "/key/code"),
        ({"key": {"code": "1"}, "limit": 1}, "/limit"),
        ({"where": {}}, "/where"),
        ({"where": {"level": "3"}}, "/where/level"),
        ({"where": {"level": 3.5}}, "/where/level"),
        ({"where": {"level": True}}, "/where/level"),
        ({"where": {"code": "a\0b"}}, "/where/code"),
        ({"where": {"code": ["1"]}}, "/where/code"),
        ({"where": {"level": 3}, "limit": 0}, "/limit"),
        ({"where": {"level": 3}, "limit": 1001}, "/limit"),
        ({"where": {"level": 3}, "limit": "1"}, "/limit"),
        ({"where": {"level": 3}, "items": []}, "/items"),
        ({"where": {"level": 3}, "items": ["code", "code"]}, "/items"),
        ({"where": {"level": 3}, "cursor": 7}, "/cursor"),
        ({"where": {"level": 3}, "order/by": "code"}, "/order~1by"),
    ],
)
async def test_a_body_that_is_no_query_is_pointed_at(
    loaded: Town, problem: Problem, body: Any, pointer: str
) -> None:
    refused = problem(await loaded.query(body), 422, "body-invalid")

    assert refused["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("body", [b"", b"{", b'{"key":{"a":1,"a":2}}', b"\xff", b'{"where":NaN}'])
async def test_a_body_that_is_not_strict_json_is_refused(
    loaded: Town, problem: Problem, body: bytes
) -> None:
    problem(await loaded.query(body), 400, "body-malformed")


async def test_a_body_of_another_content_type_is_refused(loaded: Town, problem: Problem) -> None:
    answer = await loaded.query({"key": {"code": "1"}}, **{"Content-Type": "text/plain"})

    problem(answer, 415, "content-type-unsupported")


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"systems": ["somebody-else"]}, "grant-missing"),
        ({"resource": "other-codes"}, "grant-missing"),
        ({"valid_from": "2999-01-01T00:00:00.000000Z"}, "grant-not-yet-valid"),
        ({"valid_until": "2026-01-02T00:00:00.000000Z"}, "grant-expired"),
        ({"state": "suspended", "reason": "audit"}, "grant-suspended"),
        ({"state": "ended"}, "grant-ended"),
        ({"modes": ["batch"]}, "mode-not-granted"),
        ({"purposes": ["statistics"]}, "purpose-not-granted"),
    ],
)
async def test_our_own_copy_of_the_grant_is_enforced(
    loaded: Town, problem: Problem, changed: dict[str, Any], code: str
) -> None:
    loaded.give(**changed)

    problem(await loaded.query({"key": {"code": "330106"}}), 403, code)


async def test_a_purpose_must_be_stated(loaded: Town, problem: Problem) -> None:
    answer = await loaded.query({"key": {"code": "330106"}}, **{"Datong-Purpose": ""})

    problem(answer, 400, "purpose-missing")


async def test_a_call_without_a_grant_is_refused(loaded: Town, problem: Problem) -> None:
    answer = await loaded.query({"key": {"code": "1"}}, **{"Datong-Internal-Grant": ""})

    problem(answer, 403, "grant-missing")


async def test_a_grant_that_restricts_in_an_unknown_way_allows_nothing(
    loaded: Town, problem: Problem
) -> None:
    loaded.give(row_filter="area = 33", critical=["row_filter"])

    problem(await loaded.query({"key": {"code": "330106"}}), 503, "permission-unreadable")

    loaded.give()
    assert (await loaded.query({"key": {"code": "330106"}})).status_code == 200


async def test_a_call_decided_on_a_newer_grant_waits_for_it_and_is_refused_if_it_stays_away(
    loaded: Town, problem: Problem
) -> None:
    answer = await loaded.query({"key": {"code": "330106"}}, version=9)

    problem(answer, 503, "permissions-behind")


async def test_a_withdrawn_entry_answers_nothing(loaded: Town, problem: Problem) -> None:
    loaded.publish(state="withdrawn")

    problem(await loaded.query({"key": {"code": "330106"}}), 410, "resource-withdrawn")


async def test_an_unknown_resource_is_not_found(loaded: Town, problem: Problem) -> None:
    answer = await loaded.query({"key": {"code": "1"}}, resource="nothing-here")

    problem(answer, 404, "resource-unknown")


async def test_another_entry_of_the_same_resource_never_shows_the_old_rows(loaded: Town) -> None:
    loaded.publish(state="withdrawn")
    loaded.entry = loaded.owner.id  # any other id
    loaded.publish()
    loaded.give()

    assert (await loaded.query({"where": {"level": 3}})).json()["rows"] == []


async def test_only_the_gateway_may_call(loaded: Town, problem: Problem) -> None:
    for peer in ("sharing", None):
        async with gateway_client(loaded.app, peer=peer) as client:
            loaded.client = client
            problem(await loaded.query({"key": {"code": "1"}}), 403, "not-through-gateway")


async def test_people_do_not_query(loaded: Town, problem: Problem) -> None:
    loaded.consumer = loaded.identities.person("health", "technical_officer")

    problem(await loaded.query({"key": {"code": "1"}}), 403, "role-missing")


async def test_a_new_version_of_the_entry_reads_rows_of_the_old_one(loaded: Town) -> None:
    items = [*AREA_ITEMS, item("area", "decimal", filterable=True)]
    loaded.publish(items, version=2)
    loaded.give(["code", "area"])

    answer = await loaded.query({"key": {"code": "330106"}})
    assert answer.json()["rows"] == [{"code": "330106", "area": None}]
    by_new_item = await loaded.query({"where": {"area": "1.5"}})
    assert by_new_item.json()["rows"] == []


async def test_every_type_is_answered_in_its_canonical_text_and_found_by_it(town: Town) -> None:
    kinds = ["text", "integer", "decimal", "boolean", "date", "datetime"]
    items = [item(f"i_{kind}", kind, filterable=True) for kind in kinds]
    items[0] |= {"key": True, "required": True}
    town.publish(items)
    town.give([i["name"] for i in items])
    values: dict[str, Any] = {
        "i_text": 'q"\\\t\n\r\u2028 数据',
        "i_integer": -9007199254740991,
        "i_decimal": "-00012.5"[0] + "12.500",
        "i_boolean": False,
        "i_date": "0001-02-03",
        "i_datetime": "2026-11-22T08:30:00.5+08:00",
    }
    assert (await town.publish_rows([values]))["state"] == "effective"
    expected = values | {"i_decimal": "-12.5", "i_datetime": "2026-11-22T00:30:00.500000Z"}

    for name, value in values.items():
        answer = await town.query({"where": {name: value}})
        assert answer.json()["rows"] == [expected], name
