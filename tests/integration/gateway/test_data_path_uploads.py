"""Chunks through the gateway: by ownership, in pieces, as slowly as it takes, in little memory."""

import asyncio
import random
from dataclasses import replace
from hashlib import sha256

from tests.integration.gateway.test_data_path import salted
from tests.support.data_path import (
    Asked,
    Client,
    Credentials,
    FakePart,
    World,
    answer_with,
    http,
    with_world,
)
from tests.support.deliveries import (
    BATCH,
    CHUNK,
    DELIVERIES,
    RESOURCE,
    an_owner,
    held_bodies,
    owners_token,
    published,
    received,
    receives,
)
from tests.support.permissions import OWNER_SYSTEM
from tests.support.processes import wait_until

WHOLE = 16 << 20
CHUNK_BYTES = random.Random(4).randbytes(WHOLE)
TAKEN = [("content-type", "application/json"), ("datong-internal-rows", "65536")]
WAITED = f"{RESOURCE}/batches/{BATCH}?wait=30"


def revoke(world: World, owner: Credentials) -> None:
    known = world.table.credentials[owner.thumbprint]
    world.table.credentials[owner.thumbprint] = replace(known, active=False)


async def put(world: World, owner: Credentials, client: Client, body: bytes = CHUNK_BYTES) -> int:
    """Send a chunk in pieces as large as a socket takes; return the status of the answer."""
    await client.send(published(world, owner, fields=[("Content-Length", str(len(body)))]))
    for at in range(0, len(body), 1 << 18):
        await client.send(body[at : at + (1 << 18)])
    return (await client.read(60)).status


@with_world()
async def test_the_largest_chunk_passes_and_is_recorded(world: World) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(http(201, b'{"chunk":0}', TAKEN))
    client = await world.connect(owner)
    await client.send(published(world, owner, fields=[("Content-Length", str(WHOLE))]))
    await client.send(CHUNK_BYTES)
    answer = await client.read(30)
    assert (answer.status, answer.body) == (201, b'{"chunk":0}')
    [asked] = world.part.asked
    assert sha256(asked.body).digest() == sha256(CHUNK_BYTES).digest()
    assert (asked.header("Datong-Internal-Entry") or "").endswith("@3")
    [record] = world.evidence.calls()
    assert (record["route"], record["mode"], record["rows"]) == ("put_chunk", "publish", 65_536)
    assert (record["caller"], record["request_bytes"]) == (f"system/{OWNER_SYSTEM}", WHOLE)
    assert record["request_digest"] == salted(answer.headers["datong-salt"], CHUNK_BYTES)


@with_world(call_seconds=0.2, body_seconds=0.5)
async def test_an_upload_may_take_long_while_it_goes_on(world: World) -> None:
    owner = an_owner(world)
    world.part.respond = answer_with(http(201, b"{}", TAKEN))
    client = await world.connect(owner)
    body = CHUNK_BYTES[: 12 << 16]
    await client.send(published(world, owner, fields=[("Content-Length", str(len(body)))]))
    for at in range(0, len(body), 1 << 16):
        await client.send(body[at : at + (1 << 16)])
        await asyncio.sleep(0.2)
    assert (await client.read()).status == 201


@with_world()
async def test_many_uploads_at_once_lie_in_no_memory(world: World) -> None:
    owner = an_owner(world)
    may_read = asyncio.Event()

    async def read_late(part: FakePart, reader: asyncio.StreamReader) -> Asked:
        head = await reader.readuntil(b"\r\n\r\n")
        await may_read.wait()
        await part._read_exactly(reader, WHOLE)
        return Asked(head.decode("latin-1").split("\r\n")[0], [], b"")

    world.part.read_call = read_late
    world.part.respond = answer_with(http(201, b"{}", TAKEN))
    clients = [await world.connect(owner) for _ in range(6)]
    sending = [asyncio.create_task(put(world, owner, client)) for client in clients]
    most, seen = 0, -1
    while len(world.path.pools["transfer/slow"]._open) < 6 or held_bodies(world) != seen:
        seen = held_bodies(world)
        most = max(most, seen)
        await asyncio.sleep(0.2)
    assert most < 6 << 20  # a mebibyte each, of sixteen

    may_read.set()
    assert await asyncio.gather(*sending) == [201] * 6


@with_world()
async def test_an_upload_behind_a_wait_stays_with_its_caller(world: World) -> None:
    """Both on one connection: the second body must not gather in the gateway meanwhile."""
    owner = an_owner(world)
    news = asyncio.Event()

    async def wait(_part: FakePart, asked: Asked, writer: asyncio.StreamWriter) -> None:
        if "wait=30" in asked.line:
            await news.wait()
        writer.write(http(200, b"{}", TAKEN))

    world.part.respond = wait
    client = await world.connect(owner)
    await client.send(published(world, owner, WAITED, method="GET"))
    await wait_until(lambda: len(world.part.asked) == 1)
    sending = asyncio.create_task(put(world, owner, client, CHUNK_BYTES))
    most, seen = 0, -1
    while held_bodies(world) != seen:
        seen = held_bodies(world)
        most = max(most, seen)
        await asyncio.sleep(0.3)
    assert 0 < most < 1 << 20
    assert not sending.done()

    news.set()
    assert await sending == 200  # the answer to the wait, whose turn was first
    assert (await client.read(30)).status == 200
    assert world.part.asked[-1].line == f"PUT {CHUNK} HTTP/1.1"
    assert len(world.part.asked[-1].body) == WHOLE


@with_world()
async def test_a_refused_upload_is_told_why_after_all_of_it_was_sent(world: World) -> None:
    """Most clients read only when they have sent everything."""
    receives(world)
    stranger = await world.connect(world.caller)
    head = received(world, CHUNK, [("Content-Length", str(WHOLE))], method="GET")
    await stranger.send(head.replace(b"GET ", b"PUT ", 1))
    for at in range(0, WHOLE, 1 << 20):
        await stranger.send(CHUNK_BYTES[at : at + (1 << 20)])
        await asyncio.sleep(0.1)
    answer = await stranger.read()
    assert (answer.code, answer.headers["connection"]) == ("not-the-owner", "close")
    assert await stranger.is_closed()
    assert world.part.asked == []


# ---- what an owner reads and does while its permission goes ----


@with_world()
async def test_an_owner_whose_certificate_is_revoked_during_a_wait_is_told_nothing(
    world: World,
) -> None:
    owner = an_owner(world)

    async def wait(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        revoke(world, owner)
        writer.write(http(200, b'{"state":"effective"}', TAKEN))

    world.part.respond = wait
    client = await world.connect(owner)
    answer = await client.call(published(world, owner, WAITED, method="GET"))
    assert answer.code == "certificate-revoked"
    assert b"effective" not in answer.body
    assert world.evidence.calls()[0]["decision"] == "denied"


@with_world()
async def test_what_an_owner_did_before_a_revocation_is_not_recorded_as_denied(
    world: World,
) -> None:
    owner = an_owner(world)

    async def take(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        revoke(world, owner)
        writer.write(http(201, b"{}", TAKEN))

    world.part.respond = take
    client = await world.connect(owner)
    assert await put(world, owner, client, b"x" * 1000) == 201
    assert world.evidence.calls()[0]["decision"] == "allowed"
    again = await client.call(published(world, owner, WAITED, method="GET"))
    assert again.code == "certificate-revoked"


@with_world()
async def test_the_owner_is_not_let_into_deliveries_without_a_grant(world: World) -> None:
    receives(world)
    owner = an_owner(world)
    client = await world.connect(owner)
    answer = await client.call(received(world, DELIVERIES, token=owners_token(world, owner)))
    assert answer.code == "grant-missing"
