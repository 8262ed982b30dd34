"""Calls to an owner's own service: what goes out, what comes back, what is on record."""

import asyncio
import random
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256

import pytest

from kit.ids import uuid7
from tests.support.data_path import Asked, FakePart, World, answer_with, http, with_world
from tests.support.owners import (
    CALL_GRANT,
    CODE,
    ENTRY,
    READ,
    RESOURCE,
    a_call,
    in_chunks,
    of_type,
    read_chunked,
    salted,
    serve,
    suspend,
)
from tests.support.permissions import SYSTEM
from tests.support.processes import wait_until

LARGE = random.Random(5).randbytes(3 << 20)
with_owners = with_world(allow_private_owners=True)


# ---- there and back ----


@with_owners
async def test_a_service_sees_who_calls_and_why_and_nothing_of_the_platform(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    call = uuid7()
    fields = [
        ("Accept", "application/json"),
        ("Datong-Case", "卫健〔2026〕7号".encode().decode("latin-1")),
        ("Datong-Call", call),
        ("Datong-Grant", CALL_GRANT),
        ("Datong-Timeout", "9"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Cookie", "a=b"),
        ("Datong-Agency", "tax-bureau"),
        ("Datong-Internal-Grant", "forged@1"),
    ]
    sent = a_call(world, f"{READ}?with=branches&q=%E7%94%B2", fields)
    answer = await client.call(sent.decode().encode("latin-1"))

    assert (answer.status, answer.body) == (200, b"{}")
    [asked] = owner.asked
    assert asked.line == f"GET /enterprises/{CODE}?with=branches&q=%E7%94%B2 HTTP/1.1"
    headers = dict(asked.headers)
    assert len(headers) == len(asked.headers)
    assert headers.pop("Host").startswith("localhost:")
    assert headers.pop("Datong-Case").encode("latin-1").decode() == "卫健〔2026〕7号"
    assert headers == {
        "Accept": "application/json",
        "Datong-Purpose": "public-health",
        "Datong-Call": call,
        "Datong-Agency": "health-commission",
        "Datong-System": SYSTEM,
        "Datong-Grant": f"{CALL_GRANT}@2",
    }


@with_owners
async def test_the_record_names_the_operation_and_what_passed(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    for _ in range(3):
        answer = await client.call(a_call(world))

    record = world.evidence.calls()[-1]
    assert (record["route"], record["mode"], record["operation"]) == (
        "call_get",
        "call",
        "read-enterprise",
    )
    assert (record["entry"], record["grant"], record["owner_agency"]) == (
        ENTRY,
        CALL_GRANT,
        "market-regulator",
    )
    assert (record["decision"], record["status"], record["answer_bytes"]) == ("allowed", 200, 2)
    assert record["record"] == answer.headers["datong-evidence"]
    assert record["answer_digest"] == salted(answer.headers["datong-salt"], b"{}")
    assert "rows" not in record
    assert of_type(world, "opened") == []


@with_owners
async def test_connections_to_a_service_are_used_again(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    for _ in range(5):
        assert (await client.call(a_call(world))).status == 200
    assert owner.connections == 1


@with_owners
async def test_an_idle_connection_that_the_service_closed_is_not_missed(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    assert (await client.call(a_call(world))).status == 200
    owner.cut()
    assert (await client.call(a_call(world))).status == 200
    assert owner.connections == 2


@with_owners
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_bodies_go_on_byte_for_byte(world: World, framing: str) -> None:
    owner = await serve(world)
    owner.respond = answer_with(http(201, b"filed", [("location", "/notices/17")]))
    client = await world.connect(world.caller)
    body = b"" if framing == "none" else LARGE
    fields = [("Content-Type", "application/octet-stream")]
    sent = a_call(world, f"/call/{RESOURCE}/notices", fields, method="POST", body=body)
    if framing == "chunked":
        head, _, _ = sent.partition(b"\r\n\r\n")
        head = head.replace(b"Content-Length: %d" % len(body), b"Transfer-Encoding: chunked")
        sent = head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    answer = await client.call(sent)

    assert (answer.status, answer.body) == (201, b"filed")
    assert answer.headers["location"] == f"/call/{RESOURCE}/notices/17"
    [asked] = owner.asked
    assert (asked.line, asked.body) == ("POST /notices HTTP/1.1", body)
    assert asked.header("Content-Type") == "application/octet-stream"
    [record] = world.evidence.calls()
    assert record["request_bytes"] == len(body)
    assert record["request_digest"] == salted(answer.headers["datong-salt"], body)


@with_owners
async def test_statuses_of_the_service_are_its_own(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    for status in (204, 304, 400, 401, 403, 404, 409, 418, 500, 503):
        body = b"" if status in (204, 304) else b"said"
        owner.respond = answer_with(http(status, body))
        answer = await client.call(a_call(world))
        assert (answer.status, answer.body) == (status, body)
        assert "reason" not in world.evidence.calls()[-1]
    assert owner.connections == 1


# ---- operations ----


@with_owners
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/enterprises/"),
        ("GET", f"/enterprises/{CODE}/"),
        ("GET", f"/enterprises/{CODE}/owners"),
        ("GET", f"/Enterprises/{CODE}"),
        ("POST", f"/enterprises/{CODE}"),
        ("PUT", "/notices"),
        ("PATCH", "/notices"),
        ("GET", "/exports/al"),
        ("GET", "/exports"),
    ],
)
async def test_what_fits_no_operation_is_not_granted(world: World, method: str, path: str) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    refused = await client.call(a_call(world, f"/call/{RESOURCE}{path}", method=method))
    if path == "/":
        assert refused.code == "route-unknown"
    else:
        assert refused.code == "operation-not-granted"
        assert b'"granted":["file-notice","find-enterprises","list-all"' in refused.body
        record = world.evidence.calls()[-1]
        assert (record["decision"], record["reason"]) == ("denied", "operation-not-granted")
        assert "operation" not in record
    assert owner.asked == []


@with_owners
async def test_an_operation_that_is_not_granted_is_named(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    refused = await client.call(a_call(world, method="DELETE"))
    assert refused.code == "operation-not-granted"
    assert b'"operation":"strike-off"' in refused.body
    assert world.evidence.calls()[-1]["operation"] == "strike-off"
    assert owner.asked == []


@with_owners
@pytest.mark.parametrize(
    "path",
    ["/enterprises/..", "/enterprises/%2e%2e", "/enterprises%2f9", "//enterprises",
     "/./exports/all", "/enterprises/9;a=b", "/enterprises\\9"],
)  # fmt: skip
async def test_what_two_readers_could_read_differently_goes_no_further(
    world: World, path: str
) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    assert (await client.call(a_call(world, f"/call/{RESOURCE}{path}"))).code == "call-malformed"
    assert owner.asked == []


@with_owners
async def test_hosted_data_cannot_be_called_and_a_service_cannot_be_queried(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    called = await client.call(a_call(world, "/call/xzqh-divisions/enterprises"))
    queried = await client.call(world.query(resource=RESOURCE))
    assert (called.code, queried.code) == ("mode-not-granted", "mode-not-granted")


@with_owners
async def test_an_entry_that_lost_its_service_has_no_operation(world: World) -> None:
    owner = await serve(world)
    entry = world.table.entries[RESOURCE]
    world.table.entries[RESOURCE] = replace(entry, service=None, version=2)
    client = await world.connect(world.caller)
    assert (await client.call(a_call(world))).code == "operation-not-granted"
    assert owner.asked == []


# ---- between two records ----


@with_owners
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_large_answer_streams_between_two_records(world: World, chunked: bool) -> None:
    owner = await serve(world)
    said = in_chunks(LARGE) if chunked else http(200, LARGE)
    owner.respond = answer_with(said)
    client = await world.connect(world.caller)
    for _ in range(2):
        await client.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
        answer = await (read_chunked(client) if chunked else client.read())
        assert answer.body == LARGE
    await wait_until(lambda: len(of_type(world, "closed")) == 2)

    opened, closed = of_type(world, "opened")[-1], of_type(world, "closed")[-1]
    assert world.evidence.calls() == []
    assert world.evidence.withheld() == []
    assert closed["record"] == answer.headers["datong-evidence"] == opened["closing"]
    assert closed["of"] == opened["record"]
    assert closed["call"] == opened["call"] == answer.headers["datong-call"]
    assert (closed["outcome"], closed["answer_bytes"]) == ("whole", len(LARGE))
    assert closed["answer_digest"] == salted(answer.headers["datong-salt"], LARGE)
    assert closed["request_digest"] == salted(answer.headers["datong-salt"], b"")
    assert opened["sequence"] < closed["sequence"]
    for record in (opened, closed):
        assert (record["operation"], record["grant"]) == ("list-all", CALL_GRANT)
        assert (record["decision"], record["status"]) == ("allowed", 200)
        assert "reason" not in record
    assert "answer_digest" not in opened
    assert owner.connections == 1


@with_owners
async def test_256_kib_are_one_record_and_one_byte_more_are_two(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    for size, opened in ((1 << 18, 0), ((1 << 18) + 1, 1)):
        for said in (http(200, LARGE[:size]), in_chunks(LARGE[:size], 40_000)):
            owner.respond = answer_with(said)
            await client.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
            is_chunked = said.startswith(b"HTTP/1.1 200 X\r\ntransfer") and opened
            answer = await (read_chunked(client) if is_chunked else client.read())
            assert answer.body == LARGE[:size]
    await wait_until(lambda: len(of_type(world, "closed")) == 2)
    assert len(world.evidence.calls()) == 2
    assert len(of_type(world, "opened")) == 2


@with_owners
async def test_a_caller_that_stops_reading_holds_the_service_back(world: World) -> None:
    owner = await serve(world)
    sent = 0

    async def endless(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % (16 * len(LARGE)))
        for _ in range(16):
            for at in range(0, len(LARGE), 1 << 16):
                writer.write(LARGE[at : at + (1 << 16)])
                await writer.drain()
                sent += 1 << 16

    owner.respond = endless
    stuck = await world.connect(world.caller)
    stuck.writer.transport.pause_reading()
    await stuck.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
    await wait_until(lambda: sent > 0)
    seen = -1
    while seen != sent:
        seen = sent
        await asyncio.sleep(0.3)
    assert sent < 16 * len(LARGE)

    owner.respond = answer_with(http(200, b"{}"))
    other = await world.connect(world.caller)
    assert (await other.call(a_call(world))).status == 200

    stuck.writer.transport.resume_reading()
    answer = await stuck.read(60)
    assert sha256(answer.body).digest() == sha256(LARGE * 16).digest()
    await wait_until(lambda: world.path.in_hand == 0)
    assert of_type(world, "closed")[-1]["outcome"] == "whole"


def drips(body: bytes, pause: float, *, length: int | None = None) -> object:
    """Return a way to answer slowly, in pieces of 64 KiB."""

    async def respond(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n" % (length or len(body)))
        for at in range(0, len(body), 1 << 16):
            writer.write(body[at : at + (1 << 16)])
            await writer.drain()
            await asyncio.sleep(pause)

    return respond


@with_owners
async def test_an_answer_is_cut_in_the_middle_when_its_grant_is_suspended(world: World) -> None:
    owner = await serve(world)
    owner.respond = drips(LARGE, 0.05)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    await client.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
    head = await client.reader.readuntil(b"\r\n\r\n")
    await client.reader.readexactly(1 << 16)
    suspend(world)
    with pytest.raises(asyncio.IncompleteReadError) as broken:
        await client.reader.readexactly(len(LARGE))
    await wait_until(lambda: bool(of_type(world, "closed")))

    [closed] = of_type(world, "closed")
    assert (closed["outcome"], closed["reason"]) == ("cut", "grant-suspended")
    got = (1 << 16) + len(broken.value.partial)
    assert got <= closed["answer_bytes"] < len(LARGE)
    salt = head.decode().split("Datong-Salt: ")[1][:43]
    assert closed["answer_digest"] == salted(salt, LARGE[: closed["answer_bytes"]])
    assert world.path.in_hand == 0


@with_owners
@pytest.mark.parametrize("large", [False, True])
async def test_a_revocation_while_the_service_works_keeps_its_answer_back(
    world: World, large: bool
) -> None:
    owner = await serve(world)

    async def suspend_first(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        suspend(world)
        writer.write(http(200, LARGE if large else b"secret"))

    owner.respond = suspend_first
    client = await world.connect(world.caller)
    answer = await client.call(a_call(world))
    assert answer.code == "grant-suspended"
    [record] = world.evidence.calls()
    assert (record["decision"], record["reason"]) == ("denied", "grant-suspended")
    assert of_type(world, "opened") == of_type(world, "closed") == []


@with_owners
async def test_what_was_done_is_not_put_on_record_as_denied(world: World) -> None:
    owner = await serve(world)

    async def suspend_first(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        suspend(world)
        writer.write(http(201, b"filed under 17"))

    owner.respond = suspend_first
    client = await world.connect(world.caller)
    filed = a_call(world, f"/call/{RESOURCE}/notices", method="POST", body=b"{}")
    assert (await client.call(filed)).code == "grant-suspended"
    assert (await client.call(filed)).code == "grant-suspended"
    assert len(owner.asked) == 1
    done, refused = world.evidence.calls()
    assert (done["decision"], done["reason"]) == ("allowed", "grant-suspended")
    assert (refused["decision"], refused["reason"]) == ("denied", "grant-suspended")


@with_owners
async def test_a_caller_who_goes_away_closes_the_answer_as_cut(world: World) -> None:
    owner = await serve(world)
    owner.respond = drips(LARGE, 0.05)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    await client.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
    await client.reader.readexactly(1 << 16)
    client.close()
    await wait_until(lambda: bool(of_type(world, "closed")))
    [closed] = of_type(world, "closed")
    assert closed["outcome"] == "cut"
    assert "reason" not in closed
    assert 0 < closed["answer_bytes"] < len(LARGE)
    await wait_until(lambda: world.path.in_hand == 0)


@with_owners
async def test_a_worker_that_stops_closes_what_it_opened(world: World) -> None:
    owner = await serve(world)
    owner.respond = drips(LARGE, 1.0)  # type: ignore[assignment]
    client = await world.connect(world.caller)
    await client.send(a_call(world, f"/call/{RESOURCE}/exports/all"))
    await client.reader.readexactly(1 << 16)
    for connection in tuple(world.path.connections):
        connection.abort()
    await wait_until(lambda: bool(of_type(world, "closed")))
    await world.evidence.stop()
    assert [record["type"] for record in world.evidence.records[-2:]] == ["closed", "end"]


@with_owners
async def test_a_large_answer_without_evidence_does_not_begin(world: World) -> None:
    owner = await serve(world)

    async def fill_first(_part: FakePart, _asked: Asked, writer: asyncio.StreamWriter) -> None:
        world.evidence._used = world.evidence._limit
        writer.write(http(200, LARGE))

    owner.respond = fill_first
    client = await world.connect(world.caller)
    answer = await client.call(a_call(world))
    assert answer.code == "evidence-unavailable"
    assert of_type(world, "closed") == []
    assert world.path.in_hand == 0
    world.evidence._used = 0


@with_owners
async def test_a_digest_that_the_service_states_must_fit(world: World) -> None:
    owner = await serve(world)
    client = await world.connect(world.caller)
    right = ("content-digest", f"sha-256=:{b64encode(sha256(LARGE).digest()).decode()}:")
    wrong = ("content-digest", f"sha-256=:{b64encode(sha256(b'x').digest()).decode()}:")
    owner.respond = answer_with(http(200, b"body", [wrong]))
    assert (await client.call(a_call(world))).code == "answer-mismatch"

    owner.respond = answer_with(http(200, LARGE, [right]))
    answer = await client.call(a_call(world))
    assert (answer.body, answer.headers["content-digest"]) == (LARGE, right[1])

    owner.respond = answer_with(http(200, LARGE, [wrong]))
    await client.send(a_call(world))
    with pytest.raises(asyncio.IncompleteReadError):
        await client.read()
    await wait_until(lambda: len(of_type(world, "closed")) == 2)
    closed = of_type(world, "closed")[-1]
    assert (closed["outcome"], closed["reason"]) == ("cut", "answer-mismatch")
    assert closed["answer_bytes"] < len(LARGE)
