"""The story by chapters: a first call, a first delivery, and the evidence of all of it."""

from collections.abc import Callable
from pathlib import Path

from stack.demo.report import DemoReport
from stack.demo.story.evidence import Evidence
from stack.demo.story.first_call import FirstCall
from stack.demo.story.first_delivery import FirstDelivery
from stack.demo.story.stage import Stage
from stack.supervisor import Stack

__all__ = ["Story"]


class Story:
    """Runs the chapters on a running platform.

    Args:
        stack: freshly started; nobody exists on it.
        directory: new folder for identities, call log, databases, the auditor's notes, packages.
        progress: told what is being done.
    """

    def __init__(self, stack: Stack, directory: Path, progress: Callable[[str], None]) -> None:
        self._stage = Stage(stack, directory, progress)
        self._call = FirstCall(self._stage)
        self._delivery = FirstDelivery(self._stage)
        self._evidence = Evidence(self._stage)

    @property
    def report(self) -> DemoReport:
        """What was seen so far."""
        return self._stage.report

    async def tell(self) -> None:
        """Run the steps that need the platform.

        Raises:
            StoryBroken: something came out otherwise.
            DatongError: a call failed that must not.
        """
        async with self._stage.memory_watched():
            await self._tell()

    async def _tell(self) -> None:
        step = self._stage.step
        async with step("enrol", "1 · agencies, people and systems enrol") as facts:
            facts |= await self._call.enrol()
            facts |= await self._evidence.take_notes()
        async with step("publish", "2 · civil affairs publishes 行政区划代码") as facts:
            facts |= await self._call.publish()
        async with step("query", "3 · the health commission asks and receives") as facts:
            facts |= await self._call.request_and_ask()
        async with step("refusals", "4 · eight calls are refused, each with a reason") as facts:
            facts |= await self._call.be_refused()
        async with step("receive", "5 · the health commission takes the whole table") as facts:
            facts |= await self._delivery.receive()
        async with step("change", "6 · two districts of Hangzhou merge") as facts:
            facts |= await self._delivery.change()
        async with step("alert", "7 · a row is changed behind its back, and it shows") as facts:
            facts |= await self._delivery.be_alerted()
        async with step("repair", "8 · it renews its table, and both agree again") as facts:
            facts |= await self._delivery.repair()
        async with step("late", "9 · education joins late, with the same table") as facts:
            facts |= await self._delivery.join_late()
        async with step("revocation", "10 · the grant is suspended under load") as facts:
            facts |= await self._call.suspend_under_load()
        async with step("evidence", "11a · the auditor downloads the evidence") as facts:
            facts |= await self._evidence.download()

    async def prove(self) -> None:
        """Verify the package in a process of its own, after the platform has stopped."""
        step = self._stage.step
        async with step("verify", "11b · offline: every record is proved") as facts:
            facts |= await self._evidence.verify()
        async with step("tamper", "11c · offline: five forgeries are found") as facts:
            facts |= await self._evidence.find_forgeries()
