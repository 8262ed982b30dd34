"""Calls of one connection that differ in their paths are decided once, until anything changes."""

from kit.ids import uuid7
from tests.support.data_path import World, with_world
from tests.support.owners import CALL_GRANT, CODE, READ, RESOURCE, a_call, of_type, serve, suspend
from tests.support.permissions import GRANT

OTHER = f"/call/{RESOURCE}/enterprises/{CODE[::-1]}"
with_owners = with_world(allow_private_owners=True)


@with_owners
async def test_a_call_like_the_last_one_is_decided_when_something_has_changed(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    world.table.settled = 1
    good = a_call(world, READ)
    other = good.replace(READ.encode(), OTHER.encode())
    assert (await client.call(good)).status == 200
    suspend(world)
    assert (await client.call(other)).status == 200, "looked at, though no change was told"
    world.table.settled = 2
    assert (await client.call(other)).code == "grant-suspended"
    assert world.evidence.calls()[-1]["grant_version"] == 3


@with_owners
async def test_calls_that_are_alike_have_records_of_their_own(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    world.table.settled = 1
    calls, cases = [uuid7() for _ in range(4)], ["a-1", "a-1", "b-2", None]
    good = a_call(world, READ)
    for call, case, path in zip(calls, cases, (READ, OTHER, READ, OTHER), strict=True):
        fields = f"\r\nDatong-Call: {call}" + (f"\r\nDatong-Case: {case}" if case else "")
        alike = good.replace(READ.encode(), path.encode())
        alike = alike.replace(b"\r\nDatong-Purpose", fields.encode() + b"\r\nDatong-Purpose")
        assert (await client.call(alike)).status == 200
    records = of_type(world, "call")
    assert [record["call"] for record in records] == calls
    assert [record.get("case") for record in records] == cases
    assert len({record["record"] for record in records}) == 4
    assert {record["grant"] for record in records} == {CALL_GRANT}
    assert {record["operation"] for record in records} == {"read-enterprise"}


@with_owners
async def test_a_decision_is_not_carried_over_to_what_differs(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    world.table.settled = 1
    good = a_call(world, READ)
    refused = {
        "operation-not-granted": good.replace(b"GET", b"DELETE"),
        "purpose-not-granted": good.replace(b"public-health", b"marketing"),
        "grant-missing": good.replace(
            b"\r\n\r\n", b"\r\nDatong-Grant: %b\r\n\r\n" % GRANT.encode()
        ),
        "token-invalid": good.replace(b"Bearer ", b"Bearer x"),
    }
    for code, call in refused.items():
        assert (await client.call(good)).status == 200
        assert (await client.call(call)).code == code


@with_owners
async def test_a_retired_key_is_felt_by_the_next_call_that_is_alike(world: World) -> None:
    await serve(world)
    client = await world.connect(world.caller)
    world.table.settled = 1
    good = a_call(world, READ)
    assert (await client.call(good)).status == 200
    world.keys.clear()
    assert (await client.call(good)).code == "token-invalid"
