"""Entries by resource and grants by system and resource, kept up to date one change at a time."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace

from gateway.domain import Entry, Grant


def _id_of(grant: Grant) -> str:
    return grant.id


class EntryIndex:
    """Entries by id and by the resource that they make available."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._claims: dict[str, set[str]] = {}
        self._of_resource: dict[str, Entry] = {}

    def of_resource(self, resource: str) -> Entry | None:
        """Return the published entry of `resource`, or else the newest that is not published.

        Two published entries for one resource contradict each other: the answer is unreadable.
        """
        return self._of_resource.get(resource)

    def get(self, entry_id: str) -> Entry | None:
        """Return an entry by id."""
        return self._entries.get(entry_id)

    def put(self, entry: Entry) -> None:
        """Take the present state of an entry."""
        before = self._entries.get(entry.id)
        self._entries[entry.id] = entry
        if before is not None and before.resource != entry.resource:
            self._claims[before.resource].discard(entry.id)
            self._choose(before.resource)
        self._claims.setdefault(entry.resource, set()).add(entry.id)
        self._choose(entry.resource)

    def _choose(self, resource: str) -> None:
        entries = [self._entries[entry_id] for entry_id in sorted(self._claims[resource])]
        published = [entry for entry in entries if entry.state == "published"]
        if len(published) > 1:
            self._of_resource[resource] = replace(published[0], readable=False)
        elif entries:
            self._of_resource[resource] = (published or entries)[-1]
        else:
            self._of_resource.pop(resource, None)


class GrantIndex:
    """Grants by id, and by (system, resource) in the order of their ids."""

    def __init__(self) -> None:
        self._grants: dict[str, Grant] = {}
        self._of_system: dict[tuple[str, str], list[Grant]] = {}

    def __len__(self) -> int:
        return len(self._grants)

    def get(self, grant_id: str) -> Grant | None:
        """Return a grant by id."""
        return self._grants.get(grant_id)

    def of(self, system: str, resource: str) -> Sequence[Grant]:
        """Return the grants of a system for a resource in the order of their ids."""
        return self._of_system.get((system, resource), ())

    def put(self, grant: Grant) -> None:
        """Take the present state of a grant; its systems may have changed."""
        before = self._grants.get(grant.id)
        if before is not None:
            for system in before.systems:
                self._remove((system, before.resource), grant.id)
        self._grants[grant.id] = grant
        for system in grant.systems:
            listed = self._of_system.setdefault((system, grant.resource), [])
            listed.insert(bisect_left(listed, grant.id, key=_id_of), grant)

    def _remove(self, key: tuple[str, str], grant_id: str) -> None:
        listed = self._of_system[key]
        del listed[bisect_left(listed, grant_id, key=_id_of)]
        if not listed:
            del self._of_system[key]
