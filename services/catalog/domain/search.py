"""What is asked of the search, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services.catalog.domain.content import Mode, ShareClass
from services.catalog.domain.tokens import Run


@dataclass(frozen=True, slots=True)
class Search:
    """A search among published entries.

    Attributes:
        words: all of them are found in a hit, each in any of its texts; at least one.
        agency, share_class, mode: what hits are narrowed to; None narrows nothing.
        offset: how many of the best hits are passed over.
    """

    words: tuple[Run, ...]
    agency: str | None = None
    share_class: ShareClass | None = None
    mode: Mode | None = None
    offset: int = 0
    limit: int = 20

    @property
    def is_narrowed(self) -> bool:
        """Tell whether more than words decides."""
        return any(each is not None for each in (self.agency, self.share_class, self.mode))

    def at(self, offset: int) -> "Search":
        """Return the same search from another offset on."""
        return replace(self, offset=offset)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that was found; `shown` has the members of its summary as they are sent."""

    shown: Mapping[str, Any]
    score: float


@dataclass(frozen=True, slots=True)
class Hits:
    """The answer to a search.

    Attributes:
        hits: best first, from `offset` on.
        total: of all hits.
        facets: of all hits, by `agency`, `share_class` and `mode`: value and number of hits, the
            greatest number first.
    """

    hits: tuple[Hit, ...]
    total: int
    facets: Mapping[str, tuple[tuple[str, int], ...]]


@dataclass(frozen=True, slots=True)
class Miss:
    """What was asked for in vain: how often, by how many agencies, and when for the last time."""

    query: str
    searches: int
    agencies: int
    last: date
