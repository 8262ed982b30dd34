"""An owner's service that is wrong in any way, by mistake or on purpose, spoils no other calls."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from gateway.upstream import OwnerPool
from gateway.upstream import breaker as breakers
from tests.support.certificates import Authority
from tests.support.data_path import (
    Asked,
    Client,
    FakePart,
    Said,
    World,
    answer_with,
    http,
    rows,
    with_world,
)
from tests.support.owners import (
    RESOURCE,
    Owner,
    a_call,
    in_chunks,
    let_another_call,
    let_call,
    of_type,
    owner_for,
    read_chunked,
    serve,
)
from tests.support.permissions import OTHER_SYSTEM
from tests.support.processes import wait_until

ALL = f"/call/{RESOURCE}/exports/all"
with_owners = with_world(allow_private_owners=True)


def said(answer: Said) -> tuple[int, str, str]:
    """Return status, code and cause of a refusal."""
    document = orjson.loads(answer.body)
    return answer.status, answer.code, document.get("facts", {}).get("cause", "")


def leaks_nothing(answer: Said, owner_port: int) -> None:
    """Check that a refusal names neither host nor port nor an error of ours."""
    text = answer.body.decode()
    for word in ("localhost", "127.0.0.1", str(owner_port), "Error", "ssl", "Traceback"):
        assert word not in text, word


async def others_go_on(world: World) -> None:
    """Check that hosted data is served as if nothing had happened."""
    client = await world.connect(world.caller)
    world.part.respond = answer_with(rows(b'{"rows":[],"next":null}'))
    assert (await client.call(world.query())).status == 200


# ---- answers that are none ----


async def hang_up(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Close the connection without a word."""
    writer.transport.abort()


async def break_off(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Close the connection in the middle of a small answer."""
    writer.write(http(200, b"half", length=100))
    await writer.drain()
    writer.transport.abort()


GARBAGE = [
    b"SSH-2.0-OpenSSH_9.9\r\n",
    b"\x00\x01\x02\x03" * 100,
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 99 X\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 700 X\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 X\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
    b"HTTP/1.1 200 X\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 X\r\ncontent-length: -5\r\n\r\nhello",
    b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 X\r\ncontent-type: a\r\ncontent-type: b\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 X\r\ncontent-type: a\x01b\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 X\r\n" + b"x-padding: " + b"a" * (1 << 17) + b"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n" * 9,
    b"HTTP/1.1 204 X\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 X\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 304 X\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 X\r\ntransfer-encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * (1 << 16),
    b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: " + b"y" * (1 << 19),
    b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n1;x=" + b"y" * (1 << 19),
    b"HTTP/1.1 101 Switching\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
]


@with_owners
@pytest.mark.parametrize("data", GARBAGE)
async def test_garbage_is_the_owners_fault_and_says_so(world: World, data: bytes) -> None:
    owner = await serve(world)
    owner.respond = answer_with(data)
    client = await world.connect(world.caller)

    answer = await client.call(a_call(world))

    assert said(answer) == (502, "owner-unavailable", "malformed")
    record = world.evidence.calls()[-1]
    assert (record["decision"], record["reason"]) == ("allowed", "owner-unavailable")
    owner.respond = answer_with(http(200, b"{}"))
    assert (await client.call(a_call(world))).status == 200
    await others_go_on(world)


@with_owners
@pytest.mark.parametrize("way", [hang_up, break_off])
async def test_an_answer_that_breaks_off_is_refused(world: World, way: Any) -> None:
    owner = await serve(world)
    owner.respond = way
    client = await world.connect(world.caller)
    assert said(await client.call(a_call(world))) == (502, "owner-unavailable", "broken-off")
    assert world.path.in_hand == 0


@with_owners
async def test_a_second_answer_is_never_anothers(world: World) -> None:
    owner = await serve(world)
    owner.respond = answer_with(http(200, b"mine") + http(200, b"smuggled"))
    client = await world.connect(world.caller)
    assert (await client.call(a_call(world))).body == b"mine"
    owner.respond = answer_with(http(200, b"next"))
    assert (await client.call(a_call(world))).body == b"next"
    assert owner.connections == 2


# ---- too much ----


@with_owners
async def test_an_answer_that_announces_too_much_does_not_begin(world: World) -> None:
    owner = await serve(world)
    owner.respond = answer_with(http(200, b"x", length=(64 << 20) + 1))
    client = await world.connect(world.caller)
    answer = await client.call(a_call(world, ALL))
    assert (answer.status, answer.code) == (502, "answer-mismatch")
    assert orjson.loads(answer.body)["facts"]["limit"] == 64 << 20
    assert of_type(world, "opened") == []


@with_owners
async def test_an_answer_without_end_is_cut_at_64_mib(world: World) -> None:
    owner = await serve(world)

    async def endless(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"a" * 65536 + b"\r\n")
            await writer.drain()

    owner.respond = endless
    client = await world.connect(world.caller)
    await client.send(a_call(world, ALL))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await read_chunked(client, 60)
    await wait_until(lambda: bool(of_type(world, "closed")))
    [closed] = of_type(world, "closed")
    assert (closed["outcome"], closed["reason"]) == ("cut", "answer-mismatch")
    assert closed["answer_bytes"] <= 64 << 20
    await others_go_on(world)


@with_owners
async def test_a_service_that_closes_in_the_middle_of_a_large_answer_cuts_it(world: World) -> None:
    owner = await serve(world)

    async def half(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, b"a" * (1 << 20), length=2 << 20))
        await writer.drain()
        writer.close()

    owner.respond = half
    client = await world.connect(world.caller)
    await client.send(a_call(world, ALL))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.read()
    await wait_until(lambda: bool(of_type(world, "closed")))
    [closed] = of_type(world, "closed")
    assert (closed["outcome"], closed["reason"]) == ("cut", "owner-unavailable")


@with_owners
async def test_crumbs_go_on_together(world: World) -> None:
    """What a chunk costs is small; half a million of them, each passed on alone, are not."""
    owner = await serve(world)
    body = b"ab" * (1 << 18)
    owner.respond = answer_with(in_chunks(body, 1))
    client = await world.connect(world.caller)
    await client.send(a_call(world, ALL))
    head = await client.reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding: chunked" in head
    sent = b""
    async with asyncio.timeout(60):
        while not sent.endswith(b"0\r\n\r\n"):
            sent += await client.reader.read(1 << 20)
    assert len(sent) < 1.1 * len(body)
    await wait_until(lambda: bool(of_type(world, "closed")))
    [closed] = of_type(world, "closed")
    assert (closed["outcome"], closed["answer_bytes"]) == ("whole", len(body))
    assert f"Datong-Evidence: {closed['record']}".encode() in head


# ---- too slow ----


async def say_nothing(_part: FakePart, _asked: Asked, _writer: asyncio.StreamWriter) -> None:
    """Take the call and never answer."""
    await asyncio.sleep(60)


async def drip(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
    """Send one byte of a head now and then."""
    for byte in b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}":
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0.3)


@with_owners
@pytest.mark.parametrize("way", [say_nothing, drip])
async def test_a_service_that_is_too_slow_is_refused_with_504(world: World, way: Any) -> None:
    owner = await serve(world, seconds=1)
    owner.respond = way
    client = await world.connect(world.caller)
    assert said(await client.call(a_call(world))) == (504, "owner-unavailable", "too-slow")
    record = world.evidence.calls()[-1]
    assert (record["status"], record["reason"]) == (504, "owner-unavailable")


@with_owners
async def test_a_large_answer_that_stands_still_is_cut(world: World) -> None:
    owner = await serve(world, seconds=1)

    async def stop(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, b"a" * (1 << 20), length=2 << 20))
        await asyncio.sleep(60)

    owner.respond = stop
    client = await world.connect(world.caller)
    await client.send(a_call(world, ALL))
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.read(20)
    await wait_until(lambda: bool(of_type(world, "closed")))
    assert of_type(world, "closed")[-1]["reason"] == "owner-unavailable"


@with_owners
async def test_a_hasty_caller_is_told_so_and_does_not_spoil_the_service(world: World) -> None:
    owner = await serve(world)
    owner.respond = say_nothing
    client = await world.connect(world.caller)
    for _ in range(breakers.FAILURES + 1):
        answer = await client.call(a_call(world, fields=[("Datong-Timeout", "0.1")]))
        assert answer.code == "deadline-exceeded"
    owner.respond = answer_with(http(200, b"{}"))
    assert (await client.call(a_call(world))).status == 200


# ---- not who it should be ----


def other_ca(owner: Owner) -> dict[str, Any]:
    """Trust a CA that did not issue the certificate."""
    del owner
    return {"ca": Authority("Somebody's CA").pem}


def system_roots(owner: Owner) -> dict[str, Any]:
    """Trust what the system trusts."""
    del owner
    return {"ca": None}


def unreadable_ca(owner: Owner) -> dict[str, Any]:
    """Trust something that is no certificate."""
    del owner
    return {"ca": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}


def another_name(owner: Owner) -> dict[str, Any]:
    """Reach it by an address that its certificate does not name."""
    del owner
    return {"host": "127.0.0.1"}


@with_owners
@pytest.mark.parametrize("changed", [other_ca, system_roots, unreadable_ca, another_name])
async def test_a_certificate_that_is_not_the_services_is_not_trusted(
    world: World, changed: Callable[[Owner], dict[str, Any]]
) -> None:
    owner = owner_for(world)
    await serve(world, owner, **changed(owner))
    client = await world.connect(world.caller)
    answer = await client.call(a_call(world))
    assert said(answer) == (502, "owner-unavailable", "certificate")
    leaks_nothing(answer, world.table.entries[RESOURCE].service.port)  # type: ignore[union-attr]
    assert owner.asked == []


@with_owners
async def test_a_certificate_that_has_expired_is_not_trusted(world: World) -> None:
    await serve(world, owner_for(world, days=-1))
    client = await world.connect(world.caller)
    assert said(await client.call(a_call(world)))[2] == "certificate"


@with_owners
async def test_an_older_tls_is_not_spoken(world: World) -> None:
    owner = owner_for(world)
    owner.context.maximum_version = ssl.TLSVersion.TLSv1_2
    await serve(world, owner)
    client = await world.connect(world.caller)
    assert said(await client.call(a_call(world)))[:2] == (502, "owner-unavailable")
    assert owner.asked == []


@with_owners
async def test_a_service_without_tls_gets_nothing(world: World) -> None:
    heard: list[bytes] = []

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1 << 16))
        writer.write(http(200, b"{}"))
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    let_call(world, None, port)
    client = await world.connect(world.caller)
    assert said(await client.call(a_call(world)))[:2] == (502, "owner-unavailable")
    server.close()
    assert b"Datong" not in b"".join(heard)
    assert b"enterprises" not in b"".join(heard)


# ---- addresses ----


def leading_to(*answers: list[str]) -> Any:
    """Return a resolver that answers so, one after the other, and the last one for ever."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


INSIDE = [
    ["127.0.0.1"],
    ["::1"],
    ["10.0.0.8"],
    ["169.254.169.254"],
    ["fd00:ec2::254"],
    ["::ffff:127.0.0.1"],
    ["8.8.8.8", "127.0.0.1"],
]


@pytest.mark.parametrize("addresses", INSIDE)
def test_a_name_that_leads_inside_is_not_followed(tmp_path: Any, addresses: list[str]) -> None:
    @with_world(resolve_owner=leading_to(addresses))
    async def look(world: World) -> None:
        owner = await serve(world)
        client = await world.connect(world.caller)
        answer = await client.call(a_call(world))
        assert said(answer) == (502, "owner-unavailable", "address")
        for address in addresses:
            assert address.encode() not in answer.body
        assert (owner.connections, owner.asked) == (0, [])

    look(tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_an_address_inside_is_refused_by_default(tmp_path: Any, host: str) -> None:
    @with_world()
    async def look(world: World) -> None:
        owner = await serve(world, host=host)
        client = await world.connect(world.caller)
        assert said(await client.call(a_call(world)))[2] == "address"
        assert owner.connections == 0

    look(tmp_path)


def test_a_name_is_looked_at_again_each_time_that_it_is_connected_to(tmp_path: Any) -> None:
    """A name that first leads to a public address and then inside is caught by what is used."""

    # The address that was looked at is the one that is connected to: here it stands for public.
    @with_world(
        resolve_owner=leading_to(["127.0.0.2"], ["127.0.0.1"]),
        allow_address=lambda address: address == "127.0.0.2",
    )
    async def look(world: World) -> None:
        owner = owner_for(world)
        owner.host = "127.0.0.2"
        await serve(world, owner)
        client = await world.connect(world.caller)
        assert (await client.call(a_call(world))).status == 200
        owner.cut()
        await asyncio.sleep(0.05)
        assert said(await client.call(a_call(world)))[2] == "address"
        assert owner.connections == 1

    look(tmp_path)


def test_a_name_server_that_does_not_answer_is_asked_once(tmp_path: Any) -> None:
    answered = asyncio.Event()
    asked: list[str] = []

    async def wait(host: str, _port: int) -> list[str]:
        asked.append(host)
        await answered.wait()
        return ["127.0.0.1"]

    @with_world(resolve_owner=wait, allow_private_owners=True)
    async def look(world: World) -> None:
        await serve(world)
        clients = [await world.connect(world.caller) for _ in range(5)]
        for client in clients:
            await client.send(a_call(world))
        await wait_until(lambda: world.path.in_hand == 5)
        answered.set()
        assert [(await client.read()).status for client in clients] == [200] * 5
        assert asked == ["localhost"]

    look(tmp_path)


# ---- what it must not say ----

FORGED = [
    ("Datong-Internal-Reason", "grant-suspended"),
    ("Datong-Internal-Digest", "00" * 32),
    ("Datong-Internal-Enforced", "019aa450-0000-7000-8000-000000000066@9"),
    ("Datong-Internal-Rows", "1000000"),
    ("Datong-Internal-Items", "code,name"),
    ("Datong-Internal-Certificate", "AAAA"),
    ("Datong-Revision", "sharing.grant/x@99999"),
    ("Datong-Evidence", "019aa450-0000-7000-8000-0000000000ff"),
    ("Datong-Salt", "A" * 43),
    ("Datong-Call", "019aa450-0000-7000-8000-0000000000fe"),
    ("Datong-Owner", "tax-bureau"),
    ("Set-Cookie", "session=stolen"),
    ("WWW-Authenticate", 'Bearer realm="elsewhere"'),
    ("Strict-Transport-Security", "max-age=0"),
    ("Link", "<https://elsewhere.example>; rel=next"),
    ("Cache-Control", "public, max-age=31536000"),
    ("Server", "secret/1.0"),
    ("Keep-Alive", "timeout=5"),
    ("Location", "https://10.0.0.8/steal"),
    ("X-Anything", "else"),
]


@with_owners
@pytest.mark.parametrize("large", [False, True])
async def test_forged_headers_of_an_answer_are_dropped(world: World, large: bool) -> None:
    owner = await serve(world)
    body = b"a" * (1 << 20) if large else b"{}"
    owner.respond = answer_with(http(200, body, FORGED))
    client = await world.connect(world.caller)

    answer = await client.call(a_call(world))

    assert answer.body == body
    assert set(answer.headers) == {
        "cache-control",
        "datong-evidence",
        "datong-salt",
        "datong-call",
        "datong-owner",
        "date",
        "content-length",
    }
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["datong-owner"] == "market-regulator"
    await wait_until(lambda: not large or bool(of_type(world, "closed")))
    record = of_type(world, "closed")[-1] if large else world.evidence.calls()[-1]
    assert record["record"] == answer.headers["datong-evidence"] != FORGED[7][1]
    assert record["grant_version"] == 2
    assert not {"rows", "items", "reason"} & set(record)


@with_owners
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 300, 305])
async def test_redirects_are_neither_followed_nor_passed_on(world: World, status: int) -> None:
    owner = await serve(world)
    where = [("Location", "https://169.254.169.254/latest/meta-data")]
    owner.respond = answer_with(http(status, b"gone", where))
    client = await world.connect(world.caller)
    for _ in range(breakers.FAILURES + 1):
        answer = await client.call(a_call(world))
        assert said(answer) == (502, "owner-unavailable", "redirect")
        assert b"169.254" not in answer.body
        assert "location" not in answer.headers


@with_owners
@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/notices/17", f"/call/{RESOURCE}/notices/17"),
        ("/notices?id=17", f"/call/{RESOURCE}/notices?id=17"),
        ("https://localhost:{port}/notices/17", f"/call/{RESOURCE}/notices/17"),
        ("https://localhost:{port}.evil.example/notices/17", None),
        ("https://localhost:{port}@evil.example/", None),
        ("//evil.example/notices", None),
        ("http://localhost/notices", None),
        ("/\\evil.example", None),
        ("notices/17", None),
        ("javascript:alert(1)", None),
    ],
)
async def test_a_location_inside_the_service_leads_through_the_gateway(
    world: World, location: str, seen: str | None
) -> None:
    owner = await serve(world)
    port = world.table.entries[RESOURCE].service.port  # type: ignore[union-attr]
    owner.respond = answer_with(http(201, b"", [("Location", location.format(port=port))]))
    client = await world.connect(world.caller)
    answer = await client.call(
        a_call(world, f"/call/{RESOURCE}/notices", method="POST", body=b"{}")
    )
    assert (answer.status, answer.headers.get("location")) == (201, seen)


# ---- the breaker ----


@with_world(allow_private_owners=True, owner_rest=1.0)
async def test_a_service_that_is_down_is_left_alone_and_comes_back(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    assert (await client.call(a_call(world))).status == 200
    port = world.table.entries[RESOURCE].service.port  # type: ignore[union-attr]
    await owner.stop()
    causes = [said(await client.call(a_call(world)))[2] for _ in range(breakers.FAILURES)]
    assert set(causes) <= {"unreachable", "broken-off"}

    answer = await client.call(a_call(world))
    assert said(answer) == (502, "owner-unavailable", "circuit-open")
    facts = orjson.loads(answer.body)["facts"]
    assert (facts["owner"], facts["resource"]) == ("market-regulator", RESOURCE)
    assert facts["seconds"] >= 1
    leaks_nothing(answer, port)
    assert world.evidence.calls()[-1]["reason"] == "owner-unavailable"
    await others_go_on(world)

    again = owner_for(world)
    await serve(world, again)
    let_call(world, owner.authority.pem, port)  # the one that is down
    [pool] = [pool for pool in world.path.owners if pool.circuits_open]
    tried = pool.refused
    await _rested(pool)
    assert said(await client.call(a_call(world)))[2] == "unreachable"  # one may try
    assert pool.refused == tried + 1
    assert said(await client.call(a_call(world)))[2] == "circuit-open"

    await _back_at(owner, port)
    await _rested(pool)
    for _ in range(3):
        assert (await client.call(a_call(world))).status == 200
    assert pool.circuits_open == 0


@with_world(allow_private_owners=True, owner_rest=2.0)
async def test_one_call_tries_while_the_others_wait_for_what_comes_of_it(world: World) -> None:
    owner = await serve(world)
    owner.respond = hang_up
    clients = [await world.connect(world.caller) for _ in range(4)]
    for _ in range(breakers.FAILURES):
        await clients[0].call(a_call(world))
    [pool] = world.path.owners
    await _rested(pool)
    go = asyncio.Event()

    async def wait(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        await go.wait()
        writer.write(http(200, b"{}"))

    owner.respond = wait
    asked = len(owner.asked)
    await clients[0].send(a_call(world))
    await wait_until(lambda: len(owner.asked) == asked + 1)
    for client in clients[1:]:
        assert said(await client.call(a_call(world)))[2] == "circuit-open"
    go.set()
    assert (await clients[0].read()).status == 200
    assert (await clients[1].call(a_call(world))).status == 200
    assert len(owner.asked) == asked + 2


@with_world(allow_private_owners=True, owner_rest=0.1)
async def test_a_call_that_tries_and_is_given_up_lets_another_try(world: World) -> None:
    owner = await serve(world)
    owner.respond = hang_up
    client = await world.connect(world.caller)
    for _ in range(breakers.FAILURES):
        await client.call(a_call(world))
    [pool] = world.path.owners
    await _rested(pool)
    owner.respond = say_nothing
    await client.send(a_call(world))
    await wait_until(lambda: world.path.in_hand == 1)
    client.close()
    await wait_until(lambda: world.path.in_hand == 0)
    owner.respond = answer_with(http(200, b"{}"))
    other = await world.connect(world.caller)
    assert (await other.call(a_call(world))).status == 200


@with_owners
async def test_an_operation_that_fails_closes_no_other(world: World) -> None:
    """Whoever may call nothing else cannot keep it from those who may."""
    owner = await serve(world)
    owner.respond = hang_up
    client = await world.connect(world.caller)
    for _ in range(breakers.FAILURES):
        assert said(await client.call(a_call(world)))[2] == "broken-off"
    assert said(await client.call(a_call(world)))[2] == "circuit-open"

    owner.respond = answer_with(http(200, b"[]"))
    assert (await client.call(a_call(world, f"/call/{RESOURCE}/enterprises"))).status == 200
    assert said(await client.call(a_call(world)))[2] == "circuit-open"


@with_world(allow_private_owners=True, owner_rest=0.1)
async def test_a_caller_who_reads_slowly_closes_the_breaker_all_the_same(world: World) -> None:
    owner = await serve(world)
    owner.respond = hang_up
    slow, other = [await world.connect(world.caller) for _ in range(2)]
    for _ in range(breakers.FAILURES):
        await slow.call(a_call(world))
    [pool] = world.path.owners
    await _rested(pool)
    owner.respond = answer_with(http(200, bytes(32 << 20)))
    slow.writer.transport.pause_reading()
    await slow.send(a_call(world))
    await wait_until(lambda: bool(of_type(world, "opened")))

    owner.respond = answer_with(http(200, b"{}"))
    for _ in range(3):
        assert (await other.call(a_call(world))).status == 200
    assert of_type(world, "closed") == []


@with_world(allow_private_owners=True, owner_connections=1)
async def test_a_call_that_found_no_connection_says_nothing_against_the_service(
    world: World,
) -> None:
    owner = await serve(world, seconds=1)
    owner.respond = answer_with(http(200, bytes(32 << 20)))
    slow = await world.connect(world.caller)
    slow.writer.transport.pause_reading()
    await slow.send(a_call(world))
    await wait_until(lambda: bool(of_type(world, "opened")))
    credentials = let_another_call(world)
    other = await world.connect(credentials)
    token = world.token(credentials, sub=f"system/{OTHER_SYSTEM}")
    answer = await other.call(a_call(world, token=token))
    assert answer.code == "overloaded"
    assert world.evidence.calls()[-1]["caller"] == f"system/{OTHER_SYSTEM}"


@with_owners
async def test_another_owner_who_names_the_same_address_spoils_nothing(world: World) -> None:
    owner = await serve(world)
    owner.respond = hang_up
    client = await world.connect(world.caller)
    for _ in range(breakers.FAILURES):
        await client.call(a_call(world))
    assert said(await client.call(a_call(world)))[2] == "circuit-open"

    entry = world.table.entries[RESOURCE]
    world.table.entries[RESOURCE] = replace(entry, agency="tax-bureau")
    owner.respond = answer_with(http(200, b"{}"))
    assert (await client.call(a_call(world))).status == 200


@with_world(allow_private_owners=True, owner_connections=4, slow_calls=2)
async def test_one_caller_cannot_take_all_connections_to_a_service(world: World) -> None:
    owner = await serve(world)
    owner.respond = say_nothing
    clients: list[Client] = [await world.connect(world.caller) for _ in range(3)]
    for client in clients[:2]:
        await client.send(a_call(world))
    await wait_until(lambda: len(owner.asked) == 2)
    assert (await clients[2].call(a_call(world))).code == "overloaded"
    await others_go_on(world)


async def _rested(pool: OwnerPool) -> None:
    """Wait until a call may try the operation that all these tests call."""
    breaker = pool.breaker(f"{RESOURCE}/read-enterprise")
    await wait_until(lambda: breaker.seconds_left(time.monotonic()) == 0)


async def _back_at(owner: Owner, port: int) -> None:
    """Start a service again where it was."""
    assert owner.port == port
    await owner.start()


@with_owners
async def test_a_small_answer_in_chunks_is_recorded_whole(world: World) -> None:
    owner = await serve(world)
    owner.respond = answer_with(in_chunks(b"hello", 2))
    client = await world.connect(world.caller)
    answer = await client.call(a_call(world))
    assert (answer.body, answer.headers["content-length"]) == (b"hello", "5")
    assert world.evidence.calls()[-1]["answer_bytes"] == 5
