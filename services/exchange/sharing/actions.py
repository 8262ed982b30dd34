"""What people do in sharing. Actions fill the given transaction; they never commit."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Protocol

from kit import inbox, outbox
from kit.db import Db, Tx
from kit.follow import Handler, handle_once
from kit.ids import uuid7
from services.exchange.sharing import domain, events, store
from services.exchange.sharing.domain import (
    Act,
    Actor,
    Ask,
    Entry,
    Grant,
    GrantUnknown,
    Request,
    RequestState,
    RequestUnknown,
)
from services.exchange.sharing.store import Answered, Filters

REPUBLISH_PAGE: Final = 200

_FACTS: Final = {
    Act.SUSPEND: events.GRANT_SUSPENDED,
    Act.RESUME: events.GRANT_RESUMED,
    Act.END: events.GRANT_ENDED,
}


class Peers(Protocol):
    """What actions ask about entries and systems."""

    def entry_of(self, resource: str) -> Entry | None:
        """Return the entry that makes `resource` available, or None."""
        ...

    def require_systems(self, systems: tuple[str, ...], agency: str) -> None:
        """Raise unless all `systems` are systems of `agency`."""
        ...


async def create_request(tx: Tx, peers: Peers, ask: Ask, actor: Actor, now: datetime) -> Answered:
    """Decide on `ask`; store the request with its answer, granted or refused.

    An unconditional resource is granted at once: request and grant are one transaction. A
    refusal that the law demands is stored as well and returned, not raised.

    Raises:
        RequestInvalid, PeriodInvalid, SystemUnknown, ItemsUnknown, ModeNotOffered: of `ask`.
        ResourceUnknown, ResourceWithdrawn, EntryUnreadable: of the resource.
        ClassConditionalClosed: conditional resources cannot be asked for yet.
    """
    domain.require_valid(ask, now)
    peers.require_systems(ask.systems, actor.agency)
    entry = domain.require_readable(ask, peers.entry_of(ask.resource))
    refusal = domain.decide(ask, entry)
    request_id, grant = uuid7(), None
    if refusal is None:
        grant = domain.issue(uuid7(), request_id, ask, entry, actor, now)
    request = Request(
        id=request_id,
        requester=actor.subject,
        consumer=actor.agency,
        owner=entry.owner,
        entry=entry.id,
        entry_version=entry.version,
        share_class=entry.share_class,
        ask=ask,
        state=RequestState.REFUSED if grant is None else RequestState.GRANTED,
        grant=None if grant is None else grant.id,
        refusal=refusal,
        created_at=now,
    )
    await store.add_request(tx, request)
    facts = [events.request_fact(request, actor)]
    if grant is None:
        await outbox.append(tx, *facts)
        return request, None
    await store.add_grant(tx, grant)
    facts.append(events.grant_fact(events.GRANT_ISSUED, grant, actor))
    await outbox.append(tx, events.state(grant), *facts)
    return request, grant


async def change_grant(
    tx: Tx, grant_id: str, act: Act, reason: str, actor: Actor, now: datetime
) -> tuple[Grant, list[int]]:
    """Suspend, resume or end a grant; also return the outbox rows to wait for.

    Raises:
        GrantUnknown, NotThisSide, GrantRoleMissing: of `domain.require_may`.
        GrantStateConflict: the grant is in another state.
    """
    grant = await store.lock_grant(tx, grant_id)
    domain.require_may(act, grant, actor)
    return await _change(tx, grant, act, reason, actor, now)


async def end_grants_of_entry(
    tx: Tx, entry_id: str, reason: str, actor: Actor, now: datetime
) -> int:
    """End all grants of a withdrawn entry; return how many."""
    grants = await store.lock_grants_of_entry(tx, entry_id)
    for grant in grants:
        await _change(tx, grant, Act.END, reason, actor, now)
    return len(grants)


async def get_grant(tx: Tx, grant_id: str, actor: Actor) -> Grant:
    """Return a grant that the actor may know of.

    Raises:
        GrantUnknown: no such grant, or one between other agencies.
    """
    grant = await store.find_grant(tx, grant_id)
    if grant is None or not domain.is_visible(grant, actor):
        raise GrantUnknown(f"Grant {grant_id} does not exist.")
    return grant


async def get_request(tx: Tx, request_id: str, actor: Actor) -> Answered:
    """Return a request that the actor may know of, with its grant.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
    """
    found = await store.find_request(tx, request_id)
    if found is None or not domain.is_request_visible(found[0], actor):
        raise RequestUnknown(f"Request {request_id} does not exist.")
    return found


async def list_requests(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Answered]:
    """Return up to `limit` requests that the actor may know of, in id order."""
    return await store.list_requests(tx, actor, filters, after, limit)


async def list_grants(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that the actor may know of, in id order."""
    return await store.list_grants(tx, actor, filters, after, limit)


async def list_usable(
    tx: Tx, consumer: str, system: str | None, now: datetime, after: str | None, limit: int
) -> list[Grant]:
    """Return up to `limit` grants that `consumer`, or its `system`, may use at `now`."""
    return await store.list_usable(tx, consumer, system, now, after, limit)


async def republish(db: Db) -> int:
    """Append the state of every grant to the outbox again; return how many.

    Each page is one transaction that locks its grants: a state appended here can never follow
    a newer one on the compacted topic.
    """
    after, count = "", 0
    while True:
        async with db.begin() as tx:
            page = await store.lock_page(tx, after, REPUBLISH_PAGE)
            await outbox.append(tx, *(events.state(grant) for grant in page))
        if not page:
            return count
        after, count = page[-1].id, count + len(page)


async def replay_parked(db: Db, handlers: Mapping[str, Handler]) -> tuple[int, list[str]]:
    """Hand every parked message to its handler again, each in a transaction of its own.

    Returns:
        How many were handled, and one line for each that failed again and stays parked.
    """
    async with db.begin() as tx:
        messages = await inbox.parked(tx)
    handled, failed = 0, []
    for topic, partition, offset, value, _ in messages:
        try:
            async with db.begin() as tx:
                await handle_once(tx, value, handlers)
                await inbox.unpark(tx, topic, partition, offset)
        except Exception as error:  # noqa: BLE001 - the operator sees it; the message stays
            failed.append(f"{topic}/{partition}@{offset}: {error!r}")
        else:
            handled += 1
    return handled, failed


async def _change(
    tx: Tx, grant: Grant, act: Act, reason: str, actor: Actor, now: datetime
) -> tuple[Grant, list[int]]:
    changed = domain.change(grant, act, reason, now)
    await store.save_grant(tx, changed)
    fact = events.grant_fact(_FACTS[act], changed, actor)
    return changed, await outbox.append(tx, events.state(changed), fact)
