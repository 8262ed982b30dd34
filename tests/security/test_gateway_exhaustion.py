"""Nobody without a permission makes a gateway wait, hoard or spin."""

import asyncio
import gc
import os
import resource
import socket

import pytest
from structlog.testing import capture_logs

from gateway.listener import ClientConnection
from gateway.upstream import UpstreamConnection
from tests.integration.gateway.test_data_path_parts import LOADED, own, upload
from tests.support.data_path import (
    Asked,
    FakePart,
    World,
    answer_with,
    http,
    request,
    rows,
    with_world,
)
from tests.support.deliveries import held_bodies
from tests.support.processes import wait_until

HOST = ("Host", "gateway.example")
NEVER = ("Datong-After", "sharing.grant/019aa500-0000-7000-8000-000000000099@999")
UPLOAD = 16 << 20
_CONNECTIONS = (ClientConnection, UpstreamConnection)


@with_world()
async def test_whoever_shows_no_certificate_waits_for_no_state(world: World) -> None:
    world.table.has_reached = False
    world.part.respond = answer_with(http(200, b"{}", [("content-type", "application/json")]))
    client = await world.connect()

    answer = await client.call(request("GET", "/identity/v1/jwks", [HOST, NEVER]))

    assert answer.status == 200
    assert world.part.asked[0].header("Datong-After") is None  # nor does the part wait


@with_world(slow_connections=1)
async def test_a_body_stays_with_the_caller_until_a_part_takes_it(world: World) -> None:
    own(world)
    release = asyncio.Event()

    async def hang(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(http(200, b"{}", LOADED))

    world.part.respond = hang
    first = await world.connect(world.caller)
    await first.send(upload(world, b"{}", ("Content-Length", "2")))
    await wait_until(lambda: len(world.part.asked) == 1)

    second = await world.connect(world.caller)
    head = upload(world, b"", ("Content-Length", str(UPLOAD)))

    async def send() -> None:
        await second.send(head)
        for _ in range(UPLOAD >> 16):
            await second.send(bytes(1 << 16))

    sending = asyncio.create_task(send())
    most = 0
    for _ in range(100):
        await asyncio.sleep(0.01)
        most = max(most, held_bodies(world))
    assert not sending.done()
    assert most < 1 << 20

    release.set()
    await sending
    assert (await second.read()).status == 200
    assert len(world.part.asked[-1].body) == UPLOAD
    world.part.respond = answer_with(rows(b"{}"))
    assert (await second.call(world.query())).status == 200  # the connection reads on


@with_world()
@pytest.mark.parametrize("unending", [b"0\r\nX-A: ", b"1;", b'1;a="', b"1;a="])
async def test_what_frames_a_body_has_an_end(world: World, unending: bytes) -> None:
    """The parser keeps a trailer that never ends, at a cost that grows with its square."""
    client = await world.connect()
    head = b"POST /identity/v1/enrolments HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

    answer = await client.call(head + b"2\r\n{}\r\n" + unending + b"a" * (1 << 17))

    assert answer.code == "call-malformed"
    assert world.part.asked == []
    assert await client.is_closed()


@with_world()
async def test_without_file_descriptors_the_gateway_rests_and_then_goes_on(world: World) -> None:
    caller = socket.socket()
    caller.setblocking(False)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(caller.fileno())
    os.close(lowest)
    with capture_logs() as lines:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            await asyncio.get_running_loop().sock_connect(
                caller, ("127.0.0.1", world.listener.port)
            )
            await asyncio.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    refused = [line for line in lines if line["event"] == "connection not accepted"]
    caller.close()
    assert len(refused) == 1

    client = await world.connect(world.caller)
    assert (await client.call(world.query())).status == 200


@with_world()
async def test_a_closed_connection_leaves_nothing_for_the_collector_of_cycles(
    world: World,
) -> None:
    """Its TLS buffers are large and the collector comes seldom: a caller could pile them up."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            client = await world.connect(world.caller)
            assert (await client.call(world.query())).status == 200
            client.close()
        world.part.cut()
        await wait_until(lambda: not world.path.connections)
        await wait_until(lambda: world.path.pools["transfer"].connections == 0)
        await asyncio.sleep(0)
        left = [one for one in gc.get_objects() if isinstance(one, _CONNECTIONS)]
    finally:
        gc.enable()
    assert len(left) <= 1  # of the call that the committer wrote last
