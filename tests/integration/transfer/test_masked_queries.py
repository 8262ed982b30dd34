"""Queries under grants that cover some rows, or less than their values."""

from base64 import urlsafe_b64decode
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import httpx
import orjson
import pytest

from kit.http import encode_cursor
from tests.integration.transfer.conftest import Town, item
from tests.integration.transfer.receiving import department
from tests.integration.transfer.test_filtered_deliveries import (
    IN_330106,
    ITEMS,
    NAMES,
    ROWS,
    person,
)

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]
MASKS = {"number": "pseudonym", "name": "name", "mobile": "mobile", "born": "year"}


@pytest.fixture
async def people(town: Town) -> Town:
    town.publish(ITEMS)
    await town.publish_rows(ROWS)
    return town


async def pages(town: Town, **body: Any) -> list[list[dict[str, Any]]]:
    """Return all pages of a query."""
    found = []
    while True:
        answer = await town.query(body)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found.append(page["rows"])
        if page["next"] is None:
            return found
        body["cursor"] = page["next"]


async def test_only_covered_rows_are_found(people: Town) -> None:
    people.give(NAMES, row_filter=IN_330106)

    found = await pages(people, where={"born": "1990-01-02"}, items=["name"])

    assert found == [[{"name": "张三丰"}, {"name": "李四"}]]
    elsewhere = await people.query({"where": {"area": "330102"}})
    assert elsewhere.json()["rows"] == []


async def test_the_filter_may_go_by_an_item_that_is_not_granted(people: Town) -> None:
    people.give(["number", "name"], row_filter=IN_330106)

    inside = await people.query({"key": {"number": ROWS[0]["number"]}})

    assert inside.json()["rows"] == [{"number": ROWS[0]["number"], "name": "张三丰"}]


async def test_a_row_that_is_not_covered_is_answered_like_one_that_does_not_exist(
    people: Town,
) -> None:
    people.give(NAMES, row_filter=IN_330106)

    outside = await people.query({"key": {"number": ROWS[2]["number"]}})
    nobody = await people.query({"key": {"number": "999"}})

    told = {"datong-internal-digest", "datong-internal-rows", "datong-internal-items"}
    assert outside.content == nobody.content
    for header in told:
        assert outside.headers[header] == nobody.headers[header]


async def test_masked_items_are_shown_as_texts(people: Town) -> None:
    people.give(NAMES, masks={**MASKS, "score": "pseudonym"})

    answer = await people.query({"where": {"area": "330106"}, "items": NAMES[1:]})

    shown = [{name: row[name] for name in row if name != "score"} for row in answer.json()["rows"]]
    common = {"mobile": "138****5678", "born": "1990", "area": "330106"}
    assert sorted(shown, key=str) == [{"name": "张**", **common}, {"name": "李*", **common}]
    scores = {row["score"] for row in answer.json()["rows"]}
    assert {len(score) for score in scores} == {26}
    assert len(scores) == 2


async def test_a_query_shows_what_a_delivery_brings(people: Town) -> None:
    health = department(people)
    health.give(NAMES, masks=MASKS)
    await health.subscribe()
    await people.work()
    await health.catch_up()
    people.give(NAMES, masks=MASKS)

    found = [
        row
        for area in ("330106", "330102")
        for row in rows_of(await pages(people, where={"area": area}))
    ]

    delivered = ({**row, "score": int(str(row["score"]))} for row in health.rows.values())
    assert sorted(found, key=str) == sorted(delivered, key=str)


def rows_of(found: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [row for page in found for row in page]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"key": {"number": ROWS[0]["number"]}}, "/key/number"),
        ({"where": {"number": ROWS[0]["number"]}}, "/where/number"),
        ({"where": {"area": "330106", "born": "1990-01-02"}, "items": ["name"]}, "/where/born"),
        ({"where": {"born": None}}, "/where/born"),
        ({"where": {"name": "张三丰"}}, "/where/name"),
    ],
)
async def test_rows_cannot_be_chosen_by_what_is_masked(
    people: Town, problem: Problem, body: dict[str, Any], pointer: str
) -> None:
    people.give(NAMES, masks=MASKS)

    refused = problem(await people.query(body), 403, "item-masked")

    assert refused["errors"][0]["pointer"] == pointer
    assert refused["facts"]["masked"] == sorted(MASKS)


@pytest.mark.parametrize(
    "terms",
    [
        {"items": NAMES, "masks": {"number": "pseudonym"}},
        {"items": NAMES[1:]},
        {"items": NAMES, "masks": {"number": "id_number"}},
    ],
)
async def test_pages_tell_neither_a_hidden_key_nor_its_order(
    people: Town, terms: dict[str, Any]
) -> None:
    many = [person(n, f"某{n}", "330106") for n in range(1, 41)]
    await people.publish_rows([*many, person(50, "外", "330102")])
    people.give(**terms, row_filter=IN_330106)
    body: dict[str, Any] = {"where": {"area": "330106"}, "items": ["score"], "limit": 7}
    first = (await people.query(body)).json()

    cursor = urlsafe_b64decode(first["next"] + "==")
    assert b"3301061990" not in cursor
    scores = [row["score"] for row in rows_of(await pages(people, **body))]
    assert sorted(scores) == list(range(1, 41))
    assert scores != sorted(scores)


@pytest.mark.parametrize("position", ["", "zz", "AB" * 32, 7, None, "\u0000"])
async def test_a_position_that_is_no_hash_is_refused(
    people: Town, problem: Problem, position: Any
) -> None:
    people.give(NAMES, masks={"number": "pseudonym"})
    body = {"where": {"area": "330106"}, "cursor": encode_cursor([position])}

    problem(await people.query(body), 400, "cursor-invalid")


async def test_a_cursor_of_other_terms_does_not_break_the_query(people: Town) -> None:
    body: dict[str, Any] = {"where": {"area": "330106"}, "items": ["number"], "limit": 1}
    people.give(NAMES)
    cursor = (await people.query(body)).json()["next"]
    people.give(NAMES, masks={"number": "pseudonym"})

    answer = await people.query(body | {"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


async def test_a_key_of_several_items_goes_by_what_is_shown_of_each(town: Town) -> None:
    items = [
        item("area", required=True, key=True, filterable=True),
        item("number", "integer", required=True, key=True),
        item("kind", filterable=True),
    ]
    town.publish(items)
    rows = [{"area": a, "number": n, "kind": "x"} for a in ("b", "a") for n in range(9)]
    await town.publish_rows(rows)
    town.give(["area", "number", "kind"], masks={"number": "pseudonym"})

    found = rows_of(await pages(town, where={"kind": "x"}, limit=4))

    assert [row["area"] for row in found] == ["a"] * 9 + ["b"] * 9
    assert len({row["number"] for row in found}) == 9


async def test_a_key_that_is_not_granted_does_not_tell_which_rows_share_a_part_of_it(
    town: Town,
) -> None:
    items = [
        item("person", required=True, key=True),
        item("month", required=True, key=True),
        item("kind", filterable=True),
        item("amount", "integer"),
    ]
    town.publish(items)
    paid = [(p, m) for p in ("a", "b", "c") for m in range(8)]
    await town.publish_rows(
        [
            {"person": p, "month": f"2026-{m + 1:02}", "kind": "x", "amount": n}
            for n, (p, m) in enumerate(paid)
        ]
    )
    town.give(["kind", "amount"])
    body: dict[str, Any] = {"where": {"kind": "x"}, "items": ["amount"], "limit": 1}
    cursors, amounts = [], []
    while True:
        page = (await town.query(body)).json()
        amounts += [row["amount"] for row in page["rows"]]
        if page["next"] is None:
            break
        body["cursor"] = page["next"]
        cursors.append(orjson.loads(urlsafe_b64decode(page["next"] + "==")))

    hashes = [position for cursor in cursors for position in cursor]
    assert len(set(hashes)) == len(hashes) == len(paid) - 1
    persons = [paid[amount][0] for amount in amounts]
    assert sorted(amounts) == list(range(24))
    assert sum(a != b for a, b in pairwise(persons)) > 2, "rows of a person do not come together"
