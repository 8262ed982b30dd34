"""The departments' own programs under test: killed at any moment, and started again at once."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stack.folders import CHECKOUT
from stack.process import Process
from stack.settings import inherited_environment
from stack.supervisor.watch import until_ended
from tests.support.processes import wait_until

PAUSE = 0.05


@dataclass
class Program:
    """One program that is run until it has succeeded, or over and over.

    Attributes:
        starts: how often it was started.
        ends: exit codes; minus the signal for one that was killed.
    """

    name: str
    log_file: Path
    starts: int = 0
    ends: list[int] = field(default_factory=list)
    _process: Process | None = None

    async def succeed(self, arguments: Sequence[str], *, expected: Sequence[int] = (0,)) -> None:
        """Run `python ARGUMENTS` again and again until it ends with an expected code."""
        while await self._run(arguments) not in expected:
            await asyncio.sleep(PAUSE)

    async def keep(self, arguments: Sequence[str]) -> None:
        """Run `python ARGUMENTS` again and again until cancelled; it is told to stop then."""
        while True:
            await self._run(arguments)
            await asyncio.sleep(PAUSE)

    async def kill(self) -> None:
        """`kill -9`, as soon as it runs."""
        await wait_until(lambda: self._process is not None and self._process.running, 60, self.name)
        assert self._process is not None
        self._process.kill()

    async def _run(self, arguments: Sequence[str]) -> int:
        process = Process(
            name=self.name,
            command=[sys.executable, *arguments],
            log_file=self.log_file,
            environment=inherited_environment(PYTHONUNBUFFERED="1"),
            directory=CHECKOUT,
        )
        process.start()
        self._process = process
        self.starts += 1
        try:
            while process.running:
                await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            process.tell_to_stop()
            await until_ended(process, 10)
            raise
        finally:
            process.kill()
        code = process.returncode
        assert code is not None
        self.ends.append(code)
        return code

    def tail(self) -> str:
        """Return the end of what it said."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")[-3000:]
