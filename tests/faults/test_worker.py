"""A gateway worker that is cut off from the bus, or stopped, releases nothing it should not.

Two systems call each of two workers, at an address of its own. One system's grant is suspended;
the other's is not. A stand-in for transfer answers after 0 to 1,500 ms, so that calls are in
flight whenever something happens.
"""

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from stack.ports import free_port
from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.faults.conftest import Figures
from tests.support.load_run import Load, LoadedCall
from tests.support.load_upstream import SlowUpstream
from tests.support.processes import wait_until
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALE_AFTER = 3.0
NEVER_STALE = 3600.0
MARGIN = 0.5
"""How long a look at the table's freshness, and a decision, may be old at release."""
BOUND = 1.0
OTHER, WORKER = "gateway-slot-0", "gateway-slot-1"
SUSPENDED, UNTOUCHED = "consumer", "stranger"
PAUSE_SECONDS, LONG_PAUSE_SECONDS = 5.0, 20.0


class Scene:
    """Two workers, and the calls that both systems make of both.

    Lanes are named `<system> at <worker>`.
    """

    def __init__(self, town: TestTown) -> None:
        self.town = town
        self.stack = town.stack
        self._safeguards = STALE_AFTER, True

    def load(self, directory: Path) -> Load:
        lanes = [
            self.town.lane(
                system,
                name=f"{system} at {worker}",
                gateway=self.stack.plans[worker].listen or "",
                connections=12,
                rate=40,
            )
            for system in (SUSPENDED, UNTOUCHED)
            for worker in (OTHER, WORKER)
        ]
        return Load(directory, lanes)

    async def worker_of(self, stale_after: float, *, guarded: bool = True) -> None:
        """Let the worker run with these safeguards."""
        if (stale_after, guarded) == self._safeguards:
            return
        self._safeguards = stale_after, guarded
        old = self.stack.plans[WORKER]
        module = "gateway" if guarded else "tests.faults.unguarded_worker"
        self.stack.plans[WORKER] = replace(old, arguments=("-m", module))
        await self.stack.restart_process(WORKER, DATONG_STALE_AFTER=str(stale_after))

    async def settled(self, load: Load) -> None:
        """Wait until all four lanes get data."""
        await self.answered(
            load, *((s, w) for s in (SUSPENDED, UNTOUCHED) for w in (OTHER, WORKER))
        )

    async def answered(self, load: Load, *pairs: tuple[str, str]) -> None:
        """Wait until each of these systems has got more answers with data from that worker."""
        since = time.monotonic()
        lanes = [f"{system} at {worker}" for system, worker in pairs]
        await wait_until(
            lambda: all(load.count("data", lane, since=since) > 2 for lane in lanes),
            30,
            f"data for {lanes}",
        )

    async def suspend(self) -> float:
        """Suspend the grant; return when its 200 had come."""
        answer = await self.town.suspend(SUSPENDED)
        assert answer["on_bus"]
        return time.monotonic()

    async def resume(self, load: Load) -> None:
        """Resume the grant, and see that everything is as before."""
        await self.town.resume(SUSPENDED)
        await self.settled(load)


def data_after(load: Load, lane: str, since: float, until: float) -> list[LoadedCall]:
    """Return the answers with data that came within a span of time."""
    return [
        call for call in load.calls(lane) if call.holds_data and since < (call.ended or 0) < until
    ]


def codes_after(load: Load, lane: str, since: float, until: float) -> set[str]:
    """Return what became of the calls that ended within a span of time."""
    return {call.kind for call in load.calls(lane) if since < (call.ended or 0) < until}


async def until(instant: float) -> None:
    """Wait for a monotonic instant."""
    await wait_until(lambda: time.monotonic() > instant, 60)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(session_directory: Path) -> AsyncIterator[Scene]:
    """A platform whose second worker reaches Kafka through a link that can be cut."""
    upstream = SlowUpstream(1.5)
    directory = session_directory / "worker"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
        overrides={
            "gateway": {"DATONG_TRANSFER_URL": upstream.url},
            WORKER: {
                "DATONG_STALE_AFTER": str(STALE_AFTER),
                "DATONG_LISTEN": f"127.0.0.1:{free_port()}",
            },
        },
        behind_link=[WORKER],
    ) as stack:
        stack.plans[WORKER] = replace(
            stack.plans[WORKER], listen=stack.plans[WORKER].environment["DATONG_LISTEN"]
        )
        await upstream.open(stack.certificates)
        town = await found_town(stack, directory / "town", granted=(SUSPENDED, UNTOUCHED))
        try:
            yield Scene(town)
        finally:
            await town.close()
            await upstream.close()


async def cut_and_suspend(scene: Scene, load: Load) -> tuple[float, float]:
    """Cut the worker off and suspend a grant; return when each had happened."""
    await scene.settled(load)
    assert scene.stack.link is not None
    scene.stack.link.cut()
    cut = time.monotonic()
    return cut, await scene.suspend()


async def test_a_worker_that_is_cut_off_releases_nothing_when_its_permissions_are_stale(
    scene: Scene, tmp_path: Path, figures: Figures
) -> None:
    async with scene.load(tmp_path / "load") as load:
        cut, told = await cut_and_suspend(scene, load)
        stale = cut + STALE_AFTER + MARGIN
        await until(stale + 1.5)
        mended = time.monotonic()
        assert scene.stack.link is not None
        scene.stack.link.mend()
        # Cut off no longer, it serves the one and, without a word before, refuses the other.
        await scene.answered(load, (UNTOUCHED, WORKER))
        served = time.monotonic()
        await until(served + 1.0)
        resumed = time.monotonic()
        await scene.resume(load)

    here, there = f"{SUSPENDED} at {WORKER}", f"{SUSPENDED} at {OTHER}"
    late = data_after(load, here, stale, resumed)
    last = max(
        call.ended or 0
        for call in load.calls(here)
        if call.holds_data and (call.ended or 0) < mended
    )
    figures.tell(
        late=len(late),
        seconds_from_cut_to_last_data=round(last - cut, 2),
        seconds_from_mend_to_data=round(served - mended, 2),
        kinds=dict(load.kinds()),
    )
    assert late == []
    assert codes_after(load, here, stale, mended) == {"permissions-stale"}
    assert codes_after(load, f"{UNTOUCHED} at {WORKER}", stale, mended) == {"permissions-stale"}
    assert codes_after(load, here, served, resumed) == {"grant-suspended"}
    # The other worker has heard of the suspension, and of nothing else.
    assert data_after(load, there, told + BOUND, resumed) == []
    assert codes_after(load, there, told + BOUND, resumed) == {"grant-suspended"}
    assert codes_after(load, f"{UNTOUCHED} at {OTHER}", cut, mended) == {"data"}


async def pause_and_suspend(
    scene: Scene, load: Load, seconds: float
) -> tuple[list[LoadedCall], float]:
    """Stop the worker, suspend a grant meanwhile, let the worker go on.

    Returns:
        What it released under the suspended grant, and the seconds until it served the other.
    """
    await scene.settled(load)
    scene.stack.pause(WORKER)
    paused = time.monotonic()
    try:
        told = await scene.suspend()
        await until(max(paused + seconds, told + BOUND))
    finally:
        resumed = time.monotonic()
        scene.stack.resume(WORKER)
    await scene.answered(load, (UNTOUCHED, WORKER))
    served = time.monotonic()
    await until(served + 1.0)
    late = data_after(load, f"{SUSPENDED} at {WORKER}", resumed, time.monotonic())
    await scene.resume(load)
    return late, served - resumed


async def stop_for_a_while(
    scene: Scene, directory: Path, long_form: bool, figures: Figures, stale_after: float
) -> None:
    """See that a worker which was stopped releases nothing under what was suspended meanwhile."""
    await scene.worker_of(stale_after)
    seconds = LONG_PAUSE_SECONDS if long_form else PAUSE_SECONDS
    async with scene.load(directory) as load:
        late, recovered = await pause_and_suspend(scene, load, seconds)
    figures.tell(
        late=len(late),
        seconds_stopped=seconds,
        seconds_from_resumption_to_data=round(recovered, 2),
        kinds=dict(load.kinds()),
    )
    assert late == []


async def test_a_worker_that_was_stopped_releases_nothing_under_a_grant_suspended_meanwhile(
    scene: Scene, tmp_path: Path, long_form: bool, figures: Figures
) -> None:
    await stop_for_a_while(scene, tmp_path, long_form, figures, STALE_AFTER)


async def test_without_the_limit_a_worker_that_is_cut_off_goes_on_serving(
    scene: Scene, tmp_path: Path, figures: Figures
) -> None:
    """Control run: permissions never grow stale; the same check must find answers."""
    await scene.worker_of(NEVER_STALE)
    async with scene.load(tmp_path / "load") as load:
        cut, _ = await cut_and_suspend(scene, load)
        stale = cut + STALE_AFTER + MARGIN
        await until(stale + 1.5)
        mended = time.monotonic()
        assert scene.stack.link is not None
        scene.stack.link.mend()
        late = data_after(load, f"{SUSPENDED} at {WORKER}", stale, mended)
        await scene.town.resume(SUSPENDED)
        await scene.settled(load)
    figures.tell(late=len(late))
    assert late


async def test_the_guard_against_pauses_alone_suffices_for_a_worker_that_was_stopped(
    scene: Scene, tmp_path: Path, long_form: bool, figures: Figures
) -> None:
    await stop_for_a_while(scene, tmp_path, long_form, figures, NEVER_STALE)


async def test_without_its_guard_a_worker_that_was_stopped_releases_what_was_in_flight(
    scene: Scene, tmp_path: Path, figures: Figures
) -> None:
    """Control run: a worker that does not notice its pause; the same check must find answers."""
    await scene.worker_of(NEVER_STALE, guarded=False)
    async with scene.load(tmp_path / "load") as load:
        late, _ = await pause_and_suspend(scene, load, PAUSE_SECONDS)
    figures.tell(late=len(late))
    assert late
