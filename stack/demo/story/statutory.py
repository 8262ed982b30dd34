"""What is not shared: read by the one recipient whom a law names, refused to everybody else."""

from functools import partial
from typing import Any, Final

from stack.demo.adoptions import CASE, INVESTIGATION, RECIPIENTS_LAW, read_adoptions
from stack.demo.citizens import shown_number
from stack.demo.commands import StoryBroken, publish_rows
from stack.demo.divisions import write_csv
from stack.demo.entries import ADOPTIONS, ARTICLE, LAW
from stack.demo.procedure import Asked, Signers, approve, draft, submit
from stack.demo.refusals import Try, expect_refusals
from stack.demo.story.stage import Stage

SIGNERS: Final = Signers(
    "police-officer", "police-sharing-head", "administrator", "civil-affairs-head"
)
ASKED: Final = Asked(
    ADOPTIONS,
    ("file", "adopter", "adopter_number", "registered_on"),
    INVESTIGATION,
    basis="刑事诉讼法第五十四条",
    scenario="拐卖儿童案件侦查，逐案调取证据",
    statutory=RECIPIENTS_LAW,
)
WITHOUT_LAW: Final = Asked(
    ADOPTIONS, ASKED.items, INVESTIGATION, basis=ASKED.basis, scenario=ASKED.scenario
)
OTHERS: Final = ("consumer", "latecomer", "benefits", "population")
"""Systems that no law names; the last one is of the recipient's own agency."""


class StatutoryRecipient:
    """The chapter of 收养登记档案."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._row: dict[str, Any] = read_adoptions().slice(7, 1).to_pylist()[0]
        self._grant = ""

    async def read(self) -> dict[str, Any]:
        """Have the police be granted what a law entitles them to, and read one file."""
        town = self._stage.town
        file = self._stage.directory / "adoptions.csv"
        write_csv(read_adoptions(), file)
        published = await publish_rows(town, ADOPTIONS, file)
        request = await submit(town, SIGNERS, ASKED, "investigation")
        granted = await approve(town, SIGNERS, request, masks={"adopter_number": "id_number"})
        self._grant = granted["grant"]["id"]
        found = await town.client("investigation").query(
            ADOPTIONS, purpose=INVESTIGATION, case=CASE, key={"file": self._row["file"]}
        )
        expected = self._row | {"adopter_number": shown_number(self._row["adopter_number"])}
        if found.rows != [expected]:
            raise StoryBroken(f"got {found.rows}, expected {expected}")
        told = {
            "rows published": published["batch"]["rows"],
            "recipient": granted["consumer"],
            "entitled by": f"{RECIPIENTS_LAW['title']} {RECIPIENTS_LAW['article']}",
            "case": CASE,
            "read": list(expected.values()),
        }
        self._stage.report.statutory |= {
            "resource": ADOPTIONS,
            "recipient": granted["consumer"],
            "statutory": granted["grant"]["statutory"],
            "rows": len(found.rows),
        }
        return told

    async def be_refused(self) -> dict[str, Any]:
        """Refuse everybody else, naming the law; end the grant when the case is closed."""
        town = self._stage.town
        tries: list[Try] = [
            (f"system {name}", "class-not-shared", partial(self._query, name)) for name in OTHERS
        ]
        tries.append(
            (
                "a request that names no law",
                "class-not-shared",
                lambda: draft(town, "police-officer", WITHOUT_LAW, "population"),
            )
        )
        found = await expect_refusals(tries)
        await town.client("administrator").end_grant(self._grant, "案件已办结")
        found |= await expect_refusals(
            [("after the case was closed", "grant-ended", lambda: self._query("investigation"))]
        )
        self._stage.report.statutory |= {
            "refused to others": len(tries),
            "law named": f"{LAW} {ARTICLE}",
            "afterwards": found["after the case was closed"],
        }
        return found

    async def _query(self, system: str) -> Any:
        return await self._stage.town.client(system).query(
            ADOPTIONS, purpose=INVESTIGATION, case=CASE, key={"file": self._row["file"]}
        )
