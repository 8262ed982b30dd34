"""One process under watch: restarted when it ends by itself, with growing pauses."""

import asyncio
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from stack.process import Process, StartFailed

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
SETTLED_SECONDS = 10.0  # having run that long, the next end is a new story
QUICK_ENDS = 4  # during start-up: then it is a mistake, not an accident


@dataclass
class Watched:
    """A process that should be running, until told otherwise.

    Attributes:
        start: starts it anew and returns it; a server may prepare first.
        is_ready: asks it; a wrong answer is False, never an exception.
        stop_rank: lower ones are stopped first.
    """

    name: str
    start: Callable[[], Process]
    is_ready: Callable[[], Awaitable[bool]]
    stop_rank: int
    process: Process | None = None
    wanted: bool = False
    ready: bool = False
    restarts: int = 0
    _quick_ends: int = field(default=0, repr=False)
    _started: float = field(default=0.0, repr=False)
    _start_again: float = field(default=0.0, repr=False)

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        if self.process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.process is not None and self.process.running

    @property
    def condition(self) -> str:
        """One word for people: ready, starting, restarting, stopped."""
        if self.running:
            return "ready" if self.ready else "starting"
        return "restarting" if self.wanted else "stopped"

    def begin(self) -> None:
        """Want it running, and start it."""
        self.wanted = True
        self.ready = False
        self._started = time.monotonic()
        self.process = self.start()

    def look(self) -> bool:
        """Start it again when it ended unasked and its pause is over; return whether it was."""
        if not self.wanted or self.running:
            return False
        now = time.monotonic()
        if self._start_again == 0.0:
            self.ready = False
            settled = now - self._started > SETTLED_SECONDS
            self._quick_ends = 0 if settled else self._quick_ends + 1
            pause = min(FIRST_PAUSE * 2**self._quick_ends, LONGEST_PAUSE)
            self._start_again = now + pause
        if now < self._start_again:
            return False
        self._start_again = 0.0
        self.restarts += 1
        self.begin()
        return True

    def check_start(self) -> None:
        """Give up on a process that ends again and again while the platform starts.

        Raises:
            StartFailed: with the end of its log.
        """
        if self._quick_ends >= QUICK_ENDS and self.process is not None and not self.running:
            raise self.process.failure(f"keeps ending, at last with {self.process.returncode}")

    async def until_ready(self, seconds: float, *, starting: bool = False) -> None:
        """Wait until it is ready.

        Raises:
            StartFailed: it was not in time, or (when `starting`) keeps ending.
        """
        deadline = time.monotonic() + seconds
        while not (self.running and await self.is_ready()):
            if starting:
                self.check_start()
            if time.monotonic() > deadline:
                if self.process is None:
                    raise StartFailed(f"{self.name} was not started")
                raise self.process.failure(f"was not ready within {seconds:g} s")
            await asyncio.sleep(0.05)
        self.ready = True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        if self.process is not None:
            self.process.send(number)

    def kill(self) -> None:
        """Kill the process alone, without warning, and see it gone; it is still wanted."""
        if self.process is not None:
            self.ready = False
            self.process.send(signal.SIGKILL)
            self.process.wait()

    async def end(self, seconds: float) -> None:
        """Want it stopped: tell it, wait, kill what is left after `seconds`."""
        self.wanted = False
        self.ready = False
        if self.process is None:
            return
        self.process.tell_to_stop()
        await until_ended(self.process, seconds)
        self.process.kill()


async def until_ended(process: Process, seconds: float) -> bool:
    """Wait until the process has ended; return False when it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    while process.running:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
