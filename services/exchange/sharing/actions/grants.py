"""What people do to grants: suspend, resume, end, narrow."""

from datetime import datetime
from typing import Final

from kit import outbox
from kit.db import Tx
from services.exchange.sharing import events
from services.exchange.sharing.actions.peers import Peers
from services.exchange.sharing.domain import (
    Act,
    Actor,
    EntryUnreadable,
    Grant,
    Narrowing,
    Side,
    TermsNotNarrower,
)
from services.exchange.sharing.domain import grant as rules
from services.exchange.sharing.domain.filters import require_filter
from services.exchange.sharing.domain.masks import require_masks
from services.exchange.sharing.domain.terms import Terms, kinds_of, narrowed
from services.exchange.sharing.store import grants
from services.exchange.sharing.store.terms import Filters

_FACTS: Final = {
    Act.SUSPEND: events.GRANT_SUSPENDED,
    Act.RESUME: events.GRANT_RESUMED,
    Act.END: events.GRANT_ENDED,
}


async def change(
    tx: Tx, actor: Actor, now: datetime, grant_id: str, act: Act, reason: str
) -> tuple[Grant, list[int]]:
    """Suspend, resume or end a grant; also return the outbox rows to wait for.

    Raises:
        GrantUnknown, NotThisSide, ActorRoleMissing: of `require_may`.
        GrantStateConflict: the grant is in another state.
    """
    grant = await grants.lock(tx, grant_id)
    side = rules.require_may(act, grant, actor)
    return await _change(tx, grant, act, reason, actor, now, side)


async def narrow(
    tx: Tx, actor: Actor, now: datetime, grant_id: str, peers: Peers, by: Narrowing, reason: str
) -> tuple[Grant, list[int]]:
    """Leave less of a grant; also return the outbox rows to wait for.

    Raises:
        GrantUnknown, NotThisSide, ActorRoleMissing: of `require_may`.
        GrantStateConflict: the grant has ended.
        TermsNotNarrower: it would cover more than before, or just the same.
        ItemsUnknown, ItemNotFilterable, FilterInvalid, MaskInvalid: of filter and masks.
        EntryUnreadable: filter and masks cannot be examined without the entry.
    """
    grant = await grants.lock(tx, grant_id)
    rules.require_may(Act.NARROW, grant, actor)
    terms = _narrowed(grant, by, peers)
    changed = rules.narrow(grant, terms, now)
    await grants.save(tx, changed)
    fact = events.grant_fact(events.GRANT_NARROWED, changed, actor, reason)
    return changed, await outbox.append(tx, events.state(changed), fact)


async def end_of_entry(tx: Tx, entry_id: str, reason: str, actor: Actor, now: datetime) -> int:
    """End all grants of a withdrawn entry; return how many."""
    found = await grants.lock_of_entry(tx, entry_id)
    for grant in found:
        await _change(tx, grant, Act.END, reason, actor, now)
    return len(found)


async def get(tx: Tx, grant_id: str, actor: Actor) -> Grant:
    """Return a grant that the actor may know of.

    Raises:
        GrantUnknown: no such grant, or one between other agencies.
    """
    grant = await grants.find(tx, grant_id)
    if grant is None or not rules.is_visible(grant, actor):
        raise rules.unknown(grant_id)
    return grant


async def list_visible(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that the actor may know of, in id order."""
    return await grants.list_visible(tx, actor, filters, after, limit)


async def list_usable(
    tx: Tx, consumer: str, system: str | None, now: datetime, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that `consumer`, or its `system`, may use at `now`."""
    return await grants.list_usable(tx, consumer, system, now, after, limit)


def _narrowed(grant: Grant, by: Narrowing, peers: Peers) -> Terms:
    if by.is_empty:
        raise TermsNotNarrower("Name what shall be left of the grant.")
    if by.row_filter is None and by.masks is None:
        return narrowed(grant.terms, by, {})
    entry = peers.entry_of(grant.resource)
    if entry is None:
        raise EntryUnreadable(f"The entry of {grant.resource} has not been read.")
    if by.row_filter is not None:
        require_filter(by.row_filter, entry, stated=grant.terms.row_filter)
    terms = narrowed(grant.terms, by, kinds_of(entry))
    if by.masks is not None:
        require_masks(terms.masks, terms.items, entry, stated=grant.terms.masks)
    return terms


async def _change(
    tx: Tx,
    grant: Grant,
    act: Act,
    reason: str,
    actor: Actor,
    now: datetime,
    side: Side | None = None,
) -> tuple[Grant, list[int]]:
    changed = rules.change(grant, act, reason, now, side=side)
    await grants.save(tx, changed)
    fact = events.grant_fact(_FACTS[act], changed, actor, reason)
    return changed, await outbox.append(tx, events.state(changed), fact)
