"""Checks what files refer to: agencies, identities, entries, items; and what contradicts itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from datong.applying.folders import Folders
from datong.applying.problems import Place, Problems
from datong.applying.scopes import scope_of
from datong.applying.spool import Item
from datong.applying.stating import Stated, StatedEntry
from datong.applying.terms import check_terms

_STEPS = ("by", "submitted_by", "answered_by", "confirmed_by")


@dataclass
class Wanted:
    """What the files refer to and do not state: it must be on the platform. Each with a place."""

    agencies: dict[str, Place] = field(default_factory=dict)
    resources: dict[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Who:
    kind: str
    agency: str


def check(stated: Stated, folders: Folders, problems: Problems) -> Wanted:
    """Note every reference that leads nowhere and every contradiction; nothing is sent.

    Returns:
        What only the platform can tell.
    """
    checks = _Checks(stated, folders, problems)
    checks.tree()
    for section, one in (
        ("agencies", checks.agency),
        ("people", checks.holder),
        ("systems", checks.holder),
        ("entries", checks.entry),
        ("requests", checks.request),
    ):
        for item in stated.spool.items(section):
            one(item)
    return checks.wanted


class _Checks:
    def __init__(self, stated: Stated, folders: Folders, problems: Problems) -> None:
        self._stated = stated
        self._folders = folders
        self._problems = problems
        self._scopes: dict[bytes, Place] = {}
        self.wanted = Wanted()

    def tree(self) -> None:
        """Follow each agency upwards; an agency may only be competent for itself."""
        done: set[str] = set()
        for first in self._stated.agencies:
            path: dict[str, None] = {}
            at: str | None = first
            while at is not None and at not in done and at not in path:
                path[at] = None
                agency = self._stated.agencies.get(at)
                above = agency.competent if agency else None
                at = None if above == at else above
            if at is not None and at in path:
                members = list(path)
                cycle = [*members[members.index(at) :], at]
                self._problems.add(
                    self._stated.agencies[at].place,
                    f"a cycle in the tree of agencies: {' → '.join(cycle)}",
                )
            done |= set(path)

    def agency(self, item: Item) -> None:
        """An agency: created by somebody who is there, under one that is or will be there."""
        value = item.value
        if self._folders.find(value["by"]) is None:
            self._problems.add(
                item.place,
                f"by: identity {value['by']} is not in {self._folders.directory}; who creates "
                "agencies is enrolled before",
            )
        above = value.get("competent")
        if above is not None and above not in self._stated.agencies:
            self.wanted.agencies.setdefault(above, item.place)
        self._is_as_stated(item.place, value["security_officer"]["identity"])

    def holder(self, item: Item) -> None:
        """A person or a system: registered by somebody of the same agency."""
        agency = item.value["agency"]
        known = self._stated.agencies.get(agency)
        if known is None:
            self.wanted.agencies.setdefault(agency, item.place)
        by = item.value.get("by") or (known.officer if known else None)
        if by is None:
            self._problems.add(
                item.place, f"by is missing: who registers people and systems of {agency}?"
            )
        else:
            self._who(item.place, "by", by, kind="person", agency=agency)
        self._is_as_stated(item.place, item.value["identity"])

    def entry(self, item: Item) -> None:
        """An entry: written and approved by two people of one agency."""
        by = self._who(item.place, "by", item.value["by"], kind="person")
        agency = by.agency if by else None
        approver = item.value["approved_by"]
        self._who(item.place, "approved_by", approver, kind="person", agency=agency)
        if approver == item.value["by"]:
            self._problems.add(item.place, f"approved_by: {approver} wrote the entry")
        names = [each["name"] for each in item.value.get("items", [])]
        for name in {name for name in names if names.count(name) > 1}:
            self._problems.add(item.place, f"item {name} is stated twice")

    def request(self, item: Item) -> None:
        """A request: by its agency's people for its systems, of items that the entry has."""
        value = item.value
        by = self._who(item.place, "by", value["by"], kind="person")
        consumer = by.agency if by else None
        for system in value["systems"]:
            self._who(item.place, "systems", system, kind="system", agency=consumer)
        entry = self._stated.entries.get(value["resource"])
        if entry is None:
            self.wanted.resources.setdefault(value["resource"], item.place)
        else:
            check_terms(item.place, value, entry, self._problems)
        self._period(item.place, value)
        self._filter(item.place, value.get("row_filter"))
        self._signatures(item, consumer, entry)
        self._once(item, consumer)

    def _who(
        self, place: Place, name: str, identity: str, *, kind: str, agency: str | None = None
    ) -> _Who | None:
        stated = self._stated.identities.get(identity)
        enrolled = self._folders.find(identity)
        if stated is None and enrolled is None:
            self._problems.add(
                place,
                f"{name}: identity {identity} is neither stated nor in {self._folders.directory}",
            )
            return None
        who = _Who(stated.kind, stated.agency) if stated else None
        if who is None and enrolled is not None:
            who = _Who(enrolled.kind, enrolled.agency)
        if who is not None and who.kind != kind:
            self._problems.add(place, f"{name}: {identity} is a {who.kind}, not a {kind}")
        elif who is not None and agency is not None and who.agency != agency:
            self._problems.add(place, f"{name}: {identity} is of {who.agency}, not of {agency}")
        return who

    def _is_as_stated(self, place: Place, identity: str) -> None:
        stated, enrolled = self._stated.identities.get(identity), self._folders.find(identity)
        if stated is None or enrolled is None:
            return
        if (stated.kind, stated.agency) != (enrolled.kind, enrolled.agency):
            self._problems.add(
                place,
                f"identity {identity} in {self._folders.directory} is a {enrolled.kind} of "
                f"{enrolled.agency}",
            )

    def _period(self, place: Place, value: dict[str, Any]) -> None:
        first, last = (datetime.fromisoformat(value[n]) for n in ("valid_from", "valid_until"))
        if last <= first:
            self._problems.add(place, "valid_until: the period ends before it begins")

    def _filter(self, place: Place, row_filter: dict[str, Any] | None) -> None:
        conditions = (row_filter or {}).get("all", [])
        items = [each["item"] for each in conditions]
        for each in conditions:
            if ("in" in each) == ("from" in each or "until" in each):
                self._problems.add(
                    place, f"row_filter: {each['item']}: either in, or from or until or both"
                )
        for name in {name for name in items if items.count(name) > 1}:
            self._problems.add(place, f"row_filter: item {name} is stated twice")

    def _signatures(self, item: Item, consumer: str | None, entry: StatedEntry | None) -> None:
        value, place = item.value, item.place
        owner = None
        if entry is not None and entry.by is not None:
            known = self._stated.identities.get(entry.by) or self._folders.find(entry.by)
            owner = known.agency if known else None
        agencies = {"submitted_by": consumer, "answered_by": owner, "confirmed_by": owner}
        for name, agency in agencies.items():
            if name in value:
                self._who(place, name, value[name], kind="person", agency=agency)
        signed = [name for name in _STEPS if name in value]
        if tuple(signed) != _STEPS[: len(signed)]:
            missing = next(name for name in _STEPS if name not in value)
            self._problems.add(place, f"{signed[-1]} needs {missing}, which comes before it")
        if "answer" in value and "answered_by" not in value:
            self._problems.add(place, "answer needs answered_by")
        people = [value[name] for name in signed]
        for name in {name for name in people if people.count(name) > 1}:
            self._problems.add(place, f"{name} signs twice; each step is another person's")

    def _once(self, item: Item, consumer: str | None) -> None:
        scope = scope_of(item.value, consumer or "", item.value["systems"])
        first = self._scopes.setdefault(scope, item.place)
        if first is not item.place:
            self._problems.add(item.place, f"the same is asked for at {first.text}")
