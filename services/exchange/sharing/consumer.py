"""Messages that sharing listens to: a withdrawn entry ends its requests and grants."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from kit.clock import SystemClock
from kit.db import Tx
from kit.follow import Handler
from services.exchange.sharing.actions import grants, steps
from services.exchange.sharing.domain import Actor

GROUP: Final = "datong-sharing"
TOPICS: Final = ("catalog.change.v1",)


class EntryWithdrawnData(BaseModel):
    """The part of the fact's data that we need; other members are ignored."""

    entry: str
    reason_text: str


class EntryWithdrawn(BaseModel):
    """The part of `catalog.entry-withdrawn.v1` that we need."""

    data: EntryWithdrawnData
    call: str | None = None


async def on_entry_withdrawn(tx: Tx, event: Mapping[str, Any]) -> None:
    """Refuse open requests and end grants; the call that withdrew the entry caused that as well."""
    fact = EntryWithdrawn.model_validate(event)
    reason = f"The entry was withdrawn: {fact.data.reason_text}"
    actor, now = Actor("part/sharing", call=fact.call), SystemClock().now()
    # Requests before grants, as everywhere: two orders of locks could wait for each other.
    await steps.close_for_entry(tx, fact.data.entry, reason, actor, now)
    await grants.end_of_entry(tx, fact.data.entry, reason, actor, now)


HANDLERS: Final[Mapping[str, Handler]] = {"catalog.entry-withdrawn.v1": on_entry_withdrawn}
