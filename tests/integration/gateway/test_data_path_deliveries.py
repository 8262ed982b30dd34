"""Deliveries through the gateway: under a grant for batches, recorded, in ranges, and cut."""

import asyncio
import random
from dataclasses import replace
from hashlib import sha256

import pytest

from tests.integration.gateway.test_data_path import salted
from tests.support.data_path import Asked, FakePart, Said, World, answer_with, with_world
from tests.support.deliveries import (
    DELIVERIES,
    RESOURCE,
    SEGMENT,
    SUBSCRIPTION,
    Segments,
    a_delivery,
    received,
    receives,
    suspend,
)
from tests.support.permissions import GRANT, OTHER_SYSTEM
from tests.support.processes import wait_until

BYTES = random.Random(4).randbytes(3 << 20)
ETAG = f'"{sha256(BYTES).hexdigest()}"'


# ---- decided and recorded ----


@with_world()
async def test_deliveries_are_listed_under_a_grant_for_batches_and_recorded(world: World) -> None:
    receives(world)
    body = b'{"items":[],"next":null}'
    world.part.respond = answer_with(
        a_delivery(body, rows=0, datong_internal_enforced=f"{GRANT}@7")
    )
    client = await world.connect(world.caller)
    answer = await client.call(received(world, DELIVERIES))
    assert (answer.status, answer.body) == (200, body)
    [asked] = world.part.asked
    assert asked.line == f"GET {DELIVERIES} HTTP/1.1"
    assert asked.header("Datong-Internal-Grant") == f"{GRANT}@2"
    assert asked.header("Datong-Internal-Entry") is None
    [record] = world.evidence.calls()
    assert (record["route"], record["mode"]) == ("list_deliveries", "batch")
    assert (record["rows"], record["items"]) == (0, ["code", "name"])
    assert (record["grant"], record["grant_version"]) == (GRANT, 7)
    assert (record["purpose"], record["decision"]) == ("public-health", "allowed")
    assert record["answer_digest"] == salted(answer.headers["datong-salt"], body)


@with_world()
async def test_each_refusal_of_a_delivery_has_its_code_and_a_record(world: World) -> None:
    client = await world.connect(world.caller)
    refused = await client.call(received(world, SEGMENT))
    assert refused.code == "mode-not-granted"
    assert b"does not cover the mode batch" in refused.body
    record = world.evidence.calls()[-1]
    assert (record["mode"], record["decision"], record["reason"]) == (
        "batch",
        "denied",
        "mode-not-granted",
    )
    receives(world)
    assert (await client.call(world.query())).code == "mode-not-granted"
    other = world.departments.issue("other")
    world.knows(other, holder=OTHER_SYSTEM)
    cases = [
        ("purpose-missing", received(world, SEGMENT).replace(b"Datong-Purpose", b"X-Purpose")),
        ("purpose-not-granted", received(world, SEGMENT).replace(b"public-health", b"marketing")),
        ("token-not-bound", received(world, SEGMENT, token=world.token(other))),
        ("resource-unknown", received(world, SEGMENT.replace("xzqh-divisions", "no-such"))),
    ]
    for code, data in cases:
        assert (await client.call(data)).code == code
        assert world.evidence.calls()[-1]["reason"] == code
    assert world.part.asked == []


@with_world()
async def test_a_receipt_and_a_subscription_are_acts_under_the_same_grant(world: World) -> None:
    receives(world)
    world.part.respond = answer_with(a_delivery(b"{}", status=201))
    client = await world.connect(world.caller)
    json = [("Content-Type", "application/json")]
    subscribed = await client.call(
        received(world, f"{RESOURCE}/subscriptions", json, method="POST", body=b'{"from":"now"}')
    )
    receipt = SEGMENT.replace("segments/0", "receipt")
    closed = await client.call(received(world, receipt, json, method="PUT", body=b"{}"))
    assert (subscribed.status, closed.status) == (201, 201)
    assert [record["route"] for record in world.evidence.calls()] == ["subscribe", "put_receipt"]
    assert {record["mode"] for record in world.evidence.calls()} == {"batch"}


@with_world()
async def test_a_delivery_without_its_digest_is_not_released(world: World) -> None:
    receives(world)
    said = a_delivery(b'["secret"]').replace(b"datong-internal-digest", b"x-digest")
    world.part.respond = answer_with(said)
    client = await world.connect(world.caller)
    answer = await client.call(received(world, DELIVERIES))
    assert answer.code == "answer-mismatch"
    assert b"secret" not in answer.body


# ---- segments and ranges ----


@with_world()
async def test_a_segment_arrives_whole_and_on_record(world: World) -> None:
    receives(world)
    world.part.respond = Segments(BYTES)
    client = await world.connect(world.caller)
    answer = await client.call(received(world, SEGMENT))
    assert (answer.status, answer.body) == (200, BYTES)
    assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (ETAG, "bytes")
    [record] = world.evidence.calls()
    assert (record["route"], record["rows"]) == ("get_segment", 65_536)
    assert record["answer_digest"] == salted(answer.headers["datong-salt"], BYTES)
    assert world.evidence.withheld() == []


@with_world()
@pytest.mark.parametrize(
    ("first", "last"),
    [
        pytest.param(len(BYTES) - 1000, None, id="the short rest"),
        pytest.param(1 << 20, None, id="a long rest"),
        pytest.param(100, 199, id="a short piece"),
        pytest.param(0, (1 << 18) - 1, id="as much as is held"),
        pytest.param(1, (1 << 18) + 1, id="a byte more"),
    ],
)
async def test_a_range_arrives_and_is_recorded_by_its_own_digest(
    world: World, first: int, last: int | None
) -> None:
    receives(world)
    world.part.respond = Segments(BYTES)
    client = await world.connect(world.caller)
    fields = [("Range", f"bytes={first}-{'' if last is None else last}"), ("If-Range", ETAG)]
    answer = await client.call(received(world, SEGMENT, fields))
    end = len(BYTES) - 1 if last is None else last
    assert (answer.status, answer.body) == (206, BYTES[first : end + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{end}/{len(BYTES)}"
    [record] = world.evidence.calls()
    assert (record["status"], record["answer_bytes"]) == (206, end + 1 - first)
    assert record["answer_digest"] == salted(answer.headers["datong-salt"], answer.body)
    # The connection and the part's connection carry the next call.
    assert (await client.call(received(world, SEGMENT))).body == BYTES
    assert world.part.connections == 1


@with_world()
async def test_a_range_under_another_etag_is_answered_whole(world: World) -> None:
    receives(world)
    world.part.respond = Segments(BYTES)
    client = await world.connect(world.caller)
    fields = [("Range", "bytes=5-9"), ("If-Range", '"another"')]
    answer = await client.call(received(world, SEGMENT, fields))
    assert (answer.status, answer.body) == (200, BYTES)


@with_world()
async def test_what_the_caller_has_is_not_sent_and_what_is_not_there_is_refused(
    world: World,
) -> None:
    receives(world)
    world.part.respond = Segments(BYTES)
    client = await world.connect(world.caller)
    for _ in range(2):
        known = await client.call(received(world, SEGMENT, [("If-None-Match", ETAG)]))
        assert (known.status, known.body, known.headers["etag"]) == (304, b"", ETAG)
        beyond = await client.call(received(world, SEGMENT, [("Range", f"bytes={len(BYTES)}-")]))
        assert (beyond.status, beyond.code) == (416, "range-not-satisfiable")
        assert beyond.headers["content-range"] == f"bytes */{len(BYTES)}"
    statuses = [(r["status"], r.get("reason")) for r in world.evidence.calls()]
    assert statuses == [(304, None), (416, "range-not-satisfiable")] * 2
    assert world.part.connections == 1


@with_world()
async def test_a_304_that_tells_the_length_of_what_it_does_not_send_is_one(world: World) -> None:
    receives(world)
    said = b"HTTP/1.1 304 Not Modified\r\netag: " + ETAG.encode() + b"\r\ncontent-length: 3145728"
    world.part.respond = answer_with(said + b"\r\n\r\n")
    client = await world.connect(world.caller)
    for _ in range(2):
        answer = await client.call(received(world, SEGMENT, [("If-None-Match", ETAG)]))
        assert (answer.status, answer.body) == (304, b"")
    assert world.evidence.calls()[0]["answer_bytes"] == 0


@with_world()
async def test_a_range_that_differs_from_its_digest_is_refused_or_cut(world: World) -> None:
    receives(world)
    fields = {"content_range": "bytes 0-9/100", "datong_internal_digest": "ab" * 32}
    world.part.respond = answer_with(a_delivery(b"0123456789", status=206, **fields))
    client = await world.connect(world.caller)
    assert (await client.call(received(world, SEGMENT))).code == "answer-mismatch"

    world.part.respond = answer_with(a_delivery(BYTES, status=206, **fields))
    await client.send(received(world, SEGMENT))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.read()
    await wait_until(lambda: bool(world.evidence.withheld()))
    assert world.evidence.withheld()[0]["reason"] == "answer-mismatch"


# ---- large segments and slow callers ----


@with_world()
async def test_a_caller_that_stops_reading_holds_the_part_back_and_nobody_else(
    world: World,
) -> None:
    receives(world)
    segments = Segments(BYTES * 16)  # more than sockets hold
    world.part.respond = segments
    stuck = await world.connect(world.caller)
    stuck.writer.transport.pause_reading()
    await stuck.send(received(world, SEGMENT))
    await wait_until(lambda: segments.sent > 0)
    seen = -1
    while seen != segments.sent:
        seen = segments.sent
        await asyncio.sleep(0.3)
    assert segments.sent < len(segments.segment)

    other = await world.connect(world.caller)
    world.part.respond = Segments(BYTES)
    assert (await other.call(received(world, SEGMENT))).body == BYTES

    assert world.path.in_hand == 1
    stuck.writer.transport.resume_reading()
    answer = await stuck.read(30)
    assert sha256(answer.body).digest() == sha256(segments.segment).digest()
    await wait_until(lambda: world.path.in_hand == 0)
    assert world.evidence.withheld() == []


@with_world()
async def test_a_caller_that_reads_no_more_is_cut_and_frees_the_part(world: World) -> None:
    receives(world)
    segments = Segments(BYTES * 16)  # more than sockets hold
    world.part.respond = segments
    stuck = await world.connect(world.caller)
    stuck.writer.transport.pause_reading()
    await stuck.send(received(world, SEGMENT))
    await wait_until(lambda: segments.sent > 0)
    await asyncio.sleep(0.3)
    pool = world.path.pools["transfer/slow"]
    assert pool.connections == 1
    for connection in world.path.connections:
        connection.deadline = 0.0  # type: ignore[attr-defined] # as if its time were over
    await wait_until(lambda: bool(world.evidence.withheld()))
    await wait_until(lambda: pool.connections == 0)
    assert world.path.in_hand == 0


@with_world()
async def test_a_segment_is_cut_when_its_grant_is_suspended_on_the_way(world: World) -> None:
    receives(world)
    segments = Segments(BYTES, pause=0.05)
    world.part.respond = segments
    client = await world.connect(world.caller)
    await client.send(received(world, SEGMENT))
    await client.reader.readuntil(b"\r\n\r\n")
    await client.reader.readexactly(1 << 16)
    suspend(world)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.reader.readexactly(len(BYTES) - (1 << 16))
    await wait_until(lambda: bool(world.evidence.withheld()))
    [withheld] = world.evidence.withheld()
    assert withheld["reason"] == "grant-suspended"
    assert withheld["of"] == world.evidence.calls()[0]["record"]
    assert world.path.in_hand == 0


@with_world()
async def test_a_segment_whose_last_item_was_taken_away_on_the_way_is_cut(world: World) -> None:
    receives(world)
    world.part.respond = Segments(BYTES, pause=0.05)
    client = await world.connect(world.caller)
    await client.send(received(world, SEGMENT))
    await client.reader.readuntil(b"\r\n\r\n")
    grant = world.table.grants[GRANT]
    world.table.grants[GRANT] = replace(grant, items=frozenset({"code"}), version=3)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.reader.readexactly(len(BYTES))
    await wait_until(lambda: bool(world.evidence.withheld()))
    assert world.evidence.withheld()[0]["reason"] == "items-not-granted"


# ---- waiting for news ----


def answers_after(seconds: float, body: bytes = b"{}") -> object:
    async def respond(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        writer.write(a_delivery(body))

    return respond


@with_world(call_seconds=0.3)
async def test_a_wait_lasts_as_long_as_the_caller_allows(world: World) -> None:
    receives(world)
    world.part.respond = answers_after(0.8)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    assert (await client.call(received(world, DELIVERIES))).code == "deadline-exceeded"
    patient = received(world, DELIVERIES, [("Datong-Timeout", "35")])
    assert (await client.call(patient)).status == 200
    assert world.part.asked[-1].header("Datong-Timeout") == "35"


@with_world()
async def test_a_grant_that_is_suspended_during_a_wait_releases_nothing(world: World) -> None:
    receives(world)
    news = asyncio.Event()

    async def wait(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        await news.wait()
        writer.write(a_delivery(b'["secret"]'))

    world.part.respond = wait
    client = await world.connect(world.caller)
    await client.send(received(world, DELIVERIES))
    await wait_until(lambda: len(world.part.asked) == 1)
    suspend(world)
    news.set()
    answer = await client.read()
    assert answer.code == "grant-suspended"
    assert b"secret" not in answer.body
    [record] = world.evidence.calls()
    assert (record["decision"], record["grant_version"]) == ("denied", 3)


async def narrowed_during_a_call(world: World, enforced: int) -> Said:
    """Answer a call by that version of its grant, which was narrowed to version 3 meanwhile."""
    receives(world)
    narrowed = asyncio.Event()

    async def wait(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        await narrowed.wait()
        writer.write(a_delivery(b'["secret"]', datong_internal_enforced=f"{GRANT}@{enforced}"))

    world.part.respond = wait
    client = await world.connect(world.caller)
    await client.send(received(world, DELIVERIES))
    await wait_until(lambda: len(world.part.asked) == 1)
    world.table.grants[GRANT] = replace(world.table.grants[GRANT], terms="masked", version=3)
    narrowed.set()
    return await client.read()


@with_world()
async def test_masks_that_were_added_during_a_call_release_nothing_made_without(
    world: World,
) -> None:
    answer = await narrowed_during_a_call(world, enforced=2)
    assert (answer.status, answer.code) == (503, "permissions-behind")
    assert b"secret" not in answer.body
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("denied", "permissions-behind")


@with_world()
async def test_what_was_answered_with_the_added_masks_is_released(world: World) -> None:
    answer = await narrowed_during_a_call(world, enforced=3)
    assert (answer.status, answer.body) == (200, b'["secret"]')
    [record] = world.evidence.calls()
    assert (record["decision"], record["grant_version"]) == ("allowed", 3)


@with_world()
async def test_a_caller_that_hangs_up_during_a_wait_frees_its_call(world: World) -> None:
    receives(world)
    world.part.respond = answers_after(60)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    await client.send(received(world, DELIVERIES))
    await wait_until(lambda: len(world.part.asked) == 1)
    client.close()
    await wait_until(lambda: world.path.in_hand == 0)
    await wait_until(lambda: world.path.pools["transfer/slow"].connections == 0)
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("allowed", "deadline-exceeded")
    assert [withheld["of"] for withheld in world.evidence.withheld()] == [record["record"]]


@with_world()
async def test_a_worker_that_stops_keeps_nobody_waiting_for_news(world: World) -> None:
    receives(world)
    world.part.respond = answers_after(60)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    await client.send(received(world, DELIVERIES))
    await wait_until(lambda: len(world.part.asked) == 1)
    stopping = asyncio.create_task(world.listener.stop())
    answer = await client.read()
    assert (answer.status, answer.code) == (503, "service-unavailable")
    assert (await client.is_closed(), world.path.in_hand) == (True, 0)
    await stopping
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("allowed", "service-unavailable")


@with_world(upstream_connections=1, slow_connections=2)
async def test_whoever_waits_keeps_no_query_waiting(world: World) -> None:
    grant = world.table.grants[GRANT]
    world.table.grants[GRANT] = replace(grant, modes=frozenset({"query", "batch"}))
    news = asyncio.Event()

    async def wait(_part: FakePart, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "wait=30" in asked.line:
            await news.wait()
        writer.write(a_delivery(b"{}"))

    world.part.respond = wait
    waiting = [await world.connect(world.caller) for _ in range(4)]
    for client in waiting:
        await client.send(received(world, DELIVERIES))
    await wait_until(lambda: world.path.in_hand == 4)
    await wait_until(lambda: len(world.part.asked) == 2)

    quick = await world.connect(world.caller)
    for _ in range(3):
        assert (await quick.call(world.query())).status == 200
    full = await quick.call(received(world, DELIVERIES))
    assert full.code == "overloaded"
    news.set()
    assert [(await client.read()).status for client in waiting] == [200] * 4


@with_world(slow_calls=2)
async def test_a_caller_has_no_more_than_its_share_of_calls_that_wait(world: World) -> None:
    receives(world)
    world.part.respond = answers_after(60)  # type: ignore[assignment]
    waiting = [await world.connect(world.caller) for _ in range(2)]
    for client in waiting:
        await client.send(received(world, DELIVERIES))
    await wait_until(lambda: len(world.part.asked) == 2)
    more = await world.connect(world.caller)
    refused = await more.call(received(world, DELIVERIES))
    assert (refused.status, refused.code) == (503, "overloaded")
    assert b"2 of one caller" in refused.body

    waiting[0].close()
    world.part.respond = answer_with(a_delivery(b"{}"))
    await wait_until(lambda: world.path.pools["transfer/slow"].connections == 1)
    assert (await more.call(received(world, DELIVERIES))).status == 200
    subscription = DELIVERIES.split("/deliveries")[0]
    assert subscription.endswith(SUBSCRIPTION)
    assert (await more.call(received(world, subscription))).status == 200
