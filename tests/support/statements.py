"""Counts what a call costs in statements, and names the lists whose cost must not grow."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.engine import Engine

LISTS: Final = {
    "identity": frozenset({"list_agencies", "list_people", "list_systems", "list_credentials"}),
    "catalog": frozenset({"list_entries", "search_entries", "list_search_misses"}),
    "sharing": frozenset({"list_requests", "list_work", "list_grants", "list_usable"}),
    "transfer": frozenset(
        {
            "list_batches",
            "list_chunks",
            "list_subscriptions",
            "list_deliveries",
            "list_reconciliations",
            "list_reconciliation_days",
        }
    ),
    "audit": frozenset({"search_records"}),
}
"""Operations that list, by part; `tests/contract` compares them with the routes."""


@contextmanager
def statements() -> Iterator[list[str]]:
    """Note every statement that an engine of this process sends within the block."""
    sent: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: Any) -> None:
        sent.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(Engine, "before_cursor_execute", note)
