"""What people do in the catalogue. Actions fill the given transaction; they never commit."""

from services.catalog.actions.entries import (
    Precondition,
    approve_entry,
    begin_draft,
    create_entry,
    get_entry,
    get_version,
    list_entries,
    reject_entry,
    replace_draft,
    republish,
    submit_entry,
    withdraw_entry,
)
from services.catalog.actions.searching import MISS_LENGTH, Searching, list_misses, record_miss

__all__ = [
    "MISS_LENGTH",
    "Precondition",
    "Searching",
    "approve_entry",
    "begin_draft",
    "create_entry",
    "get_entry",
    "get_version",
    "list_entries",
    "list_misses",
    "record_miss",
    "reject_entry",
    "replace_draft",
    "republish",
    "submit_entry",
    "withdraw_entry",
]
