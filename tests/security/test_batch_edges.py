"""Hostile uploads and readers of batches: each ends readably, and nobody else is kept waiting."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from tests.support.data_path import Client, Credentials, World, answer_with, http, with_world
from tests.support.deliveries import (
    CHUNK,
    DELIVERIES,
    a_delivery,
    an_owner,
    held_bodies,
    published,
    received,
)
from tests.support.permissions import GRANT
from tests.support.processes import wait_until

LIMIT = 16 << 20
TAKEN = http(201, b"{}", [("content-type", "application/json"), ("datong-internal-rows", "1")])
CHUNKED = [("Transfer-Encoding", "chunked")]


def of_length(length: int) -> list[tuple[str, str]]:
    return [("Content-Length", str(length))]


async def begin(world: World, owner: Credentials, fields: list[tuple[str, str]]) -> Client:
    client = await world.connect(owner)
    await client.send(published(world, owner, fields=fields))
    return client


async def all_is_free(world: World) -> None:
    """Wait until no call is in hand, and no connection to the part carries half a body."""
    await wait_until(lambda: world.path.in_hand == 0)
    pool = world.path.pools["transfer/slow"]
    await wait_until(lambda: pool.connections == len(pool._idle))


# ---- slowly ----


@with_world(body_seconds=0.3)
async def test_a_drip_that_never_stands_still_ends_all_the_same(world: World) -> None:
    owner = an_owner(world)
    client = await begin(world, owner, of_length(LIMIT))
    answering = asyncio.create_task(client.read(10))
    drops = 0
    while not answering.done():
        await client.send(b"x" * 50)  # well under 4 KiB a second
        drops += 1
        await asyncio.sleep(0.05)
    answer = await answering
    assert (answer.status, answer.code) == (408, "call-timeout")
    assert 10 <= drops <= 30  # over twice the time of a pause, and then no more
    assert world.part.asked == []
    await all_is_free(world)
    record = world.evidence.calls()[0]
    assert record["reason"] == "call-timeout"
    assert "request_digest" not in record  # it was not read to its end


@with_world(body_seconds=0.3)
async def test_chunks_of_one_byte_are_no_way_around_it(world: World) -> None:
    owner = an_owner(world)
    client = await begin(world, owner, CHUNKED)
    answering = asyncio.create_task(client.read(10))
    while not answering.done():
        await client.send(b"1\r\nx\r\n")
        await asyncio.sleep(0.05)
    assert (await answering).code == "call-timeout"
    await all_is_free(world)


# ---- lies about the length ----


@with_world()
async def test_what_follows_a_body_that_was_declared_shorter_is_no_part_of_it(
    world: World,
) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(TAKEN)
    client = await begin(world, owner, of_length(5))
    smuggled = published(world, owner, fields=of_length(4)).replace(b"PUT", b"\x00PUT", 1)
    await client.send(b"12345" + smuggled + b"evil")
    assert (await client.read()).status == 201
    assert (await client.read()).code == "call-malformed"
    assert await client.is_closed()
    assert [asked.body for asked in world.part.asked] == [b"12345"]


@with_world()
async def test_a_body_that_was_declared_longer_never_becomes_a_chunk(world: World) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(TAKEN)
    client = await begin(world, owner, of_length(1 << 20))
    await client.send(b"x" * ((1 << 20) - 1))
    await wait_until(lambda: world.part.connections == 1)
    client.close()
    await wait_until(lambda: len(world.evidence.withheld()) == 1)
    await all_is_free(world)
    assert world.part.asked == []
    assert world.evidence.calls()[0]["reason"] == "call-malformed"


@with_world()
@pytest.mark.parametrize("length", [LIMIT + 1, 1 << 40, (1 << 64) - 1])
async def test_a_length_over_the_limit_is_refused_before_a_byte_of_the_body(
    world: World, length: int
) -> None:
    owner = an_owner(world)
    client = await begin(world, owner, of_length(length))
    assert (await client.read()).code == "body-too-large"
    assert world.part.connections == 0


@with_world()
async def test_chunks_over_the_limit_are_refused_while_they_come(world: World) -> None:
    owner = an_owner(world)
    client = await begin(world, owner, CHUNKED)
    answering = asyncio.create_task(client.read(30))
    piece = b"10000\r\n" + bytes(1 << 16) + b"\r\n"
    for _ in range((LIMIT >> 16) + 1):
        await client.send(piece)
    assert (await answering).code == "body-too-large"
    assert world.part.asked == []
    await all_is_free(world)


# ---- framing ----


@with_world()
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(b"0\r\nDatong-Internal-Rows: 9\r\n\r\n", id="a trailer"),
        pytest.param(b"0\r\nContent-Digest: sha-256=:AA==:\r\n\r\n", id="a digest behind the body"),
        pytest.param(b"zz\r\n", id="a size that is no number"),
        pytest.param(b"5\r\nabc\r\n0\r\n\r\n", id="a chunk shorter than its size"),
        pytest.param(b"-1\r\n\r\n", id="a negative size"),
        pytest.param(b"ffffffffffffffffff\r\n", id="a size that overflows"),
    ],
)
async def test_a_chunked_body_that_ends_badly_never_ends_for_the_part(
    world: World, end: bytes
) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(TAKEN)
    client = await begin(world, owner, CHUNKED)
    await client.send(b'6\r\n{"a":1\r\n')
    await wait_until(lambda: world.part.connections == 1)
    await client.send(end)
    assert (await client.read()).code == "call-malformed"
    assert await client.is_closed()
    assert world.part.asked == []
    await all_is_free(world)


@with_world()
async def test_extensions_of_chunks_do_not_reach_the_part(world: World) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(TAKEN)
    client = await begin(world, owner, CHUNKED)
    await client.send(b'3;name="value"\r\nabc\r\n0\r\n\r\n')
    assert (await client.read()).status == 201
    assert world.part.asked[0].body == b"abc"


# ---- many ----


@with_world()
async def test_a_hundred_uploads_that_never_end_keep_nobody_waiting(world: World) -> None:
    grant = world.table.grants[GRANT]
    world.table.grants[GRANT] = replace(grant, modes=frozenset({"query", "batch"}))
    owner = an_owner(world)
    uploads = [await begin(world, owner, of_length(LIMIT)) for _ in range(100)]
    for client in uploads:
        with contextlib.suppress(ConnectionError):  # those that were refused
            await client.send(b"x" * 1000)
    share = world.settings.slow_calls
    await wait_until(lambda: world.path.counts.refusals["overloaded"] == 100 - share)
    await wait_until(lambda: world.path.in_hand == share)
    assert held_bodies(world) < 1 << 20

    world.part.respond = answer_with(a_delivery(b"{}"))
    for _ in range(3):
        client = await world.connect(world.caller)
        assert (await client.call(world.query())).status == 200
        assert (await client.call(received(world, DELIVERIES))).status == 200
    entry = world.table.entries["xzqh-divisions"]
    world.table.entries["xzqh-divisions"] = replace(entry, agency="health-commission")
    world.part.respond = answer_with(TAKEN)
    neighbour = await world.connect(world.caller)
    chunk = received(world, CHUNK, of_length(3)).replace(b"GET", b"PUT", 1)
    assert (await neighbour.call(chunk + b"abc")).status == 201

    for client in uploads:
        client.close()
    await all_is_free(world)


@with_world()
async def test_other_certificates_of_one_system_are_no_further_shares(world: World) -> None:
    share = world.settings.slow_calls
    first, second = an_owner(world), an_owner(world, "owner-again")
    for _ in range(share):
        await begin(world, first, of_length(LIMIT))
    await wait_until(lambda: world.path.in_hand == share)
    more = await begin(world, second, of_length(LIMIT))
    assert (await more.read()).code == "overloaded"


@with_world(slow_connections=1)
async def test_calls_that_were_given_up_take_no_place_in_the_queue(world: World) -> None:
    """A queue that only grows would be full for good after some impatient callers."""
    world.table.grants[GRANT] = replace(world.table.grants[GRANT], modes=frozenset({"batch"}))
    upload = await begin(world, an_owner(world), of_length(LIMIT))
    await wait_until(lambda: world.path.in_hand == 1)
    impatient = await world.connect(world.caller)
    for _ in range(3):
        call = received(world, DELIVERIES, [("Datong-Timeout", "0.1")])
        assert (await impatient.call(call)).code == "deadline-exceeded"
    world.part.respond = answer_with(a_delivery(b"{}"))
    await impatient.send(received(world, DELIVERIES))
    await wait_until(lambda: world.path.in_hand == 2)
    upload.close()
    assert (await impatient.read()).status == 200
    await all_is_free(world)
