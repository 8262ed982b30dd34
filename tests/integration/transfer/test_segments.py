"""Deliveries are listed by their sequence, waited for, and fetched in segments and ranges."""

import asyncio
import hashlib
import time
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from kit.ids import uuid7
from services.exchange.transfer.domain.tables import from_stream
from services.exchange.transfer.store import News
from tests.integration.transfer.conftest import AREA_ITEMS, Town
from tests.integration.transfer.receiving import Department, department, one_delivery

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
    {"code": "330106", "name": "西湖区", "level": 3, "parent": "330100"},
]


@pytest.fixture
def health(town: Town) -> Department:
    return department(town)


async def test_a_segment_is_answered_with_its_known_digest(town: Town, health: Department) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe(items=["code", "name"])
    await town.work()
    delivery = await one_delivery(health)
    (segment,) = delivery["segments"]

    answer = await health.call("GET", f"deliveries/{delivery['id']}/segments/0")

    digest = hashlib.sha256(answer.content)
    assert segment == {
        "number": 0,
        "rows": 3,
        "bytes": len(answer.content),
        "digest": digest.hexdigest(),
    }
    assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert answer.headers["content-length"] == str(len(answer.content))
    sha = b64encode(digest.digest()).decode()
    assert answer.headers["content-digest"] == f"sha-256=:{sha}:"
    assert answer.headers["datong-internal-digest"] == digest.hexdigest()
    assert answer.headers["datong-internal-rows"] == "3"
    assert answer.headers["datong-internal-items"] == "code,name"
    assert answer.headers["datong-internal-enforced"] == f"{health.grant}@1"
    assert [(f.name, str(f.type)) for f in from_stream(answer.content).schema] == [
        ("_op", "string"),
        ("code", "string"),
        ("name", "string"),
    ]


async def test_a_segment_is_resumed_by_ranges(town: Town, health: Department) -> None:
    rows = [{"code": f"{n:06}", "name": hashlib.sha256(b"%d" % n).hexdigest()} for n in range(9000)]
    town.publish(AREA_ITEMS[:2], version=2)
    await town.publish_rows(rows)
    await health.subscribe()
    await town.work()
    path = f"deliveries/{(await one_delivery(health))['id']}/segments/0"
    whole = (await health.call("GET", path)).content
    assert len(whole) > 300_000, "more than one piece"
    etag = f'"{hashlib.sha256(whole).hexdigest()}"'

    part = await health.call("GET", path, Range="bytes=1000-300000")
    rest = await health.call("GET", path, **{"Range": "bytes=300001-", "If-Range": etag})
    tail = await health.call("GET", path, Range="bytes=-5")

    assert [part.status_code, rest.status_code, tail.status_code] == [206, 206, 206]
    assert part.content + rest.content == whole[1000:]
    assert tail.content == whole[-5:]
    assert part.headers["content-range"] == f"bytes 1000-300000/{len(whole)}"
    assert part.headers["content-length"] == "299001"
    assert part.headers["etag"] == etag
    digest = hashlib.sha256(part.content).hexdigest()
    assert part.headers["datong-internal-digest"] == digest
    for header in ("bytes=0-1,5-6", "bytes=9-1", "lines=0-1"):
        answer = await health.call("GET", path, Range=header)
        assert (answer.status_code, answer.content) == (200, whole), header
    other = await health.call("GET", path, **{"Range": "bytes=0-1", "If-Range": '"x"'})
    assert (other.status_code, other.content) == (200, whole)


async def test_a_range_beyond_the_end_is_refused_with_the_length(
    town: Town, health: Department, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    delivery = await one_delivery(health)
    size = delivery["segments"][0]["bytes"]

    answer = await health.call(
        "GET", f"deliveries/{delivery['id']}/segments/0", Range=f"bytes={size}-"
    )

    assert problem(answer, 416, "range-not-satisfiable")["facts"]["bytes"] == size
    assert answer.headers["content-range"] == f"bytes */{size}"


async def test_a_segment_that_the_caller_has_is_not_sent_again(
    town: Town, health: Department
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    delivery = await one_delivery(health)
    path = f"deliveries/{delivery['id']}/segments/0"
    etag = f'"{delivery["segments"][0]["digest"]}"'

    for header in (etag, f'"x", W/{etag}', "*"):
        answer = await health.call("GET", path, **{"If-None-Match": header})
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    answer = await health.call("GET", path, **{"If-None-Match": '"x"'})
    assert answer.status_code == 200


async def test_segments_of_others_and_unknown_ones_are_not_found(
    town: Town, health: Department, problem: Problem
) -> None:
    await town.publish_rows(ROWS)
    await health.subscribe()
    await town.work()
    delivery = (await one_delivery(health))["id"]
    other = department(town, "education")

    problem(await other.call("GET", f"deliveries/{delivery}/segments/0"), 404, "delivery-unknown")
    answer = await health.call("GET", f"deliveries/{uuid7()}/segments/0")
    problem(answer, 404, "delivery-unknown")
    problem(await health.call("GET", f"deliveries/{delivery}/segments/1"), 404, "segment-unknown")
    for wrong in ("-1", "100000", "x"):
        answer = await health.call("GET", f"deliveries/{delivery}/segments/{wrong}")
        problem(answer, 422, "parameter-invalid")


async def test_deliveries_are_listed_in_pages_by_their_sequence(
    town: Town, health: Department
) -> None:
    await health.subscribe()
    await town.work()
    for number in range(4):
        await town.publish_rows([{"code": str(number), "name": "x", "level": 1}])
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = (await health.call("GET", f"{health.path}/deliveries?after={after}&limit=2")).json()
        seen += [delivery["sequence"] for delivery in page["items"]]
        after = page["next"]

    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("after=2", 400, "cursor-invalid"),
        ("after=-1", 422, "parameter-invalid"),
        ("after=9007199254740992", 422, "parameter-invalid"),
        ("after=x", 422, "parameter-invalid"),
        ("wait=31", 422, "parameter-invalid"),
        ("limit=101", 422, "parameter-invalid"),
        ("limit=0", 422, "parameter-invalid"),
    ],
)
async def test_a_sequence_that_never_was_is_refused(
    town: Town, health: Department, problem: Problem, query: str, status: int, code: str
) -> None:
    await health.subscribe()
    await town.work()

    answer = await health.call("GET", f"{health.path}/deliveries?{query}")

    assert problem(answer, status, code)["errors"][0]["pointer"].startswith("/query/")


async def test_a_call_waits_for_the_next_delivery(town: Town, health: Department) -> None:
    await health.subscribe()
    await town.work()
    waiting = asyncio.create_task(health.deliveries(1, wait=30))
    await asyncio.sleep(0)

    started = time.monotonic()
    await town.publish_rows(ROWS)

    assert [d["sequence"] for d in await waiting] == [2]
    assert time.monotonic() - started < 20, "it did not wait to the end"


async def test_a_wait_without_news_ends_empty(town: Town, health: Department) -> None:
    await health.subscribe()
    await town.work()

    assert await health.deliveries(1, wait=1) == []


async def test_a_process_that_stops_answers_who_waits_with_what_it_has(
    town: Town, health: Department
) -> None:
    await health.subscribe()
    await town.work()
    batch = await town.open()
    town.app.state.news = news = News(town.url)
    listening = asyncio.create_task(news.run())
    waiting = [
        asyncio.create_task(health.deliveries(1, wait=30)),
        asyncio.create_task(town.batch(batch, wait=30)),
    ]
    ended, _ = await asyncio.wait(waiting, timeout=1)
    assert not ended, "there is nothing to tell"

    listening.cancel()

    async with asyncio.timeout(15):
        assert await waiting[0] == []
        assert (await waiting[1])["state"] == "open"
        assert await health.deliveries(1, wait=30) == [], "nobody waits any longer"


async def test_a_wait_ends_with_the_grant(town: Town, health: Department, problem: Problem) -> None:
    await health.subscribe()
    await town.work()
    waiting = asyncio.create_task(health.call("GET", f"{health.path}/deliveries?after=1&wait=30"))
    await asyncio.sleep(0)

    health.give(state="ended")

    problem(await waiting, 403, "grant-ended")
