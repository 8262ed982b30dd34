"""A service's handlers: each event has its effect once, and a poisoned one stops nothing."""

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import text

from kit import inbox
from kit.canonical import canonical
from kit.db import Tx
from kit.errors import DomainError, Kind
from kit.follow import Handler, follow, handle_once
from kit.ids import uuid7
from tests.integration.kit.conftest import Part
from tests.support.processes import wait_until


def fact(name: str, kind: str = "noted", event_id: str | None = None) -> tuple[str, bytes]:
    """Key and value of a fact."""
    event = {
        "specversion": "1.0",
        "id": event_id or uuid7(),
        "type": kind,
        "subject": name,
        "data": {"name": name},
    }
    return name, canonical(event)


class Poison(DomainError):
    """An event that no attempt can handle."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-invalid"


class Busy(DomainError):
    """A dependency that is away for the moment."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "service-unavailable"


async def note(tx: Tx, event: Mapping[str, Any]) -> None:
    """The effect: one row."""
    connection = await tx.connection()
    await connection.execute(
        text("INSERT INTO effect VALUES (:name)").bindparams(name=event["data"]["name"])
    )


def start(part: Part, handlers: Mapping[str, Handler], attempts: int = 2) -> None:
    part.start(follow(part.db, part.options, part.name, [part.facts], handlers, attempts=attempts))


async def effects(part: Part) -> list[str]:
    return sorted(row.name for row in await part.rows("SELECT name FROM effect"))


async def until_effects(part: Part, expected: list[str]) -> None:
    async def there() -> bool:
        return await effects(part) == expected

    await wait_until(there, 30, f"effects {expected}")


async def test_an_event_that_is_delivered_twice_has_its_effect_once(part: Part) -> None:
    twice = fact("a", event_id="1")
    start(part, {"noted": note})

    await part.send(part.facts, twice, fact("b"), twice, fact("c"))

    await until_effects(part, ["a", "b", "c"])


async def test_another_reader_of_the_group_goes_on_where_the_first_stopped(part: Part) -> None:
    start(part, {"noted": note})
    await part.send(part.facts, fact("a"))
    await until_effects(part, ["a"])
    await part.stop(part.tasks.pop())
    await part.send(part.facts, fact("b"))

    start(part, {"noted": note})

    await until_effects(part, ["a", "b"])


async def test_events_of_other_types_are_passed_over(part: Part) -> None:
    start(part, {"noted": note})

    await part.send(part.facts, fact("a", "other"), fact("b"))

    await until_effects(part, ["b"])
    assert len(await part.rows("SELECT * FROM inbox")) == 1


async def test_a_poisoned_event_is_parked_with_its_error_and_the_next_one_handled(
    part: Part,
) -> None:
    async def refuse_a(tx: Tx, event: Mapping[str, Any]) -> None:
        await note(tx, event)
        if event["data"]["name"] == "a":
            raise Poison("a is no good")

    start(part, {"noted": refuse_a})
    poisoned = fact("a")

    await part.send(part.facts, poisoned, ("x", b"no JSON"), fact("b"))

    await until_effects(part, ["b"])
    async with part.db.begin() as tx:
        first, second = await inbox.parked(tx)
    assert first[0] == part.facts
    assert first[3] == poisoned[1]
    assert "a is no good" in first[4]
    assert second[3] == b"no JSON"


async def test_a_parked_event_can_be_replayed_and_taken_off_the_list(part: Part) -> None:
    _, value = fact("a")
    async with part.db.begin() as tx:
        await inbox.park(tx, part.facts, 0, 7, value, "x" * 5000)
        await inbox.park(tx, part.facts, 0, 7, value, "the same place again")

    async with part.db.begin() as tx:
        ((topic, partition, offset, kept, error),) = await inbox.parked(tx)
        await handle_once(tx, kept, {"noted": note})
        await inbox.unpark(tx, topic, partition, offset)

    assert (offset, kept, len(error)) == (7, value, 2000)
    assert await effects(part) == ["a"]
    assert await part.rows("SELECT * FROM parked") == []


async def test_a_handler_that_is_unavailable_is_tried_until_it_is_not(part: Part) -> None:
    attempts = 0

    async def late(tx: Tx, event: Mapping[str, Any]) -> None:
        nonlocal attempts
        attempts += 1
        if attempts < 5:
            raise Busy("not now")
        await note(tx, event)

    start(part, {"noted": late}, attempts=2)
    await part.send(part.facts, fact("a"))

    await until_effects(part, ["a"])
    assert attempts == 5
    assert await part.rows("SELECT * FROM parked") == []


async def test_effect_and_inbox_row_are_one(part: Part) -> None:
    """An attempt that fails after its effect leaves neither behind, so the next one has both."""
    failed = asyncio.Event()

    async def fail_once(tx: Tx, event: Mapping[str, Any]) -> None:
        await note(tx, event)
        if not failed.is_set():
            failed.set()
            raise Busy("after the effect")

    start(part, {"noted": fail_once})
    await part.send(part.facts, fact("a"))

    await until_effects(part, ["a"])
    assert failed.is_set()
