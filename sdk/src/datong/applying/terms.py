"""Checks what a request asks for against what its entry has, stated in files or published."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from datong.applying.problems import Place, Problems
from datong.applying.shapes import meant
from datong.applying.stating import StatedEntry
from datong.operations.operation import Json


def check_terms(place: Place, value: dict[str, Any], entry: StatedEntry, found: Problems) -> None:
    """Note items and operations that the entry lacks, and an answer that gives more than asked."""
    conditions = value.get("row_filter", {}).get("all", [])
    answer = value.get("answer", {})
    _known(place, "item", value.get("items", []), entry.items, found)
    _known(place, "operation", value.get("operations", []), entry.operations, found)
    _known(place, "item", [each["item"] for each in conditions], entry.items, found)
    for each in conditions:
        if each["item"] in entry.items and each["item"] not in entry.filterable:
            found.add(place, f"row_filter: item {each['item']} is not filterable")
    for terms in (value, answer):
        _known(place, "masks: item", terms.get("masks", {}), value.get("items", []), found)
    for name in ("items", "operations", "purposes"):
        _known(place, f"answer: {name}:", answer.get(name, []), value.get(name, []), found)


def published_terms(place: Place, entry: Json) -> StatedEntry | None:
    """What an entry of the platform has, as if a file stated it; None when it is not published."""
    version = entry.get("published")
    if not version:
        return None
    items = version["items"]
    operations = (version.get("service") or {}).get("operations", [])
    return StatedEntry(
        place,
        None,
        tuple(item["name"] for item in items),
        frozenset(item["name"] for item in items if item.get("filterable")),
        tuple(each["name"] for each in operations),
    )


def _known(
    place: Place, what: str, names: Iterable[str], known: Iterable[str], found: Problems
) -> None:
    there = list(known)
    for name in names:
        if name not in there:
            found.add(place, f"unknown {what} {name}{meant(name, there)}")
