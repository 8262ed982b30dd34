"""One second after the 200 of a suspension no answer leaves under the suspended grant.

A stand-in for transfer answers after 0 to 1,500 ms, so that many calls which were admitted before
a suspension have their answers after it.
"""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.faults.conftest import Figures
from tests.support.load_run import Load, LoadedCall
from tests.support.load_upstream import SlowUpstream
from tests.support.processes import wait_until
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOUND = 1.0
LONGEST = 1.5
SLOTS = ("gateway-slot-0", "gateway-slot-1")
SYSTEMS = ("consumer", "stranger")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(session_directory: Path) -> AsyncIterator[TestTown]:
    """A town whose data calls are answered by a slow upstream."""
    upstream = SlowUpstream(LONGEST)
    directory = session_directory / "revocation"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
        overrides={"gateway": {"DATONG_TRANSFER_URL": upstream.url}},
    ) as stack:
        await upstream.open(stack.certificates)
        town = await found_town(stack, directory / "town", granted=SYSTEMS)
        try:
            yield town
        finally:
            await town.close()
            await upstream.close()


@dataclass
class Trial:
    """One suspension of a system's grant under load; instants are monotonic seconds.

    Attributes:
        asked, told: when the suspension was asked for, and when its 200 had come.
        resumed: when its resumption was asked for.
    """

    system: str
    asked: float
    told: float
    resumed: float
    on_bus: bool

    def after_bound(self, load: Load) -> list[LoadedCall]:
        """Calls of the system that ended between the bound and the resumption."""
        begin = self.told + BOUND
        return [
            call for call in load.calls(self.system) if begin < (call.ended or 0) < self.resumed
        ]

    def late(self, load: Load) -> list[LoadedCall]:
        """Answers with data that came later than the bound."""
        return [call for call in self.after_bound(load) if call.holds_data]

    def caught(self, load: Load) -> int:
        """Calls that had been sent before the suspension was asked for, and were refused by it."""
        return sum(
            call.sent < self.asked < (call.ended or 0) and call.code == "grant-suspended"
            for call in load.calls(self.system)
        )

    def last_data(self, load: Load) -> float:
        """Seconds from the 200 to the last answer with data; negative when that came before."""
        ends = [call.ended or 0 for call in load.calls(self.system) if call.holds_data]
        return max(end for end in ends if end < self.resumed) - self.told


async def suspend_and_resume(town: TestTown, system: str, load: Load) -> Trial:
    """Suspend a grant while calls are in flight; resume it when all of them have ended."""
    since = time.monotonic()
    await wait_until(
        lambda: load.count("data", system, since=since) > 10, 20, "data after a resumption"
    )
    await asyncio.sleep(random.uniform(0.2, 0.6))  # at another moment of the relay each time
    asked = time.monotonic()
    answer = await town.suspend(system)
    told = time.monotonic()
    await wait_until(lambda: time.monotonic() > told + LONGEST + 0.1)
    resumed = time.monotonic()
    await town.resume(system)
    return Trial(system, asked, told, resumed, bool(answer["on_bus"]))


async def run_trials(town: TestTown, directory: Path, count: int) -> tuple[list[Trial], Load]:
    """Run that many trials, half of them with each system, at the same time."""

    async def half(system: str) -> list[Trial]:
        return [await suspend_and_resume(town, system, load) for _ in range(count // 2)]

    lanes = [town.lane(system, connections=48, rate=100) for system in SYSTEMS]
    async with Load(directory, lanes) as load:
        halves = await asyncio.gather(*(half(system) for system in SYSTEMS))
    return [trial for each in halves for trial in each], load


def milliseconds(values: list[float]) -> str:
    """Return median, 95th percentile and maximum, in words."""
    ranked = sorted(value * 1000 for value in values)
    high = ranked[min(len(ranked) - 1, int(len(ranked) * 0.95))]
    return f"{statistics.median(ranked):.0f}/{high:.0f}/{ranked[-1]:.0f}"


async def test_no_answer_leaves_a_second_after_its_grant_was_suspended(
    town: TestTown, tmp_path: Path, long_form: bool, figures: Figures
) -> None:
    trials, load = await run_trials(town, tmp_path / "load", 200 if long_form else 20)

    late = [call for trial in trials for call in trial.late(load)]
    caught = [trial.caught(load) for trial in trials]
    afterwards = Counter(call.kind for trial in trials for call in trial.after_bound(load))
    figures.tell(
        trials=len(trials),
        calls=len(load.calls()),
        late=len(late),
        caught_in_flight=sum(caught),
        ms_of_suspending=milliseconds([trial.told - trial.asked for trial in trials]),
        ms_from_200_to_last_data=milliseconds([trial.last_data(load) for trial in trials]),
        kinds=dict(load.kinds()),
    )
    assert late == []
    assert all(trial.on_bus for trial in trials)
    assert set(afterwards) == {"grant-suspended"}
    # Without calls that were admitted before and refused after, a trial has shown little.
    assert sum(map(bool, caught)) >= len(trials) / 2, caught


async def test_without_the_second_check_answers_leave_late(
    town: TestTown, tmp_path: Path, figures: Figures
) -> None:
    """Control run: the same trials with the safeguard off must find late answers."""
    for slot in SLOTS:
        await town.stack.restart_process(slot, DATONG_TEST_SKIP_SECOND_CHECK="1")

    trials, load = await run_trials(town, tmp_path / "load", 4)

    late = [len(trial.late(load)) for trial in trials]
    figures.tell(trials=len(trials), late=late)
    assert sum(late) > 0
