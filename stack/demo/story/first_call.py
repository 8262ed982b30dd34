"""Everybody enrols, civil affairs publishes, the health commission asks, the owner suspends."""

from collections.abc import Mapping
from typing import Any

from datong import CallLog
from stack.demo.calls import ask_much, be_refused, call_while
from stack.demo.cast import THREE_CLASSES
from stack.demo.commands import StoryBroken, publish_rows
from stack.demo.divisions import BROKEN, read_table, with_broken_rows, write_csv
from stack.demo.entries import (
    ADOPTIONS_ENTRY,
    DIVISIONS,
    DIVISIONS_ENTRY,
    publish_entry,
    request_divisions,
)
from stack.demo.story.stage import Stage
from stack.demo.town import AGENCIES, PEOPLE, SYSTEMS, Town, found, join


class FirstCall:
    """The chapter of a first call."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._grant = ""

    async def enrol(self) -> dict[str, Any]:
        """Enrol everybody on the platform."""
        stage = self._stage
        codes = await stage.stack.bootstrap()
        stage.town = Town(
            stage.stack.address("gateway"),
            stage.stack.certificates.ca,
            stage.directory / "town",
            CallLog(stage.directory / "town" / "calls.ndjson"),
        )
        operator, security = (file.read_text(encoding="utf-8").strip() for file in codes)
        await found(stage.town, (operator, security), stage.progress)
        await join(stage.town, THREE_CLASSES)
        agencies = len(AGENCIES) + len(THREE_CLASSES.agencies)
        return {
            "agencies": agencies + 1,
            "people": len(PEOPLE) + len(THREE_CLASSES.people) + agencies + 2,
            "systems": len(SYSTEMS) + len(THREE_CLASSES.systems),
        }

    async def publish(self) -> dict[str, Any]:
        """Publish both entries and, as one batch, all rows with ten broken ones among them."""
        stage = self._stage
        await publish_entry(stage.town, DIVISIONS_ENTRY)
        await publish_entry(stage.town, ADOPTIONS_ENTRY)
        table = read_table()
        file = stage.directory / "divisions.csv"
        write_csv(with_broken_rows(table), file)
        published = await publish_rows(
            stage.town, DIVISIONS, file, "--quarantine-limit", str(len(BROKEN))
        )
        batch = published["batch"]
        if (batch["rows"], batch["quarantined"]) != (table.num_rows, len(BROKEN)):
            raise StoryBroken(f"{table.num_rows} rows and {len(BROKEN)} broken ones: {batch}")
        stage.report.rows |= {"published": batch["rows"], "quarantined": batch["quarantined"]}
        return {
            "rows": batch["rows"],
            "quarantined": batch["quarantined"],
            "reasons": _reasons(published["quarantine"]),
            "chunks": batch["chunks"],
            "digest": batch["table"]["digest"],
        }

    async def request_and_ask(self) -> dict[str, Any]:
        """Find the entry, be granted it, and ask 500 times."""
        town = self._stage.town
        page = await town.client("requester").list_entries(resource=DIVISIONS)
        request = await request_divisions(town)
        self._grant = request["grant"]["id"]
        asked = await ask_much(town, read_table())
        return {"found": page.items[0]["name"], "state": request["state"]} | asked

    async def be_refused(self) -> dict[str, Any]:
        """Make eight wrong calls."""
        return await be_refused(self._stage.town)

    async def suspend_under_load(self) -> dict[str, Any]:
        """Suspend the grant while its system calls without a pause."""
        administrator = self._stage.town.client("administrator")

        async def suspend() -> Mapping[str, Any]:
            return await administrator.suspend_grant(self._grant, "核查用途")

        seen = await call_while(self._stage.town, suspend, before=1.0, after=2.0)
        if seen.others:
            raise StoryBroken(f"calls were refused for other reasons: {seen.others[:5]}")
        late = seen.last_answer - seen.told_at
        if late > 1.0:
            raise StoryBroken(f"data was released {late:.3f} s after the suspension's answer")
        self._stage.report.revocation_ms = seen.milliseconds
        return {
            "answered before": seen.answered,
            "refused after": seen.refused,
            "milliseconds to the first refusal": seen.milliseconds,
            "last data after the 200, ms": round(late * 1000, 1),
        }


def _reasons(quarantine: list[dict[str, Any]]) -> list[str]:
    """Return line, item and rule of each row that was left out.

    Raises:
        StoryBroken: they are not those that were broken.
    """
    found = [(fault["rule"], fault["item"]) for fault in quarantine]
    if found != [(rule, item) for rule, item, _ in BROKEN]:
        raise StoryBroken(f"other rows are in quarantine than were broken: {quarantine}")
    return [f"line {fault['line']}: {fault['item']} {fault['rule']}" for fault in quarantine]
