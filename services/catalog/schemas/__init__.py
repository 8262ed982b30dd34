"""Wire shapes of the catalogue. Bodies are strict: no coercion, no unknown members."""

from services.catalog.schemas.entries import (
    LINE,
    EntryContent,
    EntryOnBus,
    EntryShape,
    EntrySummary,
    EntryVersion,
    Reason,
)
from services.catalog.schemas.search import FoundEntries, SearchMiss

__all__ = [
    "LINE",
    "EntryContent",
    "EntryOnBus",
    "EntryShape",
    "EntrySummary",
    "EntryVersion",
    "FoundEntries",
    "Reason",
    "SearchMiss",
]
