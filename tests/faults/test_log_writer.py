"""The log writer under SIGSTOP and SIGKILL: no published checkpoint is ever contradicted.

A control run turns create-if-absent off; the same check must then find a contradiction.
"""

import asyncio
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from kit.migrate import upgrade
from services.audit.domain import notes, tree
from services.audit.domain.commits import staged_number
from services.audit.store.follower import LogFollower
from services.audit.store.keys import is_signature
from services.audit.store.log import LogView, newest_number, read_commit
from stack.kafka import Kafka
from stack.process import Process
from tests.integration.audit.platform import ORIGIN, Gateway, Place, send, topics
from tests.support.processes import wait_until

Start = Callable[..., Process]
FATAL = 3


@pytest.fixture(scope="module")
def bus(own_kafka: Kafka) -> str:
    asyncio.run(topics(own_kafka.bootstrap))
    return own_kafka.bootstrap


@pytest.fixture
async def place(tmp_path: Path, bus: str, database_url: str) -> Place:
    await upgrade(database_url, "services.audit")
    return Place(tmp_path / "log", bus, database_url)


class Witness:
    """Somebody who notes every checkpoint that readers can get, while the log grows.

    Checkpoints are taken from where they are published: the newest commit, and the file that is
    kept outside.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.seen: set[bytes] = set()

    def __enter__(self) -> "Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.look()

    def look(self) -> None:
        """Note what is published now."""
        number = newest_number(self._place.store)
        commit = read_commit(self._place.store, number) if number >= 0 else None
        if commit is not None:
            self.seen.add(commit.checkpoint.encode())
        if self._place.outside.exists():
            self.seen.add(self._place.outside.read_bytes())

    def contradictions(self) -> list[str]:
        """Compare every checkpoint ever seen with the log as it is now; say what does not fit."""
        self.look()
        view = self._place.view()
        found: list[str] = []
        leaves = tree.LevelArrays()
        try:
            leaves.extend(tree.leaf_hash(r) for _, r in view.records(0, view.size))
        except (LookupError, RuntimeError, ValueError) as error:
            found.append(f"the log cannot be read: {error!r}")
        if leaves.size and leaves.root() != view.commit.root:
            found.append("the records do not give the newest root")
        for note in self.seen:
            known = notes.open_checkpoint(note, self._place.key.verifier, ORIGIN, is_signature)
            if known.size > leaves.size or leaves.root(known.size) != known.root:
                found.append(f"the checkpoint of size {known.size} is contradicted")
        return found


def start_writer(start_process: Start, place: Place, **hooks: str) -> Process:
    return start_process("-m", "services.audit", "write", **place.environment(**hooks))


def log_of(view: LogView) -> list[bytes]:
    return [record for _, record in view.records(0, view.size)]


def is_stopped(process: Process) -> bool:
    state = Path(f"/proc/{process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0]
    return state == "T"


async def overtake(
    place: Place, start_process: Start, gateways: Iterator[Gateway], hook: str
) -> tuple[Process, list[bytes]]:
    """Stop a writer just before it commits, let another go on, resume the first.

    Returns:
        the first writer, resumed, and the log as the second one left it.
    """
    await send(place.bootstrap, next(gateways).records)
    paused = start_writer(start_process, place, DATONG_TEST_HOOK=hook, DATONG_TEST_STOP_AT="2")
    await wait_until(lambda: place.size >= 40, 30, "the first commit")
    # What is no record becomes an alarm, with an id that each writer makes itself: from here on
    # the trees of two writers differ, also when both take in the same messages.
    await send(place.bootstrap, [b"no record", *next(gateways).records])
    await wait_until(lambda: is_stopped(paused), 30, "stopped before commit 2")
    before = place.size
    other = start_writer(start_process, place)
    await wait_until(lambda: place.size >= before + 41, 30, "the other one went on")
    other.stop()
    log = log_of(place.view())
    paused.send(signal.SIGCONT)
    return paused, log


@pytest.fixture
def gateways() -> Iterator[Gateway]:
    """Gateways with 40 records each."""

    def make() -> Iterator[Gateway]:
        number = 0
        while True:
            gateway = Gateway(f"gateway-{number}/0")
            for _ in range(39):
                gateway.call()
            number += 1
            yield gateway

    return make()


async def test_a_writer_that_was_stopped_and_replaced_cannot_commit(
    place: Place, start_process: Start, gateways: Iterator[Gateway]
) -> None:
    with Witness(place) as witness:
        paused, log = await overtake(place, start_process, gateways, "stop-before-commit")
        await wait_until(lambda: not paused.running, 20, "the resumed writer ended")
    assert paused.returncode == FATAL
    assert log_of(place.view()) == log
    assert witness.contradictions() == []


async def test_without_create_if_absent_the_same_check_finds_the_fork(
    place: Place, start_process: Start, gateways: Iterator[Gateway]
) -> None:
    with Witness(place) as witness:
        paused, log = await overtake(place, start_process, gateways, "overwrite-commits")
        await wait_until(
            lambda: not paused.running or log_of_or_none(place) != log, 20, "the log was changed"
        )
    paused.kill()
    assert witness.contradictions() != []


def log_of_or_none(place: Place) -> list[bytes] | None:
    """The log, or None when it can no longer be read."""
    try:
        return log_of(place.view())
    except (LookupError, RuntimeError, ValueError):
        return None


def bundles_of(place: Place) -> set[str]:
    """Bundles and tiles that are being written or wait for their commit."""
    return {*place.store.list("writing"), *place.store.list("staged")}


def wait_for_bundles(place: Place, left: set[str], delay: float) -> None:
    """Wait, without the slack of an event loop, until bundles are written, and then `delay`."""
    deadline = time.monotonic() + 30
    while bundles_of(place) <= left:
        assert time.monotonic() < deadline, "no bundles were written"
        time.sleep(0.0005)
    time.sleep(delay)


def fell_between(place: Place, left: set[str]) -> bool:
    """Whether a writer died with bundles, besides those `left` before, that no commit names."""
    number = newest_number(place.store)
    new = bundles_of(place) - left
    return any(name.startswith("writing/") or staged_number(name) > number for name in new)


async def test_killed_at_random_moments_the_log_never_contradicts_itself(
    place: Place, start_process: Start, long_form: bool
) -> None:
    kills = 50 if long_form else 8
    moments = random.Random(20261124)
    gateway = Gateway()
    sent = inside = 0
    with Witness(place) as witness:
        for kill in range(kills):
            for _ in range(3000):
                gateway.call()
            left = bundles_of(place)
            hooks = {}
            if kill % 4 == 3:  # at the very last moment before the commit
                stop_at = max(1, newest_number(place.store) + 1)
                hooks = {
                    "DATONG_TEST_HOOK": "stop-before-commit",
                    "DATONG_TEST_STOP_AT": str(stop_at),
                }
            writer = start_writer(start_process, place, **hooks)
            await send(place.bootstrap, gateway.records[sent:])
            sent = len(gateway.records)
            if hooks:
                await wait_until(partial(is_stopped, writer), 30, "stopped before its commit")
            elif kill % 4:
                await asyncio.to_thread(wait_for_bundles, place, left, moments.random() * 0.04)
            else:  # while it opens the log, or after its commits
                await asyncio.sleep(moments.random() * 4)
            writer.kill()
            # One that was stopped there counts: its bundles may bear the names of those before.
            inside += bool(hooks) or fell_between(place, left)
        writer = start_writer(start_process, place)

        def complete() -> bool:
            epochs = LogFollower(place.store).epochs()[1]
            epoch = epochs.get((gateway.instance, gateway.epoch))
            return epoch is not None and epoch.accepted == sent - 1

        await wait_until(complete, 120, "all records in the log")
        writer.stop()
    assert [r for r in log_of(place.view()) if gateway.epoch.encode() in r] == gateway.records
    assert witness.contradictions() == []
    assert inside >= kills // 4, "too few kills fell between bundle and checkpoint"
