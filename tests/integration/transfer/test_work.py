"""Work is claimed by lease, done once, in order per lane, and taken over from who stopped."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from kit.clock import SystemClock
from kit.db import Db
from kit.migrate import upgrade
from services.exchange.transfer.store import Context, FolderObjects, Work, work
from services.exchange.transfer.worker import Worker
from stack.process import Process
from tests.support.processes import wait_until

SLOW = "tests.integration.transfer.slow_worker"
LEASE = 1.0


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Db]:
    """The database of transfer, with one more table for results."""
    await upgrade(database_url, "services.exchange.transfer")
    made = Db(database_url, "transfer", pool=6)
    async with made.begin() as tx:
        await (await tx.connection()).execute(text("CREATE TABLE done (name text, lane text)"))
    yield made
    await made.dispose()


@pytest.fixture
def context(db: Db, tmp_path: Path) -> Context:
    return Context(db, FolderObjects(tmp_path / "objects"), SystemClock())


async def add(db: Db, *lanes: str, kind: str = "wait") -> None:
    async with db.begin() as tx:
        for lane in lanes:
            await work.add(tx, lane, kind, {"lane": lane})


async def finish(db: Db, item: Work) -> None:
    async with db.begin() as tx:
        await work.finish(tx, item)


async def claim(db: Db, seconds: float = 60.0) -> Work:
    item = await work.claim(db, seconds=seconds)
    assert item is not None
    return item


async def done(db: Db) -> list[str]:
    async with db.begin() as tx:
        found = await (await tx.connection()).execute(text("SELECT name FROM done ORDER BY name"))
        return list(found.scalars())


async def left(db: Db) -> list[tuple[str, int, str | None]]:
    async with db.begin() as tx:
        found = await (await tx.connection()).execute(
            text("SELECT lane, attempts, failure FROM work ORDER BY id")
        )
        return [tuple(row) for row in found]


async def test_a_lane_is_done_in_order_and_lanes_side_by_side(db: Db) -> None:
    await add(db, "a", "a", "b")

    first, other = await claim(db), await claim(db)
    assert (first.lane, other.lane) == ("a", "b")
    assert first.subject == {"lane": "a"}
    assert await work.claim(db, seconds=60) is None
    await finish(db, first)
    second = await claim(db)
    assert second.lane == "a"
    assert second.id > first.id


async def test_claims_at_the_same_time_are_of_different_items(db: Db) -> None:
    await add(db, *"abcdef")

    items = await asyncio.gather(*(work.claim(db, seconds=60) for _ in range(6)))

    assert sorted(item.lane for item in items if item is not None) == list("abcdef")


async def test_an_item_that_is_not_renewed_is_taken_over_and_the_first_claim_is_void(
    db: Db,
) -> None:
    await add(db, "a")
    first = await claim(db, seconds=0.05)
    taken: list[Work] = []

    async def takes_over() -> bool:
        item = await work.claim(db, seconds=60)
        taken.extend([item] if item else [])
        return bool(taken)

    await wait_until(takes_over, 5)

    assert (taken[0].id, taken[0].attempts) == (first.id, 2)
    assert not await work.renew(db, first, seconds=60)
    with pytest.raises(work.LeaseLost):
        await finish(db, first)
    await work.release(db, first, after=0, failure="late")
    assert await work.renew(db, taken[0], seconds=60)
    await finish(db, taken[0])
    assert await left(db) == []


async def test_a_result_of_a_void_claim_is_ended_although_it_holds_locks(
    db: Db, context: Context
) -> None:
    await add(db, "a")
    first = await claim(db, seconds=0.05)
    with pytest.raises(Exception, match=r"(?i)terminat|closed|in progress"):  # noqa: PT012
        async with context.result(first) as tx:
            await (await tx.connection()).execute(text("LOCK TABLE done"))
            await wait_until(lambda: claimed_anew(db), 5)
            await (await tx.connection()).execute(text("INSERT INTO done VALUES ('x', 'a')"))

    assert await done(db) == []


async def test_an_item_is_taken_over_although_its_holder_stopped_just_before_its_commit(
    db: Db, context: Context
) -> None:
    await add(db, "a")
    first = await claim(db, seconds=0.05)
    with pytest.raises(Exception, match=r"(?i)terminat|closed|in progress"):  # noqa: PT012
        async with context.result(first) as tx:
            await work.finish(tx, first)
            await wait_until(lambda: claimed_anew(db), 5)
            await (await tx.connection()).execute(text("SELECT 1"))

    assert [attempts for _, attempts, _ in await left(db)] == [2]


async def claimed_anew(db: Db) -> bool:
    return await work.claim(db, seconds=60) is not None


async def test_a_failure_is_kept_and_tried_again(
    db: Db, context: Context, database_url: str
) -> None:
    tried: list[int] = []

    async def fail_once(item: Work, context: Context) -> None:
        tried.append(item.attempts)
        if len(tried) == 1:
            raise ValueError("not now")
        async with context.result(item):
            pass

    worker = asyncio.create_task(Worker(database_url, context, {"wait": fail_once}).run())
    await add(db, "a")

    async def failed() -> bool:
        return await left(db) == [("a", 1, "ValueError('not now')")]

    await wait_until(failed, 5)

    async def finished() -> bool:
        return not await left(db)

    await wait_until(finished, 5)
    assert tried == [1, 2]
    worker.cancel()


async def test_work_of_an_unknown_kind_waits_for_another_release(
    db: Db, context: Context, database_url: str
) -> None:
    worker = asyncio.create_task(Worker(database_url, context, {}).run())
    await add(db, "a", kind="dance")

    async def failed() -> bool:
        return any("no dance" in (failure or "") for _, _, failure in await left(db))

    await wait_until(failed, 5)
    worker.cancel()


async def test_a_worker_that_stops_gives_its_item_back_at_once(
    db: Db, context: Context, database_url: str
) -> None:
    begun = asyncio.Event()

    async def for_ever(item: Work, context: Context) -> None:
        async with context.result(item):
            begun.set()
            await asyncio.Event().wait()

    await add(db, "a")
    worker = asyncio.create_task(Worker(database_url, context, {"wait": for_ever}, lease=60).run())
    await begun.wait()
    worker.cancel()
    await asyncio.wait([worker])

    assert (await claim(db)).attempts == 2


async def test_a_long_item_keeps_its_lease(db: Db, context: Context, database_url: str) -> None:
    go_on = asyncio.Event()
    attempts: list[int] = []

    async def long(item: Work, context: Context) -> None:
        attempts.append(item.attempts)
        async with context.result(item):
            await go_on.wait()

    workers = [
        asyncio.create_task(Worker(database_url, context, {"wait": long}, lease=0.4).run())
        for _ in range(2)
    ]
    await add(db, "a")

    async def renewed() -> bool:
        async with db.begin() as tx:
            found = await (await tx.connection()).execute(
                text("SELECT claimed_until > created_at + interval '1.6 seconds' FROM work")
            )
            return found.scalar_one() is True

    await wait_until(renewed, 10)  # after several leases
    go_on.set()

    async def finished() -> bool:
        return not await left(db)

    await wait_until(finished, 5)
    assert attempts == [1]
    for worker in workers:
        worker.cancel()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "stopped"])
async def test_another_process_takes_over_and_the_first_one_can_commit_nothing(
    db: Db,
    database_url: str,
    tmp_path: Path,
    start_process: Callable[..., Process],
    number: signal.Signals,
) -> None:
    def start(name: str) -> Process:
        return start_process("-m", SLOW, database_url, str(tmp_path), name, str(LEASE))

    first = start("first")
    await add(db, "a")
    await wait_until((tmp_path / "begun-first").exists, 30, "the first has begun")
    second = start("second")
    first.send(number)
    (tmp_path / "go-second").touch()

    async def taken_over() -> bool:
        return await done(db) == ["second"]

    await wait_until(taken_over, 30, "the second has done it")
    assert await left(db) == []
    if number is signal.SIGSTOP:
        first.send(signal.SIGCONT)
        await wait_until(lambda: "taken over" in first.output(), 10, "the first is fenced")
        second.kill()
        (tmp_path / "go-first").touch()
        await add(db, "a")

        async def again() -> bool:
            return await done(db) == ["first", "second"]

        await wait_until(again, 10, "the first goes on with other work")
