"""Reads files into what they state, and notes everything that cannot be so."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from datong.applying.problems import Place, Problems
from datong.applying.reading import read_items
from datong.applying.sections import SECTIONS
from datong.applying.shapes import meant
from datong.applying.spool import Item, Spool


@dataclass(frozen=True, slots=True)
class StatedAgency:
    """An agency of the files."""

    place: Place
    competent: str | None
    officer: str | None


@dataclass(frozen=True, slots=True)
class StatedIdentity:
    """An identity that applying the files makes."""

    place: Place
    kind: str
    agency: str


@dataclass(frozen=True, slots=True)
class StatedEntry:
    """An entry of the files; equal lists of names are one object."""

    place: Place
    by: str | None
    items: tuple[str, ...]
    filterable: frozenset[str]
    operations: tuple[str, ...]


@dataclass
class Stated:
    """What the files state, as far as references need it; the items themselves lie in the spool."""

    spool: Spool
    agencies: dict[str, StatedAgency] = field(default_factory=dict)
    identities: dict[str, StatedIdentity] = field(default_factory=dict)
    entries: dict[str, StatedEntry] = field(default_factory=dict)


def read_files(files: Iterable[Path], spool: Spool, problems: Problems) -> Stated:
    """Read all files; an item with a problem of form is noted and left out of the spool.

    Raises:
        InputInvalid: a file cannot be opened.
    """
    reader = _Reader(Stated(spool), problems)
    for file in files:
        for section, place, node in read_items(file, problems):
            shape = SECTIONS.get(section)
            if shape is None:
                reader.unknown(section, place)
                continue
            before = problems.count
            value = shape.read(node, problems)
            reader.take(section, node.place, value or {})
            if problems.count == before:
                spool.add(section, Item(node.place, value))
    return reader.stated


class _Reader:
    def __init__(self, stated: Stated, problems: Problems) -> None:
        self.stated = stated
        self._problems = problems
        self._unknown: set[tuple[str, str]] = set()
        self._shared: dict[Any, Any] = {}

    def unknown(self, section: str, place: Place) -> None:
        """Note a list that nobody knows, once per file."""
        if (section, place.file) not in self._unknown:
            self._unknown.add((section, place.file))
            self._problems.add(place, f"unknown key {section}{meant(section, SECTIONS)}")

    def take(self, section: str, place: Place, value: dict[str, Any]) -> None:
        """Note what others may refer to."""
        if section == "agencies":
            self._agency(place, value)
        elif section in ("people", "systems"):
            kind = "person" if section == "people" else "system"
            self._identity(value.get("identity"), place, kind, value.get("agency"))
        elif section == "entries":
            self._entry(place, value)

    def _agency(self, place: Place, value: dict[str, Any]) -> None:
        officer = value.get("security_officer", {}).get("identity")
        self._identity(officer, place, "person", value.get("id"))
        if "id" in value and self._is_new(self.stated.agencies, "agency", value["id"], place):
            self.stated.agencies[value["id"]] = StatedAgency(place, value.get("competent"), officer)

    def _identity(self, name: str | None, place: Place, kind: str, agency: str | None) -> None:
        if name is None or not self._is_new(self.stated.identities, "identity", name, place):
            return
        self.stated.identities[name] = StatedIdentity(place, kind, self._one(agency or ""))

    def _entry(self, place: Place, value: dict[str, Any]) -> None:
        resource = value.get("resource")
        if resource is None or not self._is_new(self.stated.entries, "resource", resource, place):
            return
        items = value.get("items", [])
        operations = value.get("service", {}).get("operations", [])
        self.stated.entries[resource] = StatedEntry(
            place,
            self._one(value.get("by")),
            self._one(tuple(item["name"] for item in items if "name" in item)),
            self._one(frozenset(item["name"] for item in items if item.get("filterable"))),
            self._one(tuple(each["name"] for each in operations if "name" in each)),
        )

    def _is_new(self, known: dict[str, Any], what: str, name: str, place: Place) -> bool:
        before = known.get(name)
        if before is not None:
            self._problems.add(
                place, f"{what} {name} is stated twice; first at {before.place.text}"
            )
        return before is None

    def _one(self, value: Any) -> Any:
        """The first object that is equal to `value`: thousands of entries have the same items."""
        return self._shared.setdefault(value, value)
