"""Looks at what is on the platform already, as far as files state it; changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from datong.applying.checking import Wanted
from datong.applying.people import People
from datong.applying.problems import Place, Problems
from datong.applying.scopes import scope_of
from datong.applying.stating import Stated, StatedEntry
from datong.applying.terms import check_terms, published_terms
from datong.operations import catalogue, identity, sharing
from datong.operations.operation import Json

PAGE = 200
_STATES = ("withdrawn", "draft", "submitted", "published")
"""Of entries; what stands later counts when an entry is found in several."""
_RANKS = ("withdrawn", "refused", "drafted", "supplement_asked", "submitted", "answered", "granted")
"""States of requests; the highest counts when the same was asked for more than once."""


@dataclass(frozen=True, slots=True)
class FoundRequest:
    """A request for the scope that a file states."""

    id: str
    version: int
    state: str
    grant_state: str | None


@dataclass
class Found:
    """What is there.

    Attributes:
        agencies: by id.
        holders: people and systems by id, of agencies whose officers are at hand.
        entries: by resource.
        requests: by scope, of stated ones only.
    """

    agencies: dict[str, Json] = field(default_factory=dict)
    holders: dict[str, Json] = field(default_factory=dict)
    entries: dict[str, Json] = field(default_factory=dict)
    requests: dict[bytes, FoundRequest] = field(default_factory=dict)


async def survey(
    stated: Stated, wanted: Wanted, people: People, problems: Problems, *, at_once: int
) -> Found:
    """Read what is there, and note what is missing and cannot be made.

    Raises:
        Refused: an identity may not read what it is stated to make.
        Unreachable: no answer.
    """
    work = _Survey(stated, people, at_once)
    anybody = work.choose()
    if anybody is None:
        return work.found  # nobody is enrolled: nothing can be there, and checks have said so
    await work.agencies(anybody)
    for agency, place in wanted.agencies.items():
        if agency not in work.found.agencies:
            problems.add(place, f"agency {agency} is neither stated nor on the platform")
    await work.holders()
    await work.entries(anybody, wanted.resources)
    for resource, place in wanted.resources.items():
        if work.found.entries.get(resource, {}).get("state") != "published":
            problems.add(place, f"resource {resource} is neither stated nor published")
    await work.terms(anybody, wanted.resources, problems)
    await work.requests()
    work.names(problems)
    return work.found


class _Survey:
    def __init__(self, stated: Stated, people: People, at_once: int) -> None:
        self.found = Found()
        self._stated = stated
        self._people = people
        self._folders = people.folders
        self._slots = asyncio.Semaphore(at_once)
        self._officers: dict[str, str] = {}
        self._registrars: dict[str, str] = {}
        self._askers: dict[str, str] = {}
        self._scopes: set[bytes] = set()

    def choose(self) -> str | None:
        """Choose whom to ask about each agency; return anybody who can be asked about all."""
        operators: dict[str, str] = {}
        spool = self._stated.spool
        for item in spool.items("agencies"):
            self._note(operators, item.value["by"])
            self._note(self._officers, item.value["security_officer"]["identity"])
        for section in ("people", "systems"):
            for item in spool.items(section):
                if "by" in item.value:
                    self._note(self._officers, item.value["by"])
        for item in spool.items("entries"):
            self._note(self._registrars, item.value["by"])
        for item in spool.items("requests"):
            self._note(self._askers, item.value["by"])
            self._note_scope(item.value)
        chosen = (operators, self._officers, self._registrars, self._askers)
        return next((name for names in chosen for name in names.values()), None)

    def _note(self, chosen: dict[str, str], name: str) -> None:
        enrolled = self._folders.find(name)
        if enrolled is not None:
            chosen.setdefault(enrolled.agency, name)

    def _note_scope(self, request: Json) -> None:
        by = self._folders.find(request["by"])
        systems = [self._folders.find(name) for name in request["systems"]]
        if by is not None and all(systems):
            ids = [system.id for system in systems if system is not None]
            self._scopes.add(scope_of(request, by.agency, ids))

    async def _each(self, work: Iterable[Coroutine[Any, Any, None]]) -> None:
        async def one(coroutine: Coroutine[Any, Any, None]) -> None:
            async with self._slots:
                await coroutine

        await asyncio.gather(*(one(coroutine) for coroutine in work))

    async def _list(
        self, name: str, take: Callable[[Json], None], list_: Any, **filters: Any
    ) -> None:
        async with self._people.client(name) as client:
            async for item in client.every(list_, limit=PAGE, **filters):
                take(item)

    async def agencies(self, anybody: str) -> None:
        """List all agencies, of which there are some hundreds."""

        def take(agency: Json) -> None:
            self.found.agencies[agency["id"]] = agency

        await self._list(anybody, take, identity.list_agencies)

    async def holders(self) -> None:
        """List people and systems where an officer is at hand."""

        def take(holder: Json) -> None:
            self.found.holders[holder["id"]] = holder

        await self._each(
            [
                self._list(name, take, identity.list_people, agency=agency)
                for agency, name in self._officers.items()
            ]
            + [self._list(name, take, identity.list_systems) for name in self._officers.values()]
        )

    async def entries(self, anybody: str, resources: Iterable[str]) -> None:
        """List the entries of each agency that states some, and look up single resources."""

        def take(entry: Json) -> None:
            known = self.found.entries.get(entry["resource"])
            ranks = [_STATES.index(each["state"]) for each in (known, entry) if each]
            if known is None or ranks[1] > ranks[0]:
                self.found.entries[entry["resource"]] = entry

        await self._each(
            [
                self._list(name, take, catalogue.list_entries, agency=agency, state=state)
                for agency, name in self._registrars.items()
                for state in _STATES
            ]
            + [
                self._list(anybody, take, catalogue.list_entries, resource=resource)
                for resource in resources
            ]
        )

    async def terms(self, anybody: str, resources: Mapping[str, Place], problems: Problems) -> None:
        """Check what is asked of entries that no file states against what was published."""
        offered: dict[str, StatedEntry] = {}

        async def look(entry: str, resource: str, place: Place) -> None:
            async with self._people.client(anybody) as client:
                found = published_terms(place, await client.get_entry(entry))
            if found is not None:
                offered[resource] = found

        known = {name: self.found.entries[name] for name in resources if name in self.found.entries}
        await self._each(
            [
                look(entry["id"], resource, resources[resource])
                for resource, entry in known.items()
                if entry["state"] == "published"
            ]
        )
        for item in self._stated.spool.items("requests") if offered else ():
            entry = offered.get(item.value["resource"])
            if entry is not None:
                check_terms(item.place, item.value, entry, problems)

    async def requests(self) -> None:
        """List the requests of each agency that states some; keep those that are stated."""

        def take(request: Json) -> None:
            if request["renews"] is not None or request["consumer"] not in self._askers:
                return
            scope = scope_of(request, request["consumer"], request["systems"])
            if scope not in self._scopes:
                return
            grant = request["grant"] or {}
            found = FoundRequest(
                request["id"], request["version"], request["state"], grant.get("state")
            )
            known = self.found.requests.get(scope)
            if known is None or _RANKS.index(found.state) > _RANKS.index(known.state):
                self.found.requests[scope] = found

        if self._scopes:
            await self._each(
                self._list(name, take, sharing.list_requests) for name in self._askers.values()
            )

    def names(self, problems: Problems) -> None:
        """Note who is registered already, though his identity is not here."""
        known = {(each["agency"], each["name"]): each["id"] for each in self.found.holders.values()}
        for item in self._stated.spool.items("agencies"):
            officer = item.value["security_officer"]["identity"]
            if item.value["id"] in self.found.agencies and self._is_lost(officer):
                problems.add(
                    item.place,
                    f"agency {item.value['id']} is there, but its security officer's identity "
                    f"{officer} is not in {self._folders.directory}; enrol it with a new code",
                )
        for section, command in (("people", "person"), ("systems", "system")):
            for item in self._stated.spool.items(section):
                value = item.value
                holder = known.get((value["agency"], value["name"]))
                if holder is not None and self._is_lost(value["identity"]):
                    problems.add(
                        item.place,
                        f"{value['name']} is registered at {value['agency']} ({holder}), but "
                        f"identity {value['identity']} is not in {self._folders.directory}; "
                        f"enrol it with a new code: datong {command} code {holder}",
                    )

    def _is_lost(self, name: str) -> bool:
        return self._folders.find(name) is None and self._folders.kept_code(name) is None
