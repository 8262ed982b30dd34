"""One timer looks after all deadlines."""

import asyncio

from gateway.upstream import NEVER, Deadlines


class Watched:
    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.timed_out = asyncio.Event()
        self.ticked = asyncio.Event()

    def time_out(self, _now: float) -> None:
        self.deadline = NEVER
        self.timed_out.set()

    def tick(self, _now: float) -> None:
        self.ticked.set()


async def test_a_deadline_that_has_passed_is_acted_on_and_others_are_not() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    passed, later = Watched(0.0), Watched(NEVER)
    deadlines.add(passed)
    deadlines.add(later)
    deadlines.start()
    async with asyncio.timeout(5):
        await passed.timed_out.wait()
        await later.ticked.wait()
    assert not later.timed_out.is_set()
    deadlines.stop()


async def test_what_was_discarded_is_not_looked_at() -> None:
    deadlines = Deadlines(asyncio.get_running_loop())
    kept, gone = Watched(NEVER), Watched(0.0)
    deadlines.add(kept)
    deadlines.add(gone)
    deadlines.discard(gone)
    deadlines.start()
    async with asyncio.timeout(5):
        await kept.ticked.wait()
    assert not gone.timed_out.is_set()
    deadlines.stop()
