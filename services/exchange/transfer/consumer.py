"""States in: our own copy of entries and grants, read narrowly from the bus.

A state that cannot be read, or restricts in a way that this release does not know, makes its
subject unreadable: it allows nothing until a readable state arrives.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any, Final, TypeVar

import pyarrow.compute as pc

from kit.clock import parse_rfc3339
from kit.directory import Directory
from kit.states import Apply, StateEvent
from services.exchange.transfer.domain import (
    Copies,
    Entry,
    Grant,
    Item,
    ItemType,
    Layout,
    Mask,
    RowFilter,
)
from services.exchange.transfer.domain.conditions import filter_of
from services.exchange.transfer.domain.filters import is_canonical
from services.exchange.transfer.domain.ordering import ORDERED

ENTRY: Final = "catalog.entry.v1"
GRANT: Final = "sharing.grant.v1"

_CRITICAL: Final = {
    ENTRY: frozenset({"share_class", "state", "items"}),
    GRANT: frozenset(
        {
            "systems",
            "items",
            "modes",
            "operations",
            "purposes",
            "valid_from",
            "valid_until",
            "state",
            "row_filter",
            "masks",
        }
    ),
}
"""Restricting members that this release enforces; `share_class` and `operations` do not bear on
queries under a grant. Any other name makes its subject unreadable."""


MAX_CONDITIONS: Final = 20
MAX_VALUES: Final = 1000
Rule = TypeVar("Rule")


class Arrivals:
    """Takes states into the copies, and lets calls wait for one that has not arrived."""

    def __init__(
        self,
        copies: Copies,
        directory: Directory,
        *,
        on_grant: Callable[[str], None] = lambda _grant: None,
    ) -> None:
        """Fill `copies`, and tell `on_grant` the id of each grant that has a readable new state."""
        self.copies = copies
        self._directory = directory
        self._on_grant = on_grant
        self._changed = asyncio.Event()

    def handlers(self) -> dict[str, Apply]:
        """Return what a `StateReader` needs to keep entries, grants and callers."""
        return {**self._directory.handlers(), ENTRY: self.apply, GRANT: self.apply}

    def apply(self, event: StateEvent) -> None:
        """Take a newer state of an entry or a grant; never raises."""
        try:
            if not event.critical <= _CRITICAL[event.topic]:
                raise ValueError("restricts in an unknown way")
            if event.topic == GRANT and not event.critical <= event.data.keys():
                raise ValueError("restricts by a member that is not there")
            if event.topic == ENTRY:
                self.copies.put_entry(read_entry(event.data))
            else:
                grant = read_grant(event.data, event.version)
                self.copies.put_grant(grant)
                self._on_grant(grant.id)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._spoil(event.subject, event.version)
        self._changed.set()

    def on_unreadable(self, topic: str, subject: str, reason: str) -> None:
        """Mark a subject whose state event cannot be read."""
        if topic in _CRITICAL:
            self._spoil(subject, None)
            self._changed.set()
        else:
            self._directory.on_unreadable(topic, subject, reason)

    async def wait_for(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Wait until `reached()` holds, at most `seconds`; tell whether it does."""
        end = time.monotonic() + seconds
        while not reached():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return reached()
        return True

    def _spoil(self, subject: str, version: int | None) -> None:
        """Mark what `subject` names as unreadable, with all that was known of it."""
        kind, _, subject_id = subject.partition("/")
        if kind == "entry" and subject_id in self.copies.entries:
            entry = self.copies.entries[subject_id]
            self.copies.put_entry(replace(entry, readable=False))
        elif kind == "grant" and subject_id in self.copies.grants:
            grant = self.copies.grants[subject_id]
            self.copies.put_grant(replace(grant, version=version or grant.version, readable=False))


def read_entry(data: Mapping[str, Any]) -> Entry:
    """Return the entry that `data` of a `catalog.entry` state describes.

    Members of an item that this release does not know are let pass: version 1 of the state only
    grows optional ones.

    Raises:
        KeyError, TypeError, ValueError: it does not describe one.
    """
    items = tuple(map(_item, data["items"]))
    layout = Layout(items)
    if len(layout.by_name) != len(items) or not items:
        raise ValueError("no items, or one twice")
    return Entry(
        _text(data["id"]),
        _number(data["version"]),
        _text(data["resource"]),
        _text(data["agency"]),
        _text(data["state"]),
        layout,
    )


def _item(data: Mapping[str, Any]) -> Item:
    kind = ItemType(data["type"])
    of_text = kind is ItemType.TEXT
    return Item(
        _text(data["name"]),
        kind,
        _flag(data["required"]),
        _flag(data["key"]),
        _flag(data["filterable"]),
        max_length=_rule(data, "max_length", of_text, _length),
        pattern=_rule(data, "pattern", of_text, _pattern),
        codes=_rule(data, "codes", of_text, _codes),
        minimum=_rule(data, "minimum", kind in ORDERED, partial(_bound, kind)),
        maximum=_rule(data, "maximum", kind in ORDERED, partial(_bound, kind)),
    )


def _rule(
    data: Mapping[str, Any], name: str, fits: bool, read: Callable[[Any], Rule]
) -> Rule | None:
    """Read a rule; it is absent when the item has none. What cannot be enforced is an error."""
    if name not in data:
        return None
    if not fits:
        raise ValueError("a rule that does not fit the type of its item")
    return read(data[name])


def _length(value: Any) -> int:
    length = _number(value)
    if length < 1:
        raise ValueError("nothing is short enough")
    return length


def _pattern(value: Any) -> str:
    pattern = _text(value)
    # The engine that rows are matched with says now whether it takes the pattern.
    pc.match_substring_regex("", pattern)
    return pattern


def _codes(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise TypeError("not a list of codes")
    if not all(isinstance(code, str) for code in value):
        raise TypeError("a code is not a text")
    return tuple(value)


def _bound(kind: ItemType, value: Any) -> str:
    text = _text(value)
    if not is_canonical(kind, text):
        raise ValueError("a bound that is not canonical")
    return text


def read_grant(data: Mapping[str, Any], version: int) -> Grant:
    """Return the grant that `data` of a `sharing.grant` state of `version` describes.

    Raises:
        KeyError, TypeError, ValueError: it does not describe one.
    """
    return Grant(
        _text(data["id"]),
        version,
        _text(data["resource"]),
        _text(data["entry"]),
        _number(data["entry_version"]),
        _texts(data["systems"]),
        _texts(data["items"]),
        _texts(data["modes"]),
        _texts(data["purposes"]),
        _instant(data["valid_from"]),
        _instant(data["valid_until"]),
        _text(data["state"]),
        None if data.get("reason") is None else _text(data["reason"]),
        consumer=_text(data["consumer"]),
        row_filter=_row_filter(data["row_filter"]) if "row_filter" in data else (),
        masks=_masks(data["masks"]) if "masks" in data else {},
    )


def _row_filter(value: Any) -> RowFilter:
    """Read a row filter: whatever is unknown in it may restrict further, so nothing is let pass."""
    if not isinstance(value, dict) or value.keys() != {"all"} or not isinstance(value["all"], list):
        raise TypeError("not a conjunction of conditions")
    conditions = value["all"]
    for each in conditions:
        _require_condition(each)
    if not 1 <= len({each["item"] for each in conditions}) == len(conditions) <= MAX_CONDITIONS:
        raise ValueError("no condition, too many, or two on one item")
    return filter_of(conditions)


def _require_condition(value: Any) -> None:
    if not isinstance(value, dict):
        raise TypeError("not a condition")
    members = value.keys() - {"item"}
    _text(value["item"])
    if members == {"in"}:
        values = value["in"]
        if not isinstance(values, list) or not all(isinstance(text, str) for text in values):
            raise TypeError("not a list of texts")
        if not 1 <= len(set(values)) == len(values) <= MAX_VALUES:
            raise ValueError("no value, too many, or one twice")
    elif members and members <= {"from", "until"}:
        for member in members:
            _text(value[member])
    else:
        raise ValueError("neither values nor a range")


def _masks(value: Any) -> dict[str, Mask]:
    if not isinstance(value, dict) or not value:
        raise TypeError("not masks by item")
    return {_text(name): Mask(_text(by)) for name, by in value.items()}


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("not a text")
    return value


def _texts(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise TypeError("not a list")
    return frozenset(map(_text, value))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _instant(value: Any) -> datetime | None:
    return None if value is None else parse_rfc3339(_text(value))
