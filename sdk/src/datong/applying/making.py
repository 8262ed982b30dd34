"""Makes what is missing, several objects at once, and says what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from datong import enrolment
from datong.applying.people import People
from datong.applying.report import Outcome, Report
from datong.applying.signing import sign
from datong.applying.spool import Item
from datong.applying.stating import Stated
from datong.applying.surveying import Found
from datong.client import AsyncClient
from datong.errors import DatongError, IdentityUnusable, Refused
from datong.operations.operation import Json

T = TypeVar("T")
Progress = Callable[[str, int, int], None]
"""Told section, objects done, and objects stated."""

PATIENCE_SECONDS = 10.0
"""How long the platform's parts may take to hear of what another part has just made."""
_PAUSE_SECONDS = 0.2
_SOON = frozenset(
    {"resource-unknown", "system-unknown", "agency-unknown", "overloaded", "service-unavailable"}
)
_AGENCY = ("name", "level", "area_code", "line", "competent", "audits")
_ENTRY = ("name", "summary", "share_class", "update_frequency", "modes")
_STEPS = ("by", "approved_by")

Done = tuple[Outcome, str]
THERE: Done = (Outcome.THERE, "")
MADE: Done = (Outcome.MADE, "")


async def patiently(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call again while it is refused for what will soon be known.

    Raises:
        Refused: still so after `PATIENCE_SECONDS`, or for another reason at once.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await call()
        except Refused as refused:
            if refused.code not in _SOON or time.monotonic() > until:
                raise
        await asyncio.sleep(_PAUSE_SECONDS)


@dataclass
class Making:
    """One run."""

    stated: Stated
    found: Found
    people: People
    report: Report
    at_once: int
    progress: Progress

    async def run(self) -> None:
        """Make agencies from the top of their tree downwards, then all else in its order.

        Raises:
            Unreachable, ProofFailed, AnswerMalformed: what was made so far stays.
        """
        spool = self.stated.spool
        for section in spool.counts:
            self.report.sections[section].stated = spool.counts[section]
        depths = self._depths()
        for depth in sorted(set(depths.values())):
            items = spool.items("agencies")
            level = (item for item in items if depths[item.value["id"]] == depth)
            await self._all("agencies", level, self._agency)
        await self._all("people", spool.items("people"), self._person)
        await self._all("systems", spool.items("systems"), self._system)
        await self._all("entries", spool.items("entries"), self._entry)
        await self._all("requests", spool.items("requests"), self._request)

    def _depths(self) -> dict[str, int]:
        depths: dict[str, int] = {}
        for first in self.stated.agencies:
            path, at = [], first
            while at not in depths and at in self.stated.agencies:
                path.append(at)
                above = self.stated.agencies[at].competent
                if above is None or above == at:
                    break
                at = above
            for agency in reversed(path):
                above = self.stated.agencies[agency].competent
                depths[agency] = depths.get(above or "", -1) + 1 if above != agency else 0
        return depths

    async def _all(
        self, section: str, items: Iterator[Item], make: Callable[[Item], Awaitable[Done]]
    ) -> None:
        """Take items one after another, as many at once as allowed.

        A failure that is no refusal ends it once what is in hand is done: a code that an answer
        holds is told only once.
        """
        stated = self.report.sections[section].stated
        failures: list[DatongError] = []

        async def worker() -> None:
            for item in items:
                try:
                    outcome, detail = await make(item)
                except (Refused, IdentityUnusable) as refused:
                    outcome, detail = Outcome.FAILED, _line(refused)
                except DatongError as error:
                    failures.append(error)
                    return
                self.report.note(section, item.place, outcome, detail)
                self.progress(section, _done(self.report, section), stated)
                if failures:
                    return

        await asyncio.gather(*(worker() for _ in range(self.at_once)))
        if failures:
            raise failures[0]

    async def _agency(self, item: Item) -> Done:
        value = item.value
        known = self.found.agencies.get(value["id"])
        officer = value["security_officer"]["identity"]
        if known is None:
            body = {name: value[name] for name in (*_AGENCY, "id") if name in value}
            body["security_officer"] = {"name": value["security_officer"]["name"]}
            async with self.people.client(value["by"]) as client:
                made = await patiently(lambda: client.create_agency(body))
            await self._enrol(officer, made["security_officer"]["code"], value["by"])
            return MADE
        resumed = await self._resume(officer, value["by"])
        return _compared(value, known, _AGENCY) or (MADE if resumed else THERE)

    async def _person(self, item: Item) -> Done:
        body = {"name": item.value["name"], "roles": item.value.get("roles", [])}
        return await self._holder(item, lambda client: client.create_person(body))

    async def _system(self, item: Item) -> Done:
        body = {"name": item.value["name"]}
        return await self._holder(item, lambda client: client.create_system(body))

    async def _holder(self, item: Item, create: Callable[[AsyncClient], Awaitable[Json]]) -> Done:
        value = item.value
        by = value.get("by") or self.stated.agencies[value["agency"]].officer or ""
        enrolled = self.people.folders.find(value["identity"])
        if enrolled is not None:
            known = self.found.holders.get(enrolled.id)
            stated = value | ({"roles": sorted(value["roles"])} if "roles" in value else {})
            return (_compared(stated, known, ("name", "roles")) if known else None) or THERE
        if await self._resume(value["identity"], by):
            return MADE
        async with self.people.client(by) as client:
            made = await patiently(lambda: create(client))
        await self._enrol(value["identity"], made["code"], by)
        return MADE

    async def _resume(self, name: str, by: str) -> bool:
        """Enrol with a code that an interrupted run has left; tell whether there was one."""
        folders = self.people.folders
        code = folders.kept_code(name)
        if code is None or folders.find(name) is not None:
            return False
        await self._enrol(name, code, by)
        return True

    async def _enrol(self, name: str, code: str, by: str) -> None:
        folders = self.people.folders
        folders.keep_code(name, code)
        gateway, server_ca = self.people.address(by)
        identity = await enrolment.enrol(
            code,
            folders.path(name),
            gateway=gateway,
            server_ca=server_ca,
            call_log=self.people.call_log,
        )
        folders.enrolled(name, identity.kind, identity.id, identity.agency)
        folders.drop_code(name)

    async def _entry(self, item: Item) -> Done:
        value = item.value
        known = self.found.entries.get(value["resource"])
        state, entry = (known["state"], known["id"]) if known else (None, "")
        if state == "withdrawn":
            return Outcome.DIFFERS, f"entry {value['resource']} was withdrawn"
        if known is not None:
            differs = _compared(value, known, _ENTRY)
            if differs is not None or state == "published":
                return differs or THERE
        async with self.people.client(value["by"]) as registrar:
            if state is None:
                body = {name: each for name, each in value.items() if name not in _STEPS}
                entry = (await patiently(lambda: registrar.create_entry(body)))["id"]
            if state in (None, "draft"):
                await patiently(lambda: registrar.submit_entry(entry))
        async with self.people.client(value["approved_by"]) as reviewer:
            await patiently(lambda: reviewer.approve_entry(entry))
        return MADE

    async def _request(self, item: Item) -> Done:
        return await sign(item.value, self.people, self.found.requests, patiently)


def _compared(stated: Json, known: Json, names: tuple[str, ...]) -> Done | None:
    """What differs between a stated object and the one that is there; None when nothing does."""
    differing = [
        f"{name} is {known[name]!r}, not {stated[name]!r}"
        for name in names
        if name in stated and name in known and _plain(stated[name]) != _plain(known[name])
    ]
    return (Outcome.DIFFERS, "; ".join(differing)) if differing else None


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def _line(error: Refused | IdentityUnusable) -> str:
    if isinstance(error, IdentityUnusable):
        return error.detail
    wrong = "".join(f"; at {each.get('pointer')}: {each.get('detail')}" for each in error.errors)
    return f"{error.code}: {error.detail}{wrong}"


def _done(report: Report, section: str) -> int:
    count = report.sections[section]
    return count.there + count.made + count.differs + count.failed
