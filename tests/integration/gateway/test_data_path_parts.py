"""Parts that are away, slow, stale or wrong: the call is refused readably, or repeated safely."""

import asyncio
from dataclasses import replace
from hashlib import sha256

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
from tests.support.permissions import GRANT

HOST = ("Host", "gateway.example")
CHUNK = "/data/v1/xzqh-divisions/batches/019aa500-0000-7000-8000-0000000000b1/chunks/0"
LARGE = b"".join(b'{"code":"%06d"}\n' % number for number in range(40_000))


async def eventually(holds: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # type: ignore[operator]
            await asyncio.sleep(0.01)


def control(world: World, method: str, target: str, body: bytes = b"") -> bytes:
    return request(method, target, [HOST, ("Authorization", f"Bearer {world.token()}")], body)


# ---- away, stale, slow ----


@with_world()
async def test_a_part_that_cannot_be_reached_is_a_readable_refusal(world: World) -> None:
    await world.part.stop()
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert (answer.status, answer.code) == (503, "service-unavailable")
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("allowed", "service-unavailable")


@with_world()
async def test_a_connection_that_went_stale_is_tried_once_more(world: World) -> None:
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).status == 200
    first = asyncio.Event()

    async def die_first(part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        if not first.is_set():
            first.set()
            part.cut()
            return
        writer.write(rows(b'{"again":1}'))

    world.part.respond = die_first
    answer = await client.call(world.query())
    assert (answer.status, answer.body) == (200, b'{"again":1}')
    assert world.path.counts.retries == 1
    assert len(world.evidence.calls()) == 2


@with_world()
async def test_a_change_is_not_repeated_on_a_connection_that_died(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect(world.caller)
    assert (await client.call(control(world, "GET", "/catalog/v1/entries"))).status == 200

    async def die(part: FakePart, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
        part.cut()

    world.part.respond = die
    answer = await client.call(control(world, "POST", "/catalog/v1/entries", b"{}"))
    assert answer.code == "service-unavailable"
    assert [asked.line.split(" ")[0] for asked in world.part.asked] == ["GET", "POST"]


@with_world()
async def test_a_new_connection_that_dies_is_not_tried_again(world: World) -> None:
    async def die(part: FakePart, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
        part.cut()

    world.part.respond = die
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "service-unavailable"
    assert len(world.part.asked) == 1


@with_world()
async def test_a_part_that_does_not_answer_within_the_callers_time_is_given_up(
    world: World,
) -> None:
    async def say_nothing(_part: FakePart, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    world.part.respond = say_nothing
    client = await world.connect(world.caller)
    answer = await client.call(world.query(headers=[("Datong-Timeout", "0.2")]))
    assert (answer.status, answer.code) == (504, "deadline-exceeded")
    world.part.respond = answer_with(rows(b"{}"))
    assert (await client.call(world.query())).status == 200


@with_world(upstream_connections=1)
async def test_calls_wait_for_a_connection_when_all_are_taken(world: World) -> None:
    clients = [await world.connect(world.caller) for _ in range(5)]
    answers = await asyncio.gather(*(client.call(world.query()) for client in clients))
    assert [answer.status for answer in answers] == [200] * 5
    assert world.part.connections == 1


@with_world()
async def test_a_peer_with_the_identity_of_another_part_gets_nothing(world: World) -> None:
    world.path.pools["transfer"].part = "audit"
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "service-unavailable"
    assert world.part.asked == []


# ---- wrong ----


@with_world()
@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", id="broken off"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n", id="broken off in the head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 80_000, id="endless head"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", id="without a length"),
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another protocol"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            id="two framings",
        ),
        pytest.param(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", id="upgrade"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 9, id="endless interim answers"),
    ],
)
async def test_an_answer_that_breaks_http_is_a_refusal(world: World, said: bytes) -> None:
    async def say_then_close(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        writer.close()

    world.part.respond = say_then_close
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert answer.code == "service-unavailable"
    world.part.respond = answer_with(rows(b"{}"))
    assert (await client.call(world.query())).status == 200


@with_world()
async def test_interim_answers_are_passed_over(world: World) -> None:
    world.part.respond = answer_with(b"HTTP/1.1 100 Continue\r\n\r\n" + rows(b"{}"))
    client = await world.connect(world.caller)
    for _ in range(2):
        assert (await client.call(world.query())).body == b"{}"
    assert world.part.connections == 1


@with_world()
async def test_a_second_answer_is_never_taken_for_the_next_call(world: World) -> None:
    client = await world.connect(world.caller)
    world.part.respond = answer_with(rows(b'{"of":1}') + rows(b'{"forged":1}'))
    assert (await client.call(world.query())).body == b'{"of":1}'
    world.part.respond = answer_with(rows(b'{"of":2}'))
    assert (await client.call(world.query())).body == b'{"of":2}'


@with_world()
async def test_chunked_answers_are_passed_on_with_a_length(world: World) -> None:
    body = b"abc" * 1000
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    world.part.respond = answer_with(head + b"bb8\r\n" + body + b"\r\n0\r\n\r\n")
    client = await world.connect(world.caller)
    answer = await client.call(control(world, "GET", "/catalog/v1/entries"))
    assert answer.body == body


# ---- large answers ----


@with_world()
async def test_a_large_hosted_answer_streams_under_its_announced_digest(world: World) -> None:
    world.part.respond = answer_with(rows(LARGE))
    client = await world.connect(world.caller)
    answer = await client.call(world.query())
    assert answer.body == LARGE
    [record] = world.evidence.calls()
    assert record["answer_bytes"] == len(LARGE)
    assert world.evidence.withheld() == []
    world.part.respond = answer_with(rows(b"{}"))
    assert (await client.call(world.query())).body == b"{}"


@with_world()
async def test_a_large_answer_that_differs_from_its_digest_is_cut_before_its_end(
    world: World,
) -> None:
    world.part.respond = answer_with(rows(LARGE, digest="ab" * 32))
    client = await world.connect(world.caller)
    await client.send(world.query())
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.read()
    await eventually(world.evidence.withheld)
    [withheld] = world.evidence.withheld()
    assert withheld["of"] == world.evidence.calls()[0]["record"]
    assert withheld["reason"] == "answer-mismatch"


@with_world()
async def test_a_part_that_dies_in_the_middle_of_a_large_answer_cuts_it(world: World) -> None:
    async def die(part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(rows(LARGE)[: len(LARGE) // 2])
        await writer.drain()
        await asyncio.sleep(0.1)
        part.cut()

    world.part.respond = die
    client = await world.connect(world.caller)
    await client.send(world.query())
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.read()
    await eventually(world.evidence.withheld)
    assert world.path.in_hand == 0


@with_world()
async def test_a_large_answer_is_cut_when_its_grant_is_suspended_on_the_way(world: World) -> None:
    stop = asyncio.Event()

    async def drip(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        data = rows(LARGE)
        writer.write(data[: len(data) // 2])
        await stop.wait()
        await asyncio.sleep(0.5)
        writer.write(data[len(data) // 2 :])

    world.part.respond = drip
    client = await world.connect(world.caller)
    await client.send(world.query())
    await client.reader.readuntil(b"\r\n\r\n")
    world.table.grants[GRANT] = replace(world.table.grants[GRANT], state="suspended")
    stop.set()
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.reader.readexactly(len(LARGE))
    await eventually(world.evidence.withheld)
    assert world.evidence.withheld()[0]["reason"] == "grant-suspended"


@with_world()
async def test_a_caller_that_takes_slowly_gets_all_and_holds_the_part_back(world: World) -> None:
    body = LARGE * 40
    world.part.respond = answer_with(rows(body))
    client = await world.connect(world.caller)
    await client.send(world.query())
    await client.reader.readuntil(b"\r\n\r\n")
    taken = sha256()
    left = len(body)
    while left:
        piece = await client.reader.read(min(left, 1 << 16))
        taken.update(piece)
        left -= len(piece)
        if left % 7 == 0:
            await asyncio.sleep(0.01)
    assert taken.digest() == sha256(body).digest()
    await eventually(lambda: world.path.in_hand == 0)


@with_world()
async def test_a_large_answer_of_the_control_plane_is_recorded_before_its_first_byte(
    world: World,
) -> None:
    world.part.respond = answer_with(http(200, LARGE, [("content-type", "application/zip")]))
    client = await world.connect(world.caller)
    for _ in range(2):
        answer = await client.call(control(world, "GET", "/audit/v1/packages"))
        assert answer.body == LARGE
    assert [record["answer_bytes"] for record in world.evidence.calls()] == [len(LARGE)] * 2
    leftovers = [file for file in world.settings.spool_directory.iterdir() if file.is_file()]
    assert leftovers == []


@with_world()
async def test_a_large_data_answer_without_a_digest_is_not_released(world: World) -> None:
    world.part.respond = answer_with(http(200, LARGE))
    client = await world.connect(world.caller)
    assert (await client.call(world.query())).code == "answer-mismatch"


# ---- uploads ----


def upload(world: World, body: bytes, *framing: tuple[str, str]) -> bytes:
    fields = [
        HOST,
        ("Authorization", f"Bearer {world.token()}"),
        ("Content-Type", "application/x-ndjson"),
        *framing,
    ]
    lines = [f"PUT {CHUNK} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def own(world: World) -> None:
    """Make the caller's agency the owner of the resource."""
    entry = world.table.entries["xzqh-divisions"]
    world.table.entries["xzqh-divisions"] = replace(entry, agency="health-commission")


LOADED = [("content-type", "application/json"), ("datong-internal-rows", "40000")]


@with_world()
async def test_an_upload_is_passed_on_in_pieces_and_recorded(world: World) -> None:
    own(world)
    world.part.respond = answer_with(http(200, b'{"rows":40000}', LOADED))
    client = await world.connect(world.caller)
    answer = await client.call(upload(world, LARGE, ("Content-Length", str(len(LARGE)))))
    assert answer.status == 200
    [asked] = world.part.asked
    assert asked.body == LARGE
    assert asked.header("Datong-Internal-Grant") is None
    assert (asked.header("Datong-Internal-Entry") or "").endswith("@3")
    [record] = world.evidence.calls()
    assert (record["mode"], record["rows"]) == ("publish", 40_000)
    assert record["request_bytes"] == len(LARGE)
    assert "grant" not in record


@with_world()
async def test_a_chunked_upload_stays_chunked(world: World) -> None:
    own(world)
    world.part.respond = answer_with(http(200, b"{}", LOADED))
    client = await world.connect(world.caller)
    pieces = [LARGE[at : at + 50_000] for at in range(0, len(LARGE), 50_000)]
    body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = await client.call(upload(world, body, ("Transfer-Encoding", "chunked")))
    assert answer.status == 200
    assert world.part.asked[0].body == LARGE


@with_world()
async def test_an_upload_that_is_refused_is_refused_before_its_body(world: World) -> None:
    client = await world.connect(world.caller)
    await client.send(upload(world, LARGE[:1000], ("Content-Length", str(len(LARGE)))))
    answer = await client.read()
    assert (answer.code, answer.headers["connection"]) == ("not-the-owner", "close")
    assert world.part.asked == []


@with_world()
async def test_an_upload_that_the_part_refuses_early_is_answered_at_once(world: World) -> None:
    own(world)
    problem = b'{"code":"body-invalid"}'
    fields = [("datong-internal-reason", "body-invalid"), ("connection", "close")]

    async def refuse_early(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(422, problem, fields))

    world.part.respond = refuse_early
    world.part.reads_bodies = False
    client = await world.connect(world.caller)
    await client.send(upload(world, LARGE[:1000], ("Content-Length", str(len(LARGE)))))
    answer = await client.read()
    assert (answer.status, answer.body) == (422, problem)
    assert await client.is_closed()


@with_world()
async def test_an_upload_whose_caller_is_gone_never_reaches_its_end(world: World) -> None:
    own(world)
    client = await world.connect(world.caller)
    await client.send(upload(world, LARGE[:300_000], ("Content-Length", str(len(LARGE)))))
    await eventually(lambda: world.part.connections == 1)
    client.close()
    await eventually(world.evidence.withheld)
    [record] = world.evidence.calls()
    assert record["reason"] == "call-malformed"
    assert world.part.asked == []
    assert world.path.in_hand == 0


@with_world()
async def test_an_upload_over_the_limit_is_cut_off(world: World) -> None:
    own(world)
    client = await world.connect(world.caller)
    await client.send(upload(world, b"", ("Content-Length", str((16 << 20) + 1))))
    assert (await client.read()).code == "body-too-large"


@with_world(body_seconds=0.3)
async def test_an_upload_that_stands_still_is_refused(world: World) -> None:
    own(world)
    client = await world.connect(world.caller)
    await client.send(upload(world, LARGE[:1000], ("Content-Length", str(len(LARGE)))))
    answer = await client.read()
    assert (answer.status, answer.code) == (408, "call-timeout")
    assert world.part.asked == []


@with_world()
async def test_a_part_that_reads_slowly_holds_the_caller_back_and_gets_all(world: World) -> None:
    own(world)
    world.part.respond = answer_with(http(200, b"{}", LOADED))
    world.part.read_pause = 0.002
    body = LARGE * 10
    client = await world.connect(world.caller)
    answer = await client.call(upload(world, body, ("Content-Length", str(len(body)))))
    assert answer.status == 200
    assert sha256(world.part.asked[0].body).digest() == sha256(body).digest()
