"""The owner replaces the rows of a dataset: all of them or none, and every fault has a place."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from kit.canonical import canonical
from services.exchange.transfer.actions import loading as actions
from services.exchange.transfer.actions import queries
from services.exchange.transfer.domain import MAX_ERRORS, Query
from services.exchange.transfer.store import RowReader
from tests.integration.transfer.conftest import AREA_ITEMS, OWNER, RESOURCE, Town, item
from tests.support.processes import wait_until

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]


def digest_of(rows: list[dict[str, Any]]) -> str:
    """The digest by its definition, over canonical JSON of rows that need no conversion."""
    total = sum(int(hashlib.sha256(canonical(row)).hexdigest(), 16) for row in rows)
    return f"{total % 2**256:064x}"


async def codes(town: Town) -> list[str]:
    """Codes of all rows, by level."""
    found: list[str] = []
    for level in (1, 2, 3):
        page = (await town.query({"where": {"level": level}, "items": ["code"]})).json()
        found += [row["code"] for row in page["rows"]]
    return found


async def outbox(town: Town) -> list[dict[str, Any]]:
    async with town.db.begin() as tx:
        connection = await tx.connection()
        rows = await connection.execute(text("SELECT envelope FROM outbox ORDER BY id"))
        return [row.envelope for row in rows]


async def tables(town: Town) -> int:
    async with town.db.begin() as tx:
        connection = await tx.connection()
        count = await connection.execute(
            text("SELECT count(*) FROM pg_tables WHERE schemaname = 'rows'")
        )
        return int(count.scalar_one())


async def test_a_load_answers_count_and_digest_of_what_is_there_now(town: Town) -> None:
    answer = await town.load(ROWS)

    assert answer.json() == {"rows": 2, "digest": digest_of(ROWS), "entry_version": 1}
    assert answer.headers["datong-internal-rows"] == "2"
    assert answer.headers["datong-internal-items"] == "code,name,level,parent"
    assert answer.headers["datong-internal-digest"] == hashlib.sha256(answer.content).hexdigest()


async def test_a_load_is_a_fact_that_names_no_value(town: Town) -> None:
    await town.load(ROWS)

    (event,) = await outbox(town)
    assert event["type"] == "transfer.rows-loaded.v1"
    assert event["actor"] == town.owner.subject
    assert event["subject"] == f"dataset/{town.entry}"
    assert event["data"] == {
        "resource": RESOURCE,
        "entry": town.entry,
        "entry_version": 1,
        "agency": OWNER,
        "rows": 2,
        "digest": digest_of(ROWS),
    }


async def test_a_load_replaces_all_rows_and_leaves_no_table_behind(town: Town) -> None:
    await town.load(ROWS)
    assert await codes(town) == ["330000", "330100"]

    await town.load([{"code": "110000", "name": "北京市", "level": 1}])

    assert await codes(town) == ["110000"]
    assert await tables(town) == 1


async def test_an_empty_body_empties_the_dataset(town: Town) -> None:
    await town.load(ROWS)

    answer = await town.load(b"")

    assert answer.json() == {"rows": 0, "digest": "0" * 64, "entry_version": 1}
    assert await codes(town) == []


async def test_the_order_of_rows_and_members_does_not_change_the_digest(town: Town) -> None:
    one = (await town.load(ROWS)).json()
    other = (await town.load([dict(reversed(row.items())) for row in reversed(ROWS)])).json()
    spaced = b"\n".join(
        canonical(row).replace(b'":', b'" : ').replace(b",", b" ,\t") for row in ROWS
    )

    assert other == one == (await town.load(spaced + b"\r\n")).json()


async def test_a_line_end_after_the_last_row_is_not_a_row(town: Town) -> None:
    assert (await town.load(canonical(ROWS[0]) + b"\n")).json()["rows"] == 1


@pytest.mark.parametrize(
    ("row", "pointer", "sentence"),
    [
        ({"code": "3", "name": "x", "level": "1"}, "/2/level", "integer"),
        ({"code": "3", "name": "x", "level": 1.5}, "/2/level", "integer"),
        ({"code": "3", "name": "x", "level": True}, "/2/level", "integer"),
        ({"code": 3, "name": "x", "level": 1}, "/2/code", "text"),
        ({"code": "3", "level": 1}, "/2/name", "required"),
        ({"code": "3", "name": None, "level": 1}, "/2/name", "required"),
        ({"code": "3", "name": "x", "level": 1, "area": "9"}, "/2/area", "no such item"),
        ({"code": "3", "name": "x", "level": 1, "a/b~": 1}, "/2/a~1b~0", "no such item"),
        ({"code": "3", "name": "a\0b", "level": 1}, "/2/name", "NUL"),
        ({"code": "3" * 400, "name": "x", "level": 1}, "/2/code", "400 bytes"),
        ({"code": "330000", "name": "x", "level": 1}, "/2/code", "line 1"),
    ],
)
async def test_a_fault_names_line_item_and_rule_and_changes_nothing(
    town: Town, problem: Problem, row: dict[str, Any], pointer: str, sentence: str
) -> None:
    await town.load(ROWS)
    body = "\n".join(json.dumps(each) for each in (ROWS[0], row)).encode()

    refused = problem(await town.load(body), 422, "rows-invalid")

    assert refused["errors"][0]["pointer"] == pointer
    assert sentence in refused["errors"][0]["detail"]
    assert refused["facts"] == {"faults": 1, "line": 2}
    assert await codes(town) == ["330000", "330100"]
    assert (await tables(town), len(await outbox(town))) == (1, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"null",
        b'{"a":1,"a":2}',
        b'{"level":NaN}',
        b"\xff",
        b'{"\\ud800":1}',
        b'{"code":"' + b"x" * (1 << 20) + b'"}',
        b"x" * (3 << 20),
        b"\xef\xbb\xbf{}",
    ],
    ids=range(12),
)
async def test_a_line_that_is_no_strict_object_is_a_fault(
    town: Town, problem: Problem, line: bytes
) -> None:
    refused = problem(await town.load(line + b"\n" + canonical(ROWS[0])), 422, "rows-invalid")

    assert refused["errors"][0]["pointer"] == "/1"
    assert len(refused["errors"]) <= 2  # a line over the limit is cut there, and both halves told


async def test_every_fault_is_told_up_to_fifty(town: Town, problem: Problem) -> None:
    two = problem(await town.load([{"code": "1"}, *ROWS]), 422, "rows-invalid")
    assert [e["pointer"] for e in two["errors"]] == ["/1/name", "/1/level"]

    many = problem(await town.load([{"code": str(n)} for n in range(100)]), 422, "rows-invalid")
    assert len(many["errors"]) == MAX_ERRORS


async def test_every_repeated_key_is_told_with_its_first_line(town: Town, problem: Problem) -> None:
    rows = [{"code": str(n % 3), "name": "x", "level": 1} for n in range(6)]

    refused = problem(await town.load(rows), 422, "rows-invalid")

    assert [(e["pointer"], e["detail"]) for e in refused["errors"]] == [
        (f"/{n}/code", f"Line {n}, item code: the key came before in line {n - 3}.")
        for n in (4, 5, 6)
    ]


async def test_the_body_is_what_its_digest_says(town: Town, problem: Problem) -> None:
    body = canonical(ROWS[0])
    right = base64.b64encode(hashlib.sha256(body).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"").digest()).decode()

    assert (await town.load(body, **{"Content-Digest": f"sha-256=:{right}:"})).status_code == 200
    answer = await town.load(body, **{"Content-Digest": f"sha-256=:{wrong}:"})
    problem(answer, 400, "content-digest-mismatch")
    assert (await town.load(body, **{"Content-Digest": "md5=:AAAA:"})).status_code == 200


async def test_another_content_type_is_refused(town: Town, problem: Problem) -> None:
    answer = await town.load(ROWS, **{"Content-Type": "application/json"})

    problem(answer, 415, "content-type-unsupported")


async def test_a_body_over_the_limit_is_refused(town: Town, problem: Problem) -> None:
    row = {"name": "x" * 1_048_000, "level": 1}

    problem(await town.load([{"code": str(n), **row} for n in range(65)]), 413, "body-too-large")


async def test_only_the_owner_loads(town: Town, problem: Problem) -> None:
    town.owner = town.identities.system("health")
    problem(await town.load(ROWS), 403, "not-the-owner")
    town.owner = town.identities.person(OWNER, "resource_administrator")
    problem(await town.load(ROWS), 403, "role-missing")


async def test_only_rows_of_a_published_entry_are_loaded(town: Town, problem: Problem) -> None:
    problem(await town.load(ROWS, resource="nothing-here"), 404, "resource-unknown")
    town.publish(state="submitted")
    problem(await town.load(ROWS), 409, "entry-not-published")
    town.publish(state="withdrawn")
    problem(await town.load(ROWS), 410, "resource-withdrawn")


async def test_a_load_that_the_gateway_saw_a_newer_entry_for_waits_and_is_refused(
    town: Town, problem: Problem
) -> None:
    answer = await town.load(ROWS, **{"Datong-Internal-Entry": f"{town.entry}@7"})

    problem(answer, 503, "permissions-behind")


async def test_rows_are_checked_by_the_entry_that_arrives_while_the_call_waits(town: Town) -> None:
    waiting = asyncio.create_task(
        town.load([{"id": "1"}], **{"Datong-Internal-Entry": f"{town.entry}@2"})
    )
    await asyncio.sleep(0)
    town.publish([item("id", required=True, key=True)], version=2)

    assert (await waiting).json()["entry_version"] == 2


async def test_an_entry_that_changes_during_the_upload_stops_it(
    town: Town, problem: Problem
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def body() -> Any:
        yield canonical(ROWS[0])
        begun.set()
        await go_on.wait()

    headers = town.identities.headers(town.owner, **{"Content-Type": "application/x-ndjson"})
    upload = asyncio.create_task(
        town.client.put(f"/data/v1/{RESOURCE}/rows", content=body(), headers=headers)
    )
    await begun.wait()
    town.publish([*AREA_ITEMS, item("area")], version=2)
    go_on.set()

    problem(await upload, 409, "entry-changed")
    assert await tables(town) == 0


async def test_an_upload_that_breaks_off_changes_nothing(town: Town) -> None:
    await town.load(ROWS)
    messages = iter(
        [
            {
                "type": "http.request",
                "body": canonical({"code": "1", "name": "x", "level": 1}) + b"\n",
                "more_body": True,
            },
            {"type": "http.disconnect"},
        ]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = town.identities.headers(town.owner, **{"Content-Type": "application/x-ndjson"})
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/data/v1/{RESOURCE}/rows",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "extensions": {"tls": {"datong_peer": "gateway"}},
    }
    await town.app(scope, receive, send)

    assert sent[0]["status"] == 408
    assert await codes(town) == ["330000", "330100"]
    assert await tables(town) == 1


async def test_queries_see_all_of_one_load_or_all_of_the_other(town: Town) -> None:
    """Generation g has 40 rows that all carry the level g: no answer may mix or miss any."""

    def generation(g: int) -> list[dict[str, Any]]:
        return [{"code": f"{n:03}", "name": str(g), "level": 1} for n in range(40)]

    await town.load(generation(0))
    done = asyncio.Event()
    answers: list[list[str]] = []

    async def ask() -> None:
        while not done.is_set():
            answer = await town.query({"where": {"level": 1}, "items": ["name"]})
            assert answer.status_code == 200, answer.text
            answers.append([row["name"] for row in answer.json()["rows"]])

    readers = [asyncio.create_task(ask()) for _ in range(2)]
    for g in range(1, 9):
        assert (await town.load(generation(g))).status_code == 200
    await wait_until(lambda: bool(answers) and answers[-1][0] == "8")
    done.set()
    await asyncio.gather(*readers)

    assert all(len(names) == 40 and len(set(names)) == 1 for names in answers)
    order = [int(names[0]) for names in answers]
    assert order[-1] == 8
    assert len(set(order)) > 1


async def test_loads_at_the_same_time_end_as_one_of_them(town: Town) -> None:
    loads = [
        town.load(
            [{"code": str(n), "name": "x", "level": 1}, {"code": f"{n}a", "name": "x", "level": 1}]
        )
        for n in range(4)
    ]

    answers = await asyncio.gather(*loads)

    assert [a.status_code for a in answers] == [200] * 4
    found = await codes(town)
    assert len(found) == 2
    assert found[1] == f"{found[0]}a"
    assert await tables(town) == 1
    assert len(await outbox(town)) == 4


async def test_another_process_notices_that_the_rows_were_replaced(town: Town) -> None:
    other = RowReader(town.url, size=1)
    entry, grant = town.arrivals.copies.entries[town.entry], town.arrivals.copies.grants[town.grant]
    asked = Query(by_key=False, match={"level": 1}, items=("code",))
    await town.load(ROWS)
    first = await queries.answer(other, entry, grant, asked)

    await town.load([{"code": "9", "name": "x", "level": 1}])

    assert first.body == b'{"rows":[{"code":"330000"}],"next":null}'
    second = await queries.answer(other, entry, grant, asked)
    assert second.body == b'{"rows":[{"code":"9"}],"next":null}'
    await other.close()
