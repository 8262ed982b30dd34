"""The story by chapters: first call, first delivery, three share classes, evidence of it all."""

from collections.abc import Callable
from pathlib import Path

from stack.demo.report import DemoReport
from stack.demo.story.conditional import ConditionalSharing
from stack.demo.story.evidence import Evidence
from stack.demo.story.first_call import FirstCall
from stack.demo.story.first_delivery import FirstDelivery
from stack.demo.story.owners_service import OwnersServiceCalled
from stack.demo.story.questions import Questions
from stack.demo.story.stage import Stage
from stack.demo.story.statutory import StatutoryRecipient
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
        self._conditional = ConditionalSharing(self._stage)
        self._statutory = StatutoryRecipient(self._stage)
        self._owner = OwnersServiceCalled(self._stage, self._conditional)
        self._evidence = Evidence(self._stage)
        self._questions = Questions(self._stage, self._evidence)

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
        try:
            async with self._stage.memory_watched():
                await self._tell()
        finally:
            self._owner.close()

    async def _tell(self) -> None:
        await self._tell_first_call()
        await self._tell_first_delivery()
        await self._tell_three_classes()
        await self._tell_evidence()

    async def _tell_first_call(self) -> None:
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

    async def _tell_first_delivery(self) -> None:
        step = self._stage.step
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

    async def _tell_three_classes(self) -> None:
        step = self._stage.step
        async with step("conditional", "11 · the police bureau publishes 死亡登记") as facts:
            facts |= await self._conditional.publish()
        async with step("sign", "12 · refused with a reason, then granted by four people") as facts:
            facts |= await self._conditional.be_granted()
        async with step("masked", "13 · granted rows come, masked as granted") as facts:
            facts |= await self._conditional.ask()
        async with step("beyond", "14 · whatever goes beyond the grant is refused") as facts:
            facts |= await self._conditional.be_refused()
        async with step("statutory", "15 · whom a law names reads what is not shared") as facts:
            facts |= await self._statutory.read()
        async with step("excluded", "16 · everybody else is refused by the law") as facts:
            facts |= await self._statutory.be_refused()
        async with step("owner", "17 · the market regulator's own service is called") as facts:
            facts |= await self._owner.call()
        async with step("operations", "18 · other operations do not reach it") as facts:
            facts |= await self._owner.be_refused()
        async with step("stopped", "19 · it is stopped, and all else goes on") as facts:
            facts |= await self._owner.be_stopped()

    async def _tell_evidence(self) -> None:
        step = self._stage.step
        async with step("questions", "20 · the auditor asks three questions") as facts:
            facts |= await self._questions.who_used_it(self._conditional.answers)
            facts |= await self._questions.what_was_refused()
            facts |= await self._questions.is_it_proved(self._conditional.evidence)
        async with step("evidence", "21a · the auditor downloads the evidence") as facts:
            facts |= await self._evidence.download()

    async def prove(self) -> None:
        """Verify the package in a process of its own, after the platform has stopped."""
        step = self._stage.step
        async with step("verify", "21b · offline: every record is proved") as facts:
            facts |= await self._evidence.verify()
        async with step("tamper", "21c · offline: five forgeries are found") as facts:
            facts |= await self._evidence.find_forgeries()
