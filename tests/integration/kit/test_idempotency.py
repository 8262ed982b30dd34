"""The same call twice has one effect and one answer."""

import asyncio

import pytest

from kit.db import Db
from kit.idempotency import Key, KeyReused, remember, replay
from tests.integration.kit.conftest import Part

KEY = Key("/sharing/v1/requests", "k1", "f1")


async def _call(db: Db, caller: str, key: Key, answer: object) -> object:
    """Act once: the first call claims, acts and remembers; others get what it answered."""
    async with db.begin() as tx:
        before = await replay(tx, caller, key)
        if before is not None:
            return before
        await remember(tx, caller, key, 201, answer)
        return 201, answer


async def test_a_repeated_call_gets_the_first_answer(part: Part) -> None:
    first = await _call(part.db, "person/1", KEY, {"id": "a"})

    assert await _call(part.db, "person/1", KEY, {"id": "b"}) == first == (201, {"id": "a"})


async def test_the_same_key_with_another_body_is_refused(part: Part) -> None:
    await _call(part.db, "person/1", KEY, {})

    with pytest.raises(KeyReused):
        await _call(part.db, "person/1", Key(KEY.route, KEY.text, "f2"), {})


@pytest.mark.parametrize(
    ("caller", "key"),
    [
        ("person/2", KEY),
        ("person/1", Key("/other", "k1", "f1")),
        ("person/1", Key(KEY.route, "k2", "f1")),
    ],
)
async def test_keys_of_another_caller_route_or_text_are_others(
    part: Part, caller: str, key: Key
) -> None:
    await _call(part.db, "person/1", KEY, "a")

    assert await _call(part.db, caller, key, "b") == (201, "b")


async def test_a_second_call_at_the_same_time_waits_for_the_first(part: Part) -> None:
    async with part.db.begin() as tx:
        assert await replay(tx, "person/1", KEY) is None
        second = asyncio.create_task(_call(part.db, "person/1", KEY, "second"))
        done, _ = await asyncio.wait([second], timeout=0.2)
        assert not done
        await remember(tx, "person/1", KEY, 200, "first")

    assert await second == (200, "first")


async def test_a_call_that_failed_leaves_its_key_free(part: Part) -> None:
    async def fail() -> None:
        async with part.db.begin() as tx:
            await replay(tx, "person/1", KEY)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()

    assert await _call(part.db, "person/1", KEY, "again") == (201, "again")
