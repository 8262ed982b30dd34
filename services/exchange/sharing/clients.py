"""What sharing knows of its peers: copies of the states of identity and of the catalogue."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from kit.directory import Directory
from kit.states import Apply, StateEvent
from services.exchange.sharing.domain import (
    Entry,
    EntryStale,
    EntryUnreadable,
    Item,
    Law,
    SystemUnknown,
)

ENTRY: Final = "catalog.entry.v1"
KNOWN_CRITICAL: Final = frozenset({"share_class", "state", "items", "service"})
"""Restricting members of an entry that this code understands; any other makes it unusable."""


class Copies:
    """Agencies, systems and entries as they are now; plain look-ups in memory.

    Args:
        directory: who callers are; kept by the handlers that are returned here.
        is_fresh: tells whether what was published so far is known here.
    """

    def __init__(self, directory: Directory, is_fresh: Callable[[], bool]) -> None:
        self.directory = directory
        self.is_fresh = is_fresh
        self._entries: dict[str, Entry] = {}
        self._subject_of: dict[str, str] = {}
        self._unusable: set[str] = set()

    def handlers(self) -> dict[str, Apply]:
        """Return what a `StateReader` needs to keep these copies."""
        return self.directory.handlers() | {ENTRY: self.apply_entry}

    def apply_entry(self, event: StateEvent) -> None:
        """Take a newer state of an entry; never raises."""
        try:
            entry = _entry(event.data)
        except (KeyError, TypeError, ValueError):
            self._unusable.add(event.subject)
            return
        self._entries[event.subject] = entry
        self._subject_of[entry.resource] = event.subject
        if event.critical <= KNOWN_CRITICAL:
            self._unusable.discard(event.subject)
        else:
            self._unusable.add(event.subject)

    def on_unreadable(self, topic: str, subject: str, reason: str) -> None:
        """Mark a subject whose state event cannot be read."""
        if topic == ENTRY:
            self._unusable.add(subject)
        else:
            self.directory.on_unreadable(topic, subject, reason)

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available, or None.

        Raises:
            EntryUnreadable: its state cannot be read, or restricts in an unknown way.
        """
        subject = self._subject_of.get(resource)
        if subject is None:
            return None
        if subject in self._unusable:
            raise EntryUnreadable(f"The state of the entry of {resource} cannot be read.")
        return self._entries[subject]

    def require_fresh(self) -> None:
        """Check that no change of an entry may be unknown here.

        Raises:
            EntryStale: a part that publishes was not heard of lately.
        """
        if not self.is_fresh():
            raise EntryStale("The catalogue was not heard of lately; its entries may have changed.")

    def require_systems(self, systems: Sequence[str], agency: str) -> None:
        """Check that all `systems` are systems of `agency`.

        Raises:
            SystemUnknown: one is not; unknown and foreign ones look alike.
        """
        for index, system in enumerate(systems):
            holder = self.directory.holders.get(f"system/{system}")
            if holder is None or holder.agency != agency:
                raise SystemUnknown(
                    f"Your agency has no system {system}.", pointer=f"/systems/{index}"
                )

    def supervised_by(self, agency: str) -> frozenset[str]:
        """Return the ids of the agencies whose competent department `agency` is."""
        agencies = self.directory.agencies.values()
        return frozenset(found.id for found in agencies if found.competent == agency)


def _entry(data: Mapping[str, Any]) -> Entry:
    """Read the part of an entry's state that sharing needs.

    Raises:
        KeyError, TypeError, ValueError: it is not there, or of another type.
    """
    law, service = data["legal_basis"], data.get("service")
    return Entry(
        id=_text(data["id"]),
        version=_number(data["version"]),
        owner=_text(data["agency"]),
        resource=_text(data["resource"]),
        state=_text(data["state"]),
        share_class=_text(data["share_class"]),
        law=None if law is None else Law(_text(law["title"]), _text(law["article"])),
        items=tuple(map(_item, data["items"])),
        modes=tuple(map(_text, data["modes"])),
        operations=()
        if service is None
        else tuple(_text(operation["name"]) for operation in service["operations"]),
    )


def _item(data: Mapping[str, Any]) -> Item:
    return Item(
        _text(data["name"]), _text(data["type"]), _flag(data["key"]), _flag(data["filterable"])
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _number(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not an integer")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return value
