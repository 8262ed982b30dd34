"""All SQL of the catalogue, and the index: rows in, domain objects out."""

from services.catalog.store.changes import Horizon
from services.catalog.store.entries import (
    Filters,
    add_entry,
    find_entry,
    find_version,
    list_entries,
    lock_entry,
    lock_page,
    save_entry,
)
from services.catalog.store.index import Index, IndexDamaged
from services.catalog.store.index_folder import FolderBusy, IndexFolder, State

__all__ = [
    "Filters",
    "FolderBusy",
    "Horizon",
    "Index",
    "IndexDamaged",
    "IndexFolder",
    "State",
    "add_entry",
    "find_entry",
    "find_version",
    "list_entries",
    "lock_entry",
    "lock_page",
    "save_entry",
]
