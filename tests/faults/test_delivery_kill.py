"""`kill -9` of everything in turn while batches travel: nothing is lost, nothing comes twice.

An owner's program publishes batch after batch, two consumers' programs keep a table each; all of
them, and PostgreSQL, Kafka and transfer's processes, are killed at random moments.
"""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.faults.conftest import Figures
from tests.support.exchange import DATONG, Exchange, kill_at_random, read_calls
from tests.support.joined import losses, records_of, run_verifier, shipped
from tests.support.processes import wait_until
from tests.support.register import Register
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

MOMENTS = {
    "transfer-api": 1,
    "transfer-work": 1,
    "postgres": 1,
    "kafka": 1,
    "publisher": 2,
    "consumer": 2,
    "stranger": 1,
}
LONG_MOMENTS = dict.fromkeys(MOMENTS, 20)
CONTROL_ROUNDS = 20
"""How often the careless receivers are killed at most until something is found."""
WORKERS = ("transfer-work", "transfer-work-1")
LEASE, MARGIN = 10.0, 1.0
"""Seconds after which a worker is taken over from, and until another one has noticed."""
SEALING = 2.0
"""Seconds that sealing and telling the owner may take then."""
UNFENCED = "tests.faults.unfenced_worker"
TRANSIENT = {
    *("200", "201", "202", "None", "service-unavailable", "deadline-exceeded"),
    *("permissions-stale", "permissions-behind", "batch-not-open"),
}
"""What programs are told while something is being killed; `None`: nothing."""
CARELESS = ("-m", "tests.faults.careless_receiver")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(session_directory: Path) -> AsyncIterator[TestTown]:
    """A town; its PostgreSQL forces to disk what it commits, as in earnest."""
    directory = session_directory / "delivery"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
    ) as stack:
        town = await found_town(stack, directory / "town")
        try:
            yield town
        finally:
            await town.close()


async def exchange_of(
    town: TestTown,
    directory: Path,
    resource: str,
    figures: Figures,
    receiver: Sequence[str] = DATONG,
) -> Exchange:
    """Return a new exchange whose batches and moments come from a seed, which is printed."""
    seed = secrets.randbelow(1 << 32)
    figures.tell(seed=seed)
    exchange = Exchange(
        town, directory, resource, Register(directory, seed), random.Random(seed), receiver
    )
    await exchange.found()
    return exchange


async def test_whatever_is_killed_both_sides_hold_the_same_and_each_receipt_came_once(
    town: TestTown, tmp_path: Path, long_form: bool, figures: Figures
) -> None:
    exchange = await exchange_of(town, tmp_path, "household-register", figures)
    enough = asyncio.Event()
    async with exchange.receiving():
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange.publish_until(enough))
            victims = await kill_at_random(exchange, LONG_MOMENTS if long_form else MOMENTS)
            enough.set()
        await exchange.settle()
    problems = await exchange.inspect()
    package = await shipped(town)
    report = await run_verifier(town, package, town.calls, *exchange.logs)
    calls = [call for log in exchange.logs for call in read_calls(log)]
    found = losses(calls, records_of(package))
    kinds = Counter(call.code or str(call.status) for call in calls)

    figures.tell(
        killed=dict(Counter(victims)),
        batches=len(exchange.register.batches),
        rows=len(exchange.register.rows),
        receipts={name: exchange.receipts(name) for name in exchange.receivers},
        starts={each.name: each.starts for each in exchange.programs},
        calls=dict(kinds),
        problems=len(problems),
        losses=found.count,
        verdict=report["verdict"],
        joined=report["calls"],
    )
    assert problems == []
    assert (found.unrecorded, found.repeated, found.contradicted) == ([], [], [])
    assert set(kinds) <= TRANSIENT, kinds
    assert report["problems"] == []
    assert (report["verdict"], report["gaps"]) == ("verified", 0)


async def test_with_the_cursor_outside_the_transaction_a_kill_brings_deliveries_twice(
    town: TestTown, tmp_path: Path, figures: Figures
) -> None:
    """Control run: rows first, the cursor after; the same checks must find what came twice."""
    exchange = await exchange_of(town, tmp_path, "careless-register", figures, CARELESS)
    enough = asyncio.Event()
    rounds = 0
    async with exchange.receiving():
        async with asyncio.TaskGroup() as group:
            group.create_task(exchange.publish_until(enough))
            while not await exchange.differences() and rounds < CONTROL_ROUNDS:
                await kill_at_random(exchange, {"consumer": 1, "stranger": 1})
                rounds += 1
            enough.set()
        await exchange.settle()
    problems = await exchange.inspect()

    figures.tell(killed=2 * rounds, problems=len(problems), first=problems[:1])
    assert any("differs" in problem for problem in problems), problems


@pytest_asyncio.fixture(loop_scope="module")
async def two_workers(town: TestTown) -> AsyncIterator[None]:
    """A second worker beside the platform's own."""
    await town.stack.add_process(WORKERS[1], like=WORKERS[0])
    await town.stack.wait_ready(WORKERS[1])
    yield
    for worker in WORKERS:
        town.stack.resume(worker)
    await town.stack.stop_process(WORKERS[1])


async def stop_while_sealing(exchange: Exchange) -> tuple[str, float | None]:
    """Publish a batch, and stop the worker that seals it when it is about to change the table.

    Returns:
        The worker, and the seconds from its stop until the batch was effective; None when it was
        not when the lease was long over.
    """
    publishing = asyncio.create_task(exchange.publish(exchange.register.changes()))
    async with exchange.table_held() as waiting_port:
        port = await waiting_port()
        stopped = next(name for name in WORKERS if port in ports_of(exchange.stack.pid(name)))
        exchange.stack.pause(stopped)
        began = time.monotonic()
    await asyncio.wait([publishing], timeout=LEASE + MARGIN + 3.0)
    took = time.monotonic() - began if publishing.done() else None
    if took is None:
        exchange.stack.resume(stopped)
    await publishing
    return stopped, took


async def run_workers(town: TestTown, module: str) -> None:
    """Restart the workers with another program."""
    for worker in WORKERS:
        old = town.stack.plans[worker]
        town.stack.plans[worker] = replace(old, arguments=("-m", module, "work"))
        await town.stack.restart_process(worker)


def ports_of(pid: int) -> set[int]:
    """Return the local ports of a process's connections."""
    return {each.laddr.port for each in psutil.Process(pid).net_connections()}


async def test_another_worker_takes_over_from_one_that_stopped_while_sealing(
    town: TestTown, two_workers: None, tmp_path: Path, figures: Figures
) -> None:
    exchange = await exchange_of(town, tmp_path, "stopped-register", figures)
    async with exchange.receiving():
        await exchange.publish(exchange.register.snapshot())
        stopped, took = await stop_while_sealing(exchange)
        town.stack.resume(stopped)
        await wait_until(
            lambda: "work was taken over" in town.stack.log_file(stopped).read_text(),
            10,
            "the stopped worker finds itself fenced",
        )
        other = next(name for name in WORKERS if name != stopped)
        await town.stack.stop_process(other)
        await exchange.publish(exchange.register.changes())  # by the one that was stopped
        await town.stack.start_process(other)
        await exchange.settle()
    problems = await exchange.inspect()

    figures.tell(stopped=stopped, seconds_to_effective=took, problems=len(problems))
    assert problems == []
    assert took is not None
    assert took <= LEASE + MARGIN + SEALING


async def test_without_an_end_to_its_transaction_a_stopped_worker_holds_up_all_others(
    town: TestTown, two_workers: None, tmp_path: Path, figures: Figures
) -> None:
    """Control run: workers that do not end the transactions of those they take over from."""
    await run_workers(town, UNFENCED)
    exchange = await exchange_of(town, tmp_path, "unfenced-register", figures)
    try:
        async with exchange.receiving():
            await exchange.publish(exchange.register.snapshot())
            _, took = await stop_while_sealing(exchange)
            await exchange.settle()
    finally:
        await run_workers(town, "services.exchange.transfer")

    figures.tell(seconds_to_effective=took)
    assert took is None
