"""`kill -9` of every process in turn during a run of calls: no answer is without its record."""

import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from stack.settings import StackSettings
from stack.supervisor import Stack
from tests.faults.conftest import Figures
from tests.support.joined import instances_of, losses, records_of, run_verifier, shipped
from tests.support.load_run import Load
from tests.support.processes import wait_until
from tests.support.town import TestTown, found_town

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = ("gateway-slot-0", "gateway-slot-1")
VICTIMS = ("gateway-slot-0", "transfer-api", "audit-write", "sharing-relay", "kafka", "postgres")
ALL_VICTIMS = (
    *VICTIMS,
    *("gateway-slot-1", "audit-api", "identity-relay", "catalog-relay", "transfer-relay"),
)
CALLS, ALL_CALLS = 3_000, 20_000
BETWEEN = 100
"""Answers with data between one kill and the next, so that each victim has recovered."""

# What a caller may be told while something is being killed.
TRANSIENT = {
    *("data", "token", "unknown"),
    *("service-unavailable", "permissions-stale", "permissions-behind", "deadline-exceeded"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(session_directory: Path) -> AsyncIterator[TestTown]:
    """A town with data behind the real transfer."""
    directory = session_directory / "kill"
    async with Stack(
        directory / "platform",
        settings=StackSettings(postgres_url_file=None, kafka=None, stack_port=None),
    ) as stack:
        town = await found_town(stack, directory / "town")
        await town.load()
        try:
            yield town
        finally:
            await town.close()


def load_of(town: TestTown, directory: Path, rate: float) -> Load:
    """Return a load that keeps coming to both workers, also to one that has just come back."""
    lane = town.lane("consumer", connections=12, rate=rate, calls_per_connection=60)
    return Load(directory, [lane])


async def kill_in_turn(town: TestTown, load: Load, victims: Sequence[str]) -> None:
    """Kill one after the other, each when the one before is back and calls are answered."""
    for victim in victims:
        town.stack.kill(victim)
        await town.stack.wait_ready(victim)
        back = time.monotonic()
        await wait_until(
            lambda since=back: load.count("data", since=since) > BETWEEN,  # type: ignore[misc]
            60,
            f"answers after {victim} was killed",
        )
    for process in town.stack.plans:
        await town.stack.wait_ready(process)


async def proved(town: TestTown, load: Load) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Download all evidence; return what `datong verify` says of it, and the records."""
    package = await shipped(town)
    report = await run_verifier(town, package, load.log)
    return report, records_of(package)


async def test_every_answer_has_its_record_whatever_was_killed(
    town: TestTown, tmp_path: Path, long_form: bool, figures: Figures
) -> None:
    victims = ALL_VICTIMS if long_form else VICTIMS
    wanted = ALL_CALLS if long_form else CALLS
    async with load_of(town, tmp_path / "load", 250) as load:
        await kill_in_turn(town, load, victims)
        await wait_until(lambda: len(load.calls()) >= wanted, 300, f"{wanted} calls")
    report, records = await proved(town, load)

    found = losses(load.calls(), records)
    kinds = load.kinds()
    figures.tell(
        killed=len(victims),
        kinds=dict(kinds),
        losses=found.count,
        records=report["records"],
        epochs=report["epochs"],
        gaps=report["gaps"],
        joined=report["calls"],
        by_worker=dict(instances_of(records)),
    )
    assert report["problems"] == []
    assert report["verdict"] == "verified"
    assert (report["gaps"], report["calls"]["later"]) == (0, 0)
    assert (found.unrecorded, found.repeated, found.contradicted) == ([], [], [])
    assert set(kinds) <= TRANSIENT, kinds
    assert kinds["data"] > wanted / 2
    assert len(instances_of(records)) == 2
    _require_chains(records)


def _require_chains(records: list[dict[str, Any]]) -> None:
    """Each epoch of a worker but its first names its predecessor's last sequence."""
    last = Counter[tuple[str, str]]()
    begun: dict[str, list[dict[str, Any]]] = {}
    for record in records:
        if record["instance"].startswith("gateway-0/"):
            key = record["instance"], record["epoch"]
            last[key] = max(last[key], record["sequence"])
            if record["type"] == "epoch":
                begun.setdefault(record["instance"], []).append(record)
    for instance, epochs in begun.items():
        assert ["previous_epoch" in epoch for epoch in epochs] == [False] + [True] * (
            len(epochs) - 1
        )
        for epoch in epochs[1:]:
            assert last[instance, epoch["previous_epoch"]] == epoch["previous_sequence"]


async def test_without_the_safeguard_a_kill_loses_records(
    town: TestTown, tmp_path: Path, figures: Figures
) -> None:
    """Control run: answers that leave before their record; the same check must find losses."""
    for slot in SLOTS:
        await town.stack.restart_process(slot, DATONG_TEST_RELEASE_BEFORE_RECORD="1")
    async with load_of(town, tmp_path / "load", 250) as load:
        await kill_in_turn(town, load, SLOTS)
    report, records = await proved(town, load)

    found = losses(load.calls(), records)
    problems = Counter(problem["what"] for problem in report["problems"])
    figures.tell(
        kinds=dict(load.kinds()), losses=len(found.unrecorded), found_by_verify=dict(problems)
    )
    assert found.unrecorded
    assert problems["call-unrecorded"] >= len(found.unrecorded)
    assert report["verdict"] == "incomplete"
    assert {problem["call"] for problem in report["problems"]} >= set(found.unrecorded), json.dumps(
        report["problems"][:3]
    )
