"""The auditor's three questions, each asked by one command."""

import asyncio
from typing import Any, Final

from stack.demo.cast import HUMAN_RESOURCES
from stack.demo.commands import StoryBroken, run_as
from stack.demo.deaths import BENEFIT_CHECK, DEATHS
from stack.demo.report import denials_of
from stack.demo.story.evidence import Evidence
from stack.demo.story.stage import Stage

INDEX_SECONDS: Final = 30.0


class Questions:
    """The chapter of the auditor's questions.

    Args:
        evidence: whose notes hold the log's key and the first checkpoint.
    """

    def __init__(self, stage: Stage, evidence: Evidence) -> None:
        self._stage = stage
        self._evidence = evidence

    async def who_used_it(self, times: int) -> dict[str, Any]:
        """Who used 死亡登记 in the last hour, and for what: `times` answers, all of one agency."""
        async with asyncio.timeout(INDEX_SECONDS):
            while True:
                uses = await self._ask("uses", DEATHS, "--since", "1h")
                if sum(use["count"] for use in uses) >= times:
                    break
                await asyncio.sleep(0.5)
        told = {(use["caller_agency"], use["purpose"]) for use in uses}
        if told != {(HUMAN_RESOURCES, BENEFIT_CHECK)}:
            raise StoryBroken(f"others used it, or for another purpose: {uses}")
        return {
            "who used 死亡登记": sorted({use["caller_agency"] for use in uses}),
            "for": BENEFIT_CHECK,
            "answers": sum(use["count"] for use in uses),
            "rows": sum(use["rows"] for use in uses),
        }

    async def what_was_refused(self) -> dict[str, Any]:
        """Which refusals had which reasons: as many as the callers noted themselves."""
        refusals = await self._ask("refusals", "--since", "1h", "--resource", DEATHS)
        found: dict[str, int] = {}
        for refusal in refusals:
            found[refusal["reason"]] = found.get(refusal["reason"], 0) + refusal["count"]
        noted = denials_of(self._stage.town.calls.path)
        if not found or any(noted[reason] < count for reason, count in found.items()):
            raise StoryBroken(f"other refusals are on record than were seen: {found}, {noted}")
        return {"refusals of calls to 死亡登记": found}

    async def is_it_proved(self, record: str) -> dict[str, Any]:
        """Prove one record against the key and the checkpoint that were noted at the beginning."""
        notes = self._evidence.notes
        proved = await self._ask(
            *("prove", record, "--key", str(notes / "log.vkey")),
            *("--checkpoint", str(notes / "checkpoint")),
        )
        if proved["proved"] is not True or proved["record"]["record"] != record:
            raise StoryBroken(f"the record {record} was not proved: {proved}")
        return {"proved": record, "leaf": proved["leaf"], "of records": proved["size"]}

    async def _ask(self, *arguments: str) -> Any:
        answer, _ = await run_as(self._stage.town, "auditor", "audit", *arguments)
        return answer["items"] if isinstance(answer, dict) and "items" in answer else answer
