"""Entries and grants, as far as data depends on them, and our copy of both."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from services.exchange.transfer.domain.conditions import RowFilter
from services.exchange.transfer.domain.masks import Mask
from services.exchange.transfer.domain.values import ItemType

PUBLISHED: Final = "published"
WITHDRAWN: Final = "withdrawn"
QUERY: Final = "query"
BATCH: Final = "batch"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a dataset: a column of its table. The last five are rules; None is no rule.

    Attributes:
        required: every row has a value. Items of the key are always required.
        key: part of the key.
        filterable: rows may be chosen by it.
        max_length: of a text, in characters.
        pattern: the whole text matches it; RE2 syntax.
        codes: the texts that are allowed.
        minimum, maximum: of an integer, decimal, date or datetime, inclusive; canonical texts.
    """

    name: str
    type: ItemType
    required: bool
    key: bool
    filterable: bool
    max_length: int | None = None
    pattern: str | None = None
    codes: tuple[str, ...] | None = None
    minimum: str | None = None
    maximum: str | None = None


@dataclass(frozen=True)
class Layout:
    """The items of a dataset in the order of the entry.

    The items that the last batch was made by stay the layout of its rows, also when a newer
    version of the entry has others.
    """

    items: tuple[Item, ...]
    by_name: Mapping[str, Item] = field(init=False, compare=False, repr=False)
    key: tuple[Item, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {item.name: item for item in self.items})
        object.__setattr__(self, "key", tuple(item for item in self.items if item.key))


@dataclass(frozen=True)
class Entry:
    """The published or withdrawn version of an entry.

    Attributes:
        version: of the entry.
        readable: false when a newer state cannot be read or restricts in an unknown way.
    """

    id: str
    version: int
    resource: str
    agency: str
    state: str
    layout: Layout
    readable: bool = True


@dataclass(frozen=True)
class Grant:
    """A permission. The period is [from, until); None is open.

    Attributes:
        version: of the grant's state.
        entry_version: version of the entry that the grant was given on; later ones count too.
        consumer: agency that it was given to.
        row_filter: rows that it covers.
        masks: what is shown of an item, where that is not its value.
        readable: false when a newer state cannot be read or restricts in an unknown way.
    """

    id: str
    version: int
    resource: str
    entry: str
    entry_version: int
    systems: frozenset[str]
    items: frozenset[str]
    modes: frozenset[str]
    purposes: frozenset[str]
    valid_from: datetime | None
    valid_until: datetime | None
    state: str
    reason: str | None = None
    readable: bool = True
    consumer: str = ""
    row_filter: RowFilter = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)


class Copies:
    """Entries and grants as they are now, as far as our reading has come."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.grants: dict[str, Grant] = {}
        self._of_resource: dict[str, dict[str, Entry]] = {}

    def put_entry(self, entry: Entry) -> None:
        """Take a newer state of an entry."""
        before = self.entries.get(entry.id)
        if before is not None:
            self._of_resource[before.resource].pop(entry.id, None)
        self.entries[entry.id] = entry
        self._of_resource.setdefault(entry.resource, {})[entry.id] = entry

    def put_grant(self, grant: Grant) -> None:
        """Take a newer state of a grant."""
        self.grants[grant.id] = grant

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available: a published one before others."""
        claims = self._of_resource.get(resource)
        if not claims:
            return None
        return min(claims.values(), key=lambda entry: (entry.state != PUBLISHED, entry.id))
