"""Callers that are slow, huge, impatient or gone: never a 500, and the next call works."""

import asyncio
import socket

import pytest

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

HOST = ("Host", "gateway.example")
JWKS = b"GET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"


async def works(world: World) -> bool:
    world.part.respond = answer_with(rows(b"{}"))
    client = await world.connect(world.caller)
    return (await client.call(world.query())).status == 200


async def eventually(holds: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


# ---- slow ----


@with_world(header_seconds=0.3)
async def test_headers_that_take_too_long_are_refused(world: World) -> None:
    client = await world.connect()
    await client.send(b"GET /identity/v1/jwks HTTP/1.1\r\nHost")
    answer = await client.read()
    assert (answer.status, answer.code) == (408, "call-timeout")
    assert await client.is_closed()
    assert await works(world)


@with_world(header_seconds=0.4)
async def test_a_byte_now_and_then_does_not_win_time(world: World) -> None:
    client = await world.connect()
    reading = asyncio.create_task(client.read())
    for byte in JWKS[:-2]:
        if reading.done():
            break
        await client.send(bytes([byte]))
        await asyncio.sleep(0.05)
    assert (await reading).code == "call-timeout"


@with_world(idle_seconds=0.3)
async def test_a_connection_that_says_nothing_is_closed_without_a_word(world: World) -> None:
    client = await world.connect()
    assert await client.is_closed()


@with_world(idle_seconds=0.3)
async def test_an_idle_connection_is_closed_and_the_process_lives(world: World) -> None:
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).status == 200
    assert await client.is_closed()
    assert await works(world)


@with_world(body_seconds=0.3)
async def test_a_body_that_takes_too_long_is_refused(world: World) -> None:
    client = await world.connect(world.caller)
    data = world.query(b"{" + b" " * 100 + b"}")
    await client.send(data[:-50])
    answer = await client.read()
    assert (answer.status, answer.code) == (408, "call-timeout")
    [record] = world.evidence.calls()
    assert "request_digest" not in record
    assert await works(world)


# ---- huge ----


@with_world()
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /" + b"a" * 70_000, id="target"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X" * 70_000, id="name"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 70_000, id="value"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 20_000, id="number"),
        pytest.param(
            b"GET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 64 + b"\r\n",
            id="one too many",
        ),
        pytest.param(
            b"GET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 16_384 + b"\r\n\r\n",
            id="one byte too many",
        ),
    ],
)
async def test_headers_that_are_too_large_are_refused(world: World, data: bytes) -> None:
    client = await world.connect()
    await client.send(data)
    answer = await client.read()
    assert (answer.status, answer.code) == (431, "headers-too-large")
    assert await works(world)


@with_world()
async def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(world: World) -> None:
    client = await world.connect(world.caller)
    head = world.query().split(b"Content-Length")[0] + b"Transfer-Encoding: chunked\r\n\r\n"
    await client.send(head)
    chunk = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    for _ in range(5):
        await client.send(chunk)
    answer = await client.read()
    assert (answer.status, answer.code) == (413, "body-too-large")
    assert world.part.asked == []
    assert await works(world)


# ---- pipelining ----


@with_world()
async def test_pipelined_calls_are_answered_in_order(world: World) -> None:
    numbers = iter(range(100))

    async def slower_and_faster(
        _part: FakePart, asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        await asyncio.sleep(0.02 if next(numbers) % 2 else 0.0)
        writer.write(rows(asked.body))

    world.part.respond = slower_and_faster
    client = await world.connect(world.caller)
    token = world.token()
    bodies = [b'{"n":%d}' % number for number in range(20)]
    await client.send(b"".join(world.query(body, token=token) for body in bodies))
    for body in bodies:
        assert (await client.read()).body == body
    assert len(world.evidence.calls()) == 20


@with_world()
async def test_a_flood_of_pipelined_calls_is_read_as_it_is_answered(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect()
    count = 2000
    sending = asyncio.create_task(client.send(JWKS * count))
    for _ in range(count):
        assert (await client.read()).status == 200
    await sending
    assert world.path.in_hand == 0


@with_world()
async def test_refusals_and_answers_keep_their_places(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect()
    await client.send(
        JWKS + b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + JWKS + b"garbage\r\n\r\n"
    )
    statuses = [(await client.read()).status for _ in range(4)]
    assert statuses == [200, 404, 200, 400]
    assert await client.is_closed()


@with_world()
async def test_what_follows_a_call_that_closes_is_not_answered(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect()
    closing = JWKS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = await client.call(closing + JWKS)
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await client.is_closed()
    assert len(world.part.asked) == 1


@with_world()
async def test_a_call_in_pieces_is_the_same_call(world: World) -> None:
    client = await world.connect(world.caller)
    data = world.query(b'{"where":{"level":"county"}}')
    for at in range(0, len(data), 7):
        await client.send(data[at : at + 7])
    assert (await client.read()).status == 200
    assert world.part.asked[0].body == b'{"where":{"level":"county"}}'


# ---- gone ----


@with_world()
async def test_a_caller_that_is_gone_before_the_answer_leaves_a_withheld_record(
    world: World,
) -> None:
    client = await world.connect(world.caller)

    async def cut_then_answer(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        client.close()
        await eventually(lambda: not world.path.connections)
        writer.write(rows(b"{}"))

    world.part.respond = cut_then_answer
    await client.send(world.query())
    await eventually(world.evidence.withheld)
    [call], [withheld] = world.evidence.calls(), world.evidence.withheld()
    assert withheld["of"] == call["record"]
    assert withheld["call"] == call["call"]
    assert world.path.in_hand == 0
    assert await works(world)


@with_world()
async def test_a_caller_that_closes_its_half_does_no_harm(world: World) -> None:
    def send_and_close_half() -> bytes:
        plain = socket.create_connection(("127.0.0.1", world.listener.port))
        context = world.client_context(world.caller)
        with context.wrap_socket(plain, server_hostname="localhost") as tls:
            tls.sendall(world.query())
            socket.socket.shutdown(tls, socket.SHUT_WR)
            try:
                return tls.recv(1)
            except OSError:
                return b""

    await asyncio.to_thread(send_and_close_half)
    await eventually(lambda: not world.path.connections and world.path.in_hand == 0)
    assert await works(world)


@with_world()
async def test_a_caller_that_is_gone_in_the_middle_of_a_head_leaves_nothing(world: World) -> None:
    client = await world.connect(world.caller)
    await client.send(world.query()[:100])
    client.close()
    await eventually(lambda: not world.path.connections)
    assert world.evidence.calls() == []
    assert await works(world)


@with_world()
async def test_garbage_instead_of_tls_is_counted(world: World) -> None:
    _reader, writer = await asyncio.open_connection("127.0.0.1", world.listener.port)
    writer.write(JWKS)
    await eventually(lambda: world.path.counts.handshakes_failed["tls"] == 1)
    writer.close()
    assert await works(world)


# ---- limits ----


@with_world(calls=1)
async def test_calls_over_the_limit_are_refused_and_not_queued(world: World) -> None:
    first, second = await world.connect(world.caller), await world.connect(world.caller)
    asked = asyncio.Event()
    go_on = asyncio.Event()

    async def wait_then_answer(
        _part: FakePart, _asked: Asked, writer: asyncio.StreamWriter
    ) -> None:
        asked.set()
        await go_on.wait()
        writer.write(rows(b"{}"))

    world.part.respond = wait_then_answer
    await first.send(world.query())
    await asked.wait()
    refused = await second.call(world.query())
    assert (refused.code, refused.headers["retry-after"]) == ("overloaded", "2")
    go_on.set()
    assert (await first.read()).status == 200
    assert await works(world)


@with_world(connections=2)
async def test_connections_over_the_limit_are_closed_before_tls(world: World) -> None:
    first, second = await world.connect(), await world.connect()
    with pytest.raises((ConnectionError, OSError)):
        await world.connect()
    assert world.path.counts.connections_refused == 1
    first.close()
    second.close()
    await eventually(lambda: not world.path.connections)
    assert await works(world)


@with_world()
async def test_stopping_answers_what_is_in_hand(world: World) -> None:
    asked = asyncio.Event()

    async def answer_late(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await asyncio.sleep(0.2)
        writer.write(rows(b"{}"))

    world.part.respond = answer_late
    client, idle = await world.connect(world.caller), await world.connect(world.caller)
    await client.send(world.query())
    await asked.wait()
    stopping = asyncio.create_task(world.listener.stop())
    answer = await client.read()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await idle.is_closed()
    await stopping


@with_world()
async def test_a_caller_that_waits_to_be_asked_is_asked(world: World) -> None:
    client = await world.connect(world.caller)
    data = world.query(b"{ }", headers=[("Expect", "100-continue")])
    await client.send(data[:-3])
    async with asyncio.timeout(5):
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await client.send(data[-3:])
    assert (await client.read()).status == 200


@with_world()
async def test_a_call_that_waits_to_be_asked_and_is_refused_is_not_asked(world: World) -> None:
    client = await world.connect()
    fields = [HOST, ("Expect", "100-continue"), ("Content-Length", "9999999")]
    await client.send(request("GET", "/identity/v1/enrolments", fields))
    assert (await client.read()).code in ("method-not-allowed", "body-too-large")
