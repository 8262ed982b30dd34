"""A resource shared under conditions: refused for a reason, granted by four people, enforced."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

from stack.demo.citizens import shown_name
from stack.demo.commands import StoryBroken, publish_rows
from stack.demo.deaths import (
    BENEFIT_CHECK,
    DEATHS,
    DEATHS_ENTRY,
    GRANTED_ITEMS,
    areas_of,
    read_deaths,
)
from stack.demo.divisions import HANGZHOU, write_csv
from stack.demo.entries import OTHER_PURPOSE, publish_entry
from stack.demo.procedure import YEAR, Asked, Signers, approve, draft, instant, refuse, submit
from stack.demo.refusals import Try, expect_refusals
from stack.demo.story.stage import Stage

SIGNERS: Final = Signers("benefits-officer", "benefits-head", "police-administrator", "police-head")
VAGUE: Final = Asked(
    DEATHS,
    GRANTED_ITEMS,
    BENEFIT_CHECK,
    basis="社会保险法第四十九条",
    scenario="待遇核查",
)
REASON: Final = "未说明核查对象和范围，请明确后重新申请"
PRECISE: Final = replace(
    VAGUE, scenario="逐人核查本市领取失业保险金期间死亡的人员，据以发放丧葬补助金和抚恤金"
)
ASKED: Final = 60
SHORT: Final = timedelta(seconds=8)
"""Period of a grant that expires while the story is told."""


class ConditionalSharing:
    """The chapter of 死亡登记.

    Attributes:
        answers: how many calls were answered with its rows, or with none that are covered.
        evidence: id of the record of one answer.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._source = read_deaths().to_pylist()
        self._areas = areas_of(HANGZHOU)
        self._grant = ""
        self.answers = 0
        self.evidence = ""

    async def publish(self) -> dict[str, Any]:
        """Have the police bureau publish the entry and its rows."""
        town = self._stage.town
        await publish_entry(
            town, DEATHS_ENTRY, writer="police-registrar", approver="police-reviewer"
        )
        file = self._stage.directory / "deaths.csv"
        write_csv(read_deaths(), file)
        published = await publish_rows(town, DEATHS, file, system="population")
        batch = published["batch"]
        if batch["rows"] != len(self._source):
            raise StoryBroken(f"{len(self._source)} rows were published, the batch tells {batch}")
        return {"class": DEATHS_ENTRY["share_class"], "rows": batch["rows"]}

    async def be_granted(self) -> dict[str, Any]:
        """Ask vaguely and be refused; ask precisely and be granted less than was asked for."""
        town = self._stage.town
        request = await submit(town, SIGNERS, VAGUE, "benefits")
        refused = await refuse(town, SIGNERS, request, REASON)
        if (refused["state"], refused["refusal"]["reason"]) != ("refused", REASON):
            raise StoryBroken(f"the vague request is not refused with its reason: {refused}")
        request = await submit(town, SIGNERS, PRECISE, "benefits")
        granted = await approve(town, SIGNERS, request, **self._terms)
        self._grant = granted["grant"]["id"]
        steps = [f"{step['step']} {step['actor']}" for step in granted["steps"]]
        if len({step["actor"] for step in granted["steps"]}) != len(SIGNERS.names):
            raise StoryBroken(f"not four people signed: {steps}")
        return {
            "first request": f"{refused['state']}: {refused['refusal']['reason']}",
            "second request": f"{granted['state']}, signed by {len(steps)} people",
            "granted": ", ".join(granted["grant"]["items"]),
            "masks": granted["grant"]["masks"],
            "only rows of": f"{len(self._areas)} districts of Hangzhou",
        }

    @property
    def _terms(self) -> dict[str, Any]:
        """What the owner's answer leaves: a masked name, and rows of Hangzhou."""
        covered = {"all": [{"item": "area", "in": self._areas}]}
        return {"masks": {"name": "name"}, "row_filter": covered}

    async def ask(self) -> dict[str, Any]:
        """Ask for people by number and by day; the answers hold what was granted, as granted."""
        client = self._stage.town.client("benefits")
        covered = 0
        for row in self._source[:ASKED]:
            expected = self._shown([row])
            covered += len(expected)
            found = await client.query(
                DEATHS, purpose=BENEFIT_CHECK, key={"id_number": row["id_number"]}
            )
            self._require(found.rows, expected)
            if expected:
                self.evidence = found.evidence or ""
        day = self._source[0]["died_on"]
        found = await client.query(DEATHS, purpose=BENEFIT_CHECK, where={"died_on": day})
        expected = self._shown(row for row in self._source if row["died_on"] == day)
        self._require(found.rows, expected)
        self.answers += ASKED + 1
        return {
            "asked for by number": ASKED,
            "of Hangzhou": covered,
            "of elsewhere, not shown": ASKED - covered,
            f"died on {day}": len(expected),
            "one of them": list(expected[0].values()),
        }

    async def ask_again(self) -> None:
        """Ask for one person, as before."""
        row = self._source[0]
        found = await self._query("benefits")
        self._require(found.rows, self._shown([row]))
        self.answers += 1

    def _shown(self, rows: Any) -> list[dict[str, Any]]:
        """Return what the grant shows of source rows, in the order of the key."""
        shown = [
            {
                "id_number": row["id_number"],
                "name": shown_name(row["name"]),
                "died_on": row["died_on"],
            }
            for row in rows
            if row["area"] in self._areas
        ]
        return sorted(shown, key=lambda row: row["id_number"])

    def _require(self, found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
        if found != expected:
            raise StoryBroken(f"got {found}, expected {expected}")

    async def be_refused(self) -> dict[str, Any]:
        """Go beyond the grant in every direction; each is refused for its own reason."""
        expiry = await self._grant_shortly()
        later = await submit(self._stage.town, SIGNERS, PRECISE, "pensions", YEAR)
        await approve(self._stage.town, SIGNERS, later, **self._terms)
        found = await expect_refusals([*self._calls(), *await self._steps()])
        await asyncio.sleep(max(0.0, expiry - asyncio.get_running_loop().time()))
        return found | await expect_refusals(
            [("after the period", "grant-expired", lambda: self._query("campaign"))]
        )

    async def _grant_shortly(self) -> float:
        """Grant for some seconds and use it; return the loop's time after which it is over."""
        town = self._stage.town
        request = await submit(town, SIGNERS, PRECISE, "campaign")
        over = asyncio.get_running_loop().time() + SHORT.total_seconds()
        await approve(town, SIGNERS, request, valid_until=instant(SHORT), **self._terms)
        await self._query("campaign")
        self.answers += 1
        return over + 0.1

    async def _query(self, system: str, **changed: Any) -> Any:
        number = self._source[0]["id_number"]
        asked = {"purpose": BENEFIT_CHECK, "key": {"id_number": number}} | changed
        return await self._stage.town.client(system).query(DEATHS, **asked)

    def _calls(self) -> list[Try]:
        """Calls of systems."""
        benefits = self._stage.town.client("benefits")
        by_name: Mapping[str, Any] = {"key": None, "where": {"name": self._source[0]["name"]}}
        return [
            (
                "another item",
                "items-not-granted",
                lambda: self._query("benefits", items=["id_number", "cause"]),
            ),
            (
                "another purpose",
                "purpose-not-granted",
                lambda: self._query("benefits", purpose=OTHER_PURPOSE),
            ),
            ("another system", "grant-missing", lambda: self._query("recruitment")),
            ("before the period", "grant-not-yet-valid", lambda: self._query("pensions")),
            (
                "rows chosen by a masked item",
                "item-masked",
                lambda: self._query("benefits", **by_name),
            ),
            (
                "the whole table",
                "mode-not-granted",
                lambda: benefits.subscribe(DEATHS, purpose=BENEFIT_CHECK),
            ),
            (
                "rows of its own for the police's entry",
                "not-the-owner",
                lambda: benefits.open_batch(DEATHS, idempotency_key=str(uuid4())),
            ),
            (
                "a purpose that is no code",
                "call-malformed",
                lambda: self._query("benefits", purpose="p" * 65),
            ),
        ]

    async def _steps(self) -> list[Try]:
        """Steps of people in requests."""
        town = self._stage.town
        officer, head = town.client("benefits-officer"), town.client("benefits-head")
        administrator = town.client("police-administrator")
        own = (await draft(town, "benefits-head", PRECISE, "recruitment"))["id"]
        waiting = await submit(town, SIGNERS, PRECISE, "recruitment")
        return [
            (
                "submitted by an officer",
                "role-missing",
                lambda: officer.submit_request(own),
            ),
            ("submitted by who drafted it", "same-person", lambda: head.submit_request(own)),
            (
                "confirmed by who asks",
                "other-agency",
                lambda: head.confirm_answer(waiting),
            ),
            (
                "more approved than was asked for",
                "terms-not-narrower",
                lambda: administrator.answer_request(
                    waiting, "approve", items=[*GRANTED_ITEMS, "cause"]
                ),
            ),
            (
                "a period that ends before it begins",
                "period-invalid",
                lambda: administrator.answer_request(
                    waiting, "approve", valid_until=instant(-YEAR)
                ),
            ),
            (
                "confirmed before it is answered",
                "request-state-conflict",
                lambda: town.client("police-head").confirm_answer(waiting),
            ),
            (
                "read by a third agency",
                "request-unknown",
                lambda: town.client("requester").get_request(waiting),
            ),
        ]
