"""Calls that repeat a head are decided, recorded and refused like all others."""

from dataclasses import replace
from typing import cast

from gateway.listener.connection import ClientConnection
from kit.ids import uuid7
from tests.support.data_path import World, answer_with, http, rows, with_world
from tests.support.permissions import GRANT


@with_world()
async def test_each_repeated_call_is_passed_on_with_its_own_body_and_id(world: World) -> None:
    client = await world.connect(world.caller)
    token = world.token()
    for number in range(6):
        body = b'{"number":%d}' % 10**number
        call = uuid7()
        answer = await client.call(world.query(body, token=token, headers=[("Datong-Call", call)]))
        asked, record = world.part.asked[-1], world.evidence.calls()[-1]
        assert asked.body == body
        assert asked.header("Datong-Call") == record["call"] == call
        assert asked.header("Datong-Internal-Record") == answer.headers["datong-evidence"]
        assert asked.header("Datong-Internal-Grant") == f"{GRANT}@2"
        assert record["request_bytes"] == len(body)
        assert record["grant"] == GRANT
    assert len(world.evidence.calls()) == 6
    assert len({record["record"] for record in world.evidence.calls()}) == 6


@with_world()
async def test_a_repeated_head_keeps_its_decision_though_another_decided_first(
    world: World,
) -> None:
    world.table.settled = 1
    client = await world.connect(world.caller)
    token = world.token()
    for _ in range(3):
        assert (await client.call(world.query(token=token))).status == 200
    [connection] = cast(set[ClientConnection], world.path.connections)
    repeat = connection._repeat
    assert repeat is not None
    assert repeat.question is not None
    assert repeat.frame is not None
    assert repeat.about["grant"] == GRANT
    about = repeat.about
    assert (await client.call(world.query(token=token))).status == 200
    assert repeat.about is about


@with_world()
async def test_a_change_of_permissions_is_felt_by_the_next_repeated_call(world: World) -> None:
    client = await world.connect(world.caller)
    token = world.token()
    for _ in range(3):
        assert (await client.call(world.query(token=token))).status == 200
    grant = world.table.grants[GRANT]
    world.table.grants[GRANT] = replace(grant, state="suspended", version=3)
    assert (await client.call(world.query(token=token))).code == "grant-suspended"
    assert world.evidence.calls()[-1]["grant_version"] == 3
    world.table.grants[GRANT] = replace(grant, version=4)
    assert (await client.call(world.query(token=token))).status == 200
    assert world.evidence.calls()[-1]["grant_version"] == 4


@with_world()
async def test_a_retired_key_is_felt_by_the_next_repeated_call(world: World) -> None:
    client = await world.connect(world.caller)
    token = world.token()
    for _ in range(3):
        assert (await client.call(world.query(token=token))).status == 200
    world.keys.clear()
    assert (await client.call(world.query(token=token))).code == "token-invalid"


@with_world()
async def test_two_heads_received_at_once_are_never_taken_for_each_other(world: World) -> None:
    world.part.respond = answer_with(rows(b"{}"))
    client = await world.connect(world.caller)
    token = world.token()
    good = world.query(b"{}", token=token)
    bad = world.query(b"{}", token=token, purpose="marketing")
    for _ in range(3):
        await client.send(bad + good)
        assert (await client.read()).status == 403
        assert (await client.read()).status == 200
    assert (await client.call(bad)).status == 403
    assert (await client.call(good)).status == 200
    await client.send(good + bad + good)
    assert [(await client.read()).status for _ in range(3)] == [200, 403, 200]


@with_world()
async def test_a_repeated_head_with_more_behind_it_is_parsed(world: World) -> None:
    world.part.respond = answer_with(http(200, b"{}"))
    client = await world.connect()
    plain = b"GET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(3):
        assert (await client.call(plain)).status == 200
    await client.send(plain + b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n" + plain)
    assert [(await client.read()).status for _ in range(3)] == [200, 404, 200]
    await client.send(plain[:20])
    await client.send(plain[20:])
    assert (await client.read()).status == 200
