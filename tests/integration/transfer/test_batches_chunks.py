"""Chunks: taken whole or refused with a place, idempotent, and never after the seal."""

import asyncio
import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from kit.canonical import canonical
from tests.integration.transfer.conftest import RESOURCE, Town
from tests.support.processes import wait_until

Problem = Callable[[httpx.Response, int, str], dict[str, Any]]

ROWS: list[dict[str, Any]] = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]
CSV = {"Content-Type": "text/csv"}
ARROW = {"Content-Type": "application/vnd.apache.arrow.stream"}


def arrow(rows: list[dict[str, Any]]) -> bytes:
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([dict.fromkeys(names) | row for row in rows])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def digest_header(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


async def chunks(town: Town, batch: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await town.call("GET", f"batches/{batch}/chunks")).json()[
        "items"
    ]
    return items


def left_files(town: Town) -> list[Path]:
    """Bodies that were written and not removed."""
    return list(town.context.objects._incoming.glob("*"))  # type: ignore[attr-defined]


async def test_a_chunk_is_answered_with_what_was_taken(town: Town) -> None:
    batch = await town.open()
    body = b"".join(canonical(row) + b"\n" for row in [*ROWS, {"code": "1"}])

    answer = await town.put(batch, 7, body)

    assert answer.status_code == 201
    assert answer.json() == {
        "chunk": 7,
        "rows": 2,
        "quarantined": 1,
        "digest": hashlib.sha256(body).hexdigest(),
        "bytes": len(body),
    }
    assert answer.headers["datong-internal-rows"] == "2"
    assert answer.headers["datong-internal-items"] == "code,name,level,parent"
    assert answer.headers["datong-internal-digest"] == hashlib.sha256(answer.content).hexdigest()
    assert left_files(town) == []


async def test_the_same_chunk_again_changes_nothing(town: Town, problem: Problem) -> None:
    batch = await town.open()
    first = await town.put(batch, 0, ROWS)

    again = await town.put(batch, 0, ROWS)
    other = await town.put(batch, 0, ROWS[:1])

    assert (again.status_code, again.json()) == (200, first.json())
    refused = problem(other, 409, "chunk-differs")
    assert refused["facts"]["digest"] == first.json()["digest"]
    assert await chunks(town, batch) == [first.json()]


async def test_the_same_chunk_twice_at_once_is_one(town: Town) -> None:
    batch = await town.open()

    answers = await asyncio.gather(*(town.put(batch, 0, ROWS) for _ in range(4)))

    assert sorted(a.status_code for a in answers) == [200, 200, 200, 201]
    assert len({a.text for a in answers}) == 1
    assert (await town.batch(batch))["rows"] == 2


async def test_different_bytes_at_once_are_one_chunk_and_refusals(town: Town) -> None:
    batch = await town.open()

    answers = await asyncio.gather(
        *(town.put(batch, 0, [{**ROWS[0], "code": str(n)}]) for n in range(4))
    )

    assert sorted(a.status_code for a in answers) == [201, 409, 409, 409]
    assert (await town.batch(batch))["rows"] == 1


async def test_three_formats_hold_the_same_rows(town: Town) -> None:
    lines = b"".join(canonical(row) + b"\n" for row in ROWS)
    table = "\ufeffcode,name,level,parent\n330000,浙江省,1,\n330100,杭州市,2,330000\n".encode()
    digests = []
    for body, headers in ((lines, {}), (table, CSV), (table[3:], CSV), (arrow(ROWS), ARROW)):
        batch = await town.open()
        answer = await town.put(batch, 0, body, **headers)
        assert answer.status_code == 201, answer.text
        await town.seal(batch)
        await town.work()
        digests.append((await town.batch(batch))["table"])

    assert digests == [digests[0]] * 4
    assert digests[0]["rows"] == 2


async def test_a_body_is_what_its_digest_says(town: Town, problem: Problem) -> None:
    batch = await town.open()
    right, wrong = digest_header(canonical(ROWS[0])), digest_header(b"")
    body = canonical(ROWS[0])

    mismatch = await town.put(batch, 0, body, **{"Content-Digest": wrong})
    problem(mismatch, 400, "content-digest-mismatch")
    for header in ("", "md5=:AAAA:", "sha-512=:AAAA:"):
        missing = await town.put(batch, 0, body, **{"Content-Digest": header})
        problem(missing, 400, "content-digest-missing")
    for header in ("sha-256=AAAA", "sha-256=:@@@@:"):
        broken = await town.put(batch, 0, body, **{"Content-Digest": header})
        problem(broken, 400, "content-digest-mismatch")
    assert await chunks(town, batch) == []
    both = await town.put(batch, 0, body, **{"Content-Digest": f"md5=:AAAA:, {right}"})
    assert both.status_code == 201


BAD_BODIES: list[tuple[str, dict[str, str], bytes, int, str, str]] = [
    ("unknown member", {}, b'{"code":"1","area":2}', 422, "column-unknown", "/1/area"),
    ("unknown column", CSV, b"code,name,level,area\n1,x,1,y\n", 422, "column-unknown", "/1/area"),
    ("missing column", CSV, b"code,name\n1,x\n", 422, "column-missing", "/1/level"),
    ("not utf-8", {}, b'{"code":"\xff"}', 422, "text-not-utf8", "/1"),
    ("not utf-8 in csv", CSV, b"code,name,level\n1,\xff,1\n", 422, "text-not-utf8", "/2"),
    ("stray quote", CSV, b'code,name,level\n1,x"y,1\n', 422, "csv-malformed", "/2"),
    ("open quote", CSV, b'code,name,level\n1,"x,1\n', 422, "csv-malformed", "/2"),
    ("too few columns", CSV, b"code,name,level\n1,x,1\n2,y\n", 422, "csv-malformed", "/3"),
    ("too many columns", CSV, b"code,name,level\n1,x,1,2\n", 422, "csv-malformed", "/2"),
    ("no header", CSV, b"", 422, "csv-malformed", "/1"),
    ("column twice", CSV, b"code,code,name,level\n", 422, "csv-malformed", "/1/code"),
    ("no object", {}, b"[]\n", 422, "ndjson-malformed", "/1"),
    ("half a line", {}, canonical(ROWS[0]) + b'\n{"code":', 422, "ndjson-malformed", "/2"),
    ("member twice", {}, b'{"code":"1","code":"2"}', 422, "ndjson-malformed", "/1"),
    ("no stream", ARROW, b"PAR1", 422, "arrow-malformed", ""),
    ("half a stream", ARROW, arrow(ROWS)[:-40], 422, "arrow-malformed", ""),
    ("nothing", ARROW, b"", 422, "arrow-malformed", ""),
    (
        "another type",
        ARROW,
        arrow([{"code": "1", "name": "x", "level": "1"}]),
        422,
        "schema-mismatch",
        "/level",
    ),
    (
        "missing in schema",
        ARROW,
        arrow([{"code": "1", "level": 1}]),
        422,
        "column-missing",
        "/name",
    ),
    ("unknown in schema", ARROW, arrow([{**ROWS[0], "a": 1}]), 422, "column-unknown", "/a"),
    ("another format", {"Content-Type": "application/json"}, b"{}", 415, "", ""),
]


@pytest.mark.parametrize(
    ("headers", "body", "status", "code", "pointer"),
    [bad[1:] for bad in BAD_BODIES],
    ids=[bad[0] for bad in BAD_BODIES],
)
async def test_a_body_that_is_not_what_it_says_refuses_the_chunk_and_nothing_else(
    town: Town,
    problem: Problem,
    headers: dict[str, str],
    body: bytes,
    status: int,
    code: str,
    pointer: str,
) -> None:
    batch = await town.open()
    await town.put(batch, 1, ROWS)

    refused = problem(
        await town.put(batch, 0, body, **headers), status, code or "content-type-unsupported"
    )

    if pointer:
        assert refused["errors"][0]["pointer"] == pointer, refused
    assert [chunk["chunk"] for chunk in await chunks(town, batch)] == [1]
    assert (await town.batch(batch))["state"] == "open"
    assert left_files(town) == []
    assert (await town.put(batch, 0, [{**ROWS[0], "code": "9"}])).status_code == 201


async def test_a_body_over_sixteen_mebibytes_is_refused(town: Town, problem: Problem) -> None:
    batch = await town.open()

    problem(await town.put(batch, 0, b" " * (16 << 20) + b"{"), 413, "body-too-large")

    assert left_files(town) == []


async def test_a_chunk_has_a_number_below_a_hundred_thousand(town: Town, problem: Problem) -> None:
    batch = await town.open()
    for number in ("100000", "-1", "x", "1.5"):
        problem(
            await town.put(batch, number, ROWS),  # type: ignore[arg-type]
            422,
            "parameter-invalid",
        )


async def test_an_upload_that_breaks_off_leaves_nothing(town: Town) -> None:
    batch = await town.open()
    messages = iter(
        [
            {"type": "http.request", "body": canonical(ROWS[0]) + b"\n", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    sent: list[Any] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = town.identities.headers(
        town.owner,
        **{"Content-Type": "application/x-ndjson", "Content-Digest": digest_header(b"")},
    )
    scope = {
        "type": "http",
        "method": "PUT",
        "path": f"/data/v1/{RESOURCE}/batches/{batch}/chunks/0",
        "query_string": b"",
        "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        "extensions": {"tls": {"datong_peer": "gateway"}},
    }
    await town.app(scope, receive, send)

    assert sent[0]["status"] == 408
    assert await chunks(town, batch) == []
    assert left_files(town) == []


async def test_a_chunk_that_is_still_arriving_at_the_seal_does_not_get_in(
    town: Town, problem: Problem
) -> None:
    batch = await town.open()
    await town.put(batch, 0, ROWS)
    begun, go_on = asyncio.Event(), asyncio.Event()
    late = canonical({"code": "1", "name": "x", "level": 1})

    async def body() -> Any:
        yield late
        begun.set()
        await go_on.wait()

    upload = asyncio.create_task(
        town.client.put(
            f"/data/v1/{RESOURCE}/batches/{batch}/chunks/1",
            content=body(),
            headers=town.identities.headers(
                town.owner,
                **{"Content-Type": "application/x-ndjson", "Content-Digest": digest_header(late)},
            ),
        )
    )
    await begun.wait()
    assert (await town.seal(batch)).status_code == 202
    go_on.set()

    problem(await upload, 409, "batch-not-open")
    await town.work()
    assert (await town.batch(batch))["rows"] == 2


async def test_a_folder_that_is_gone_or_full_is_a_dependency_that_is_lost(
    town: Town, problem: Problem
) -> None:
    batch = await town.open()
    objects = town.context.objects
    folder: Path = objects._incoming.parent  # type: ignore[attr-defined]
    away = folder.with_name("away")
    folder.rename(away)

    problem(await town.put(batch, 0, ROWS), 503, "service-unavailable")
    away.rename(folder)
    assert (await town.put(batch, 0, ROWS)).status_code == 201
    (folder / "segments").rename(folder / "away")
    (folder / "segments").write_bytes(b"")  # no folder can be made here: as on a full disk

    problem(await town.put(batch, 1, [ROWS[0]]), 503, "service-unavailable")
    assert [chunk["chunk"] for chunk in await chunks(town, batch)] == [0]
    (folder / "segments").unlink()
    (folder / "away").rename(folder / "segments")
    assert (await town.put(batch, 1, [ROWS[0]])).status_code == 201


async def test_a_chunk_waits_for_others_that_are_checked(town: Town) -> None:
    batch = await town.open()
    loads: asyncio.Semaphore = town.app.state.loads
    await loads.acquire()
    await loads.acquire()

    putting = asyncio.create_task(town.put(batch, 0, ROWS))
    await wait_until(lambda: len(left_files(town)) == 1)
    assert not putting.done()
    loads.release()

    assert (await putting).status_code == 201
