"""What all chapters share: the platform, everybody on it, the steps, and what they were like."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Final

from stack.demo.commands import StoryBroken
from stack.demo.report import DemoReport, Step
from stack.demo.town import Town
from stack.supervisor import Stack
from stack.supervisor.housekeeping import pss

MEMORY_SECONDS: Final = 2.0
COMMANDS: Final = "datong commands"


class Stage:
    """The scene of the story.

    Args:
        stack: the running platform.
        directory: folder for everything that the story leaves.
        progress: told what is being done.
    """

    def __init__(self, stack: Stack, directory: Path, progress: Callable[[str], None]) -> None:
        self.stack = stack
        self.directory = directory
        self.progress = progress
        self.report = DemoReport()
        self._town: Town | None = None

    @property
    def town(self) -> Town:
        """Everybody; known once they are enrolled."""
        if self._town is None:
            raise StoryBroken("nobody is enrolled yet")
        return self._town

    @town.setter
    def town(self, town: Town) -> None:
        self._town = town

    @contextlib.asynccontextmanager
    async def step(self, name: str, title: str) -> AsyncIterator[dict[str, Any]]:
        """Time one step; what the block puts into the yielded facts goes into the report."""
        self.progress(title)
        step = Step(name, title)
        self.report.steps.append(step)
        began = time.perf_counter()
        try:
            yield step.facts
            step.ok = True
        except Exception as error:
            step.facts["failed"] = str(error)
            raise
        finally:
            step.seconds = round(time.perf_counter() - began, 2)

    @contextlib.asynccontextmanager
    async def memory_watched(self) -> AsyncIterator[None]:
        """Note the most memory that all processes had together, looked up every 2 s."""

        async def watch() -> None:
            while True:
                self.report.memory.note(await asyncio.to_thread(self._memory))
                await asyncio.sleep(MEMORY_SECONDS)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    def _memory(self) -> dict[str, int]:
        """Return bytes by process; the departments' commands are children of this one too."""
        of_platform = self.stack.memory()
        together = pss(os.getpid())
        return of_platform | {COMMANDS: max(0, together - sum(of_platform.values()))}
