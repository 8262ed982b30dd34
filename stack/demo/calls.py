"""The consumer's calls: many over a few connections, wrong ones, and calls without a pause."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as compute

from datong import AsyncClient, Refused
from datong.operations import data
from datong.operations.operation import Access
from stack.demo.commands import StoryBroken
from stack.demo.divisions import HANGZHOU
from stack.demo.entries import ADOPTIONS, DIVISIONS, ITEMS, OTHER_PURPOSE, PURPOSE
from stack.demo.refusals import Try, expect_refusals
from stack.demo.town import Town

CALLS: Final = 500
CONNECTIONS: Final = 8
PAUSE: Final = 0.005
AT_ONCE: Final = 16


def granted(division: Mapping[str, Any]) -> dict[str, Any]:
    """Return the granted items of a source row, as an answer must show them."""
    return {name: division.get(name) for name in ITEMS}


async def ask_much(town: Town, source: pa.Table) -> dict[str, Any]:
    """Make 500 calls over 8 connections and check each answer against the source rows.

    Raises:
        StoryBroken: an answer differs from the source.
    """
    districts = sorted(
        map(granted, source.filter(compute.equal(source["parent_code"], HANGZHOU)).to_pylist()),
        key=lambda row: str(row["code"]),
    )
    chosen = random.Random(809).sample(range(source.num_rows), CALLS - 1)  # noqa: S311 - no secret
    queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    for row in (None, *source.take(chosen).to_pylist()):
        queue.put_nowait(row)
    began = time.perf_counter()

    async def worker(client: AsyncClient) -> None:
        while not queue.empty():
            row = queue.get_nowait()
            if row is None:
                found = await client.query(
                    DIVISIONS, purpose=PURPOSE, where={"parent_code": HANGZHOU}, items=ITEMS
                )
                expected = districts
            else:
                found = await client.query(
                    DIVISIONS, purpose=PURPOSE, key={"code": row["code"]}, items=ITEMS
                )
                expected = [granted(row)]
            if found.rows != expected:
                raise StoryBroken(f"asked for {row}, got {found.rows}, expected {expected}")

    client = town.new_client("consumer", connections=CONNECTIONS)
    try:
        await asyncio.gather(*(worker(client) for _ in range(CONNECTIONS)))
    finally:
        await client.close()
    took = time.perf_counter() - began
    return {
        "calls": CALLS,
        "connections": CONNECTIONS,
        "districts of Hangzhou": len(districts),
        "calls per second": round(CALLS / took),
    }


async def be_refused(town: Town) -> dict[str, str]:
    """Make eight kinds of calls that must be refused; return reason code by what was wrong.

    Raises:
        StoryBroken: one was answered, or refused for another reason, or without a next step.
    """
    consumer = town.client("consumer")
    key = {"code": HANGZHOU}
    bare = replace(
        data.query(DIVISIONS, purpose=PURPOSE, key={"code": HANGZHOU}), access=Access.CERTIFICATE
    )
    foreign = await town.client("stranger").fetch_token()
    anonymous, borrowed = town.anonymous(), town.new_client("consumer", token=foreign)
    tries: list[Try] = [
        (
            "no certificate",
            "certificate-missing",
            lambda: anonymous.query(DIVISIONS, purpose=PURPOSE, key=key),
        ),
        ("no token", "token-missing", lambda: consumer.send(bare)),
        (
            "another system's token",
            "token-not-bound",
            lambda: borrowed.query(DIVISIONS, purpose=PURPOSE, key=key),
        ),
        ("no purpose", "purpose-missing", lambda: consumer.query(DIVISIONS, key=key)),
        (
            "a purpose not granted",
            "purpose-not-granted",
            lambda: consumer.query(DIVISIONS, purpose=OTHER_PURPOSE, key=key),
        ),
        (
            "an item not granted",
            "items-not-granted",
            lambda: consumer.query(DIVISIONS, purpose=PURPOSE, key=key, items=["code", "level"]),
        ),
        (
            "an unknown resource",
            "resource-unknown",
            lambda: consumer.query("no-such", purpose=PURPOSE, key=key),
        ),
        (
            "a class that is not shared",
            "class-not-shared",
            lambda: consumer.query(ADOPTIONS, purpose=PURPOSE, key={"file": "1"}),
        ),
    ]
    try:
        return await expect_refusals(tries)
    finally:
        await anonymous.close()
        await borrowed.close()


@dataclass
class Revocation:
    """What a caller that never paused saw of a suspension; instants are monotonic seconds."""

    answered: int = 0
    refused: int = 0
    told_at: float = 0.0
    first_refusal: float | None = None
    last_answer: float = 0.0
    others: list[str] = field(default_factory=list)

    def note_refusal(self, code: str) -> None:
        """Count a refusal; one for another reason than the suspension is kept by its code."""
        if code != "grant-suspended":
            self.others.append(code)
            return
        self.refused += 1
        self.first_refusal = self.first_refusal or time.monotonic()

    @property
    def milliseconds(self) -> float:
        """From the 200 of the suspension to the first refusal; 0 when that came before."""
        if self.first_refusal is None:
            raise StoryBroken("no call was refused after the suspension")
        return round(max(0.0, self.first_refusal - self.told_at) * 1000, 1)


async def call_while(
    town: Town, suspend: Callable[[], Awaitable[Mapping[str, Any]]], *, before: float, after: float
) -> Revocation:
    """Call every 5 ms, suspend in between, and go on calling.

    Args:
        suspend: suspends the grant; its answer must be on the bus.
        before: seconds of calls before it.
        after: seconds of calls after its answer.
    """
    seen = Revocation()
    client = town.new_client("consumer", connections=AT_ONCE)

    async def suspension() -> None:
        await asyncio.sleep(before)
        answer = await suspend()
        seen.told_at = time.monotonic()
        if not answer.get("on_bus"):
            raise StoryBroken("the suspension was not acknowledged by the bus within 2 s")

    def over() -> bool:
        return bool(seen.told_at) and time.monotonic() > seen.told_at + after

    try:
        async with asyncio.TaskGroup() as both:
            both.create_task(suspension())
            both.create_task(_call_until(client, over, seen))
    finally:
        await client.close()
    return seen


async def _call_until(client: AsyncClient, over: Callable[[], bool], seen: Revocation) -> None:
    """Begin a call every 5 ms, at most 16 at once, until `over`."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def call() -> None:
        async with limit:
            try:
                await client.query(DIVISIONS, purpose=PURPOSE, key={"code": HANGZHOU}, items=ITEMS)
            except Refused as refused:
                seen.note_refusal(refused.code)
            else:
                seen.answered += 1
                seen.last_answer = time.monotonic()

    async with asyncio.TaskGroup() as running:
        while not over():
            running.create_task(call())
            await asyncio.sleep(PAUSE)
