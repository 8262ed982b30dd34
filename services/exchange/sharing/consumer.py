"""Messages that sharing listens to: a withdrawn entry ends its grants."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

from kit.clock import SystemClock
from kit.db import Tx
from kit.follow import Handler
from services.exchange.sharing import actions
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
    """End the grants of the entry; the call that withdrew it caused that as well."""
    fact = EntryWithdrawn.model_validate(event)
    await actions.end_grants_of_entry(
        tx,
        fact.data.entry,
        f"The entry was withdrawn: {fact.data.reason_text}",
        Actor("part/sharing", call=fact.call),
        SystemClock().now(),
    )


HANDLERS: Final[Mapping[str, Handler]] = {"catalog.entry-withdrawn.v1": on_entry_withdrawn}
