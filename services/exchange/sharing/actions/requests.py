"""New requests and renewals: granted at once, refused by a law, or drafted for the procedure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from kit import outbox
from kit.db import Tx
from kit.ids import uuid7
from services.exchange.sharing import events
from services.exchange.sharing.actions.peers import Peers
from services.exchange.sharing.domain import (
    Actor,
    Ask,
    ClassNotShared,
    Entry,
    Grant,
    Refusal,
    Request,
    RequestStateConflict,
    Step,
    Taken,
    excluded_by,
    not_shared,
    procedure,
    require_published,
    withdrawn,
)
from services.exchange.sharing.domain import grant as rules_of_grants
from services.exchange.sharing.domain import request as rules
from services.exchange.sharing.domain.terms import require_offered
from services.exchange.sharing.store import entries, grants, requests
from services.exchange.sharing.store.requests import Answered
from services.exchange.sharing.store.terms import Filters

PLATFORM: Final = "part/sharing"
"""Who takes the last step when no person has to: a law or an unconditional class decides."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new end of a grant's period; None repeats what was said for it before."""

    valid_until: datetime
    basis: str | None = None
    scenario: str | None = None


async def create(tx: Tx, peers: Peers, ask: Ask, actor: Actor, now: datetime) -> Answered:
    """Take a request; store it as drafted, or with its answer.

    An unconditional resource is granted at once: request and grant are one transaction. A
    refusal that the law demands is stored as well and returned, not raised.

    Raises:
        DomainError: `ask` contradicts itself or the entry, or names what does not exist.
        ActorRoleMissing: the resource is granted at once, and the actor is no head.
        ResourceUnknown, ResourceWithdrawn, EntryUnreadable, EntryStale: of the resource.
    """
    rules.require_valid(ask, now)
    peers.require_systems(ask.systems, actor.agency)
    entry = require_published(ask.resource, peers.entry_of(ask.resource), "/resource")
    rules.require_statutory_fits(ask, entry)
    request = rules.open_request(uuid7(), ask, entry, actor, now)
    law = excluded_by(entry, ask.statutory)
    if law is not None:
        return await _refuse_by_law(tx, request, Refusal(ClassNotShared.code, law=law), actor, now)
    at_once = procedure.require_asks_at_once(ask, entry, actor)
    require_offered(ask.terms, entry)
    await require_not_withdrawn(tx, entry, "/resource")
    if not at_once:
        return await _draft(tx, request, actor)
    peers.require_fresh()
    grant = rules.issue(uuid7(), request, ask.terms, ask.valid_until, entry, now)
    decided = procedure.grant(request, grant.id, Taken(Step.CONFIRM, PLATFORM, now))
    await requests.add(tx, decided)
    await grants.add(tx, grant)
    await tell_granted(tx, decided, grant, events.GRANT_ISSUED, actor)
    return decided, grant


async def renew(
    tx: Tx, peers: Peers, grant_id: str, renewal: Renewal, actor: Actor, now: datetime
) -> Answered:
    """Ask for a longer period of a grant, by the procedure of the class that its entry has now.

    What the grant covers stays. Of an unconditional resource it is renewed at once.

    Raises:
        GrantUnknown, NotThisSide, GrantStateConflict: of `require_renewable`.
        RequestStateConflict: a renewal of it is under way.
        PeriodInvalid: the period would not become longer, or too long.
        ActorRoleMissing, ResourceWithdrawn, EntryUnreadable, EntryStale: as for a new request.
        ClassNotShared: a law excludes the resource by now, and names no such recipient.
    """
    grant = await grants.lock(tx, grant_id)
    rules_of_grants.require_renewable(grant, actor)
    under_way = await requests.find_open_renewal(tx, grant.id)
    if under_way is not None:
        raise RequestStateConflict(
            f"A renewal of grant {grant.id} is under way.", facts={"request": under_way}
        )
    ask = await _renewing(tx, grant, renewal, now)
    entry = require_shareable(peers, ask)
    await require_not_withdrawn(tx, entry)
    request = rules.open_request(uuid7(), ask, entry, actor, now, renews=grant.id)
    if not procedure.require_asks_at_once(ask, entry, actor):
        return await _draft(tx, request, actor)
    peers.require_fresh()
    renewed = rules_of_grants.renew(grant, ask.valid_until, entry.version, now)
    decided = procedure.grant(request, grant.id, Taken(Step.CONFIRM, PLATFORM, now))
    await requests.add(tx, decided)
    await grants.save(tx, renewed)
    await tell_granted(tx, decided, renewed, events.GRANT_RENEWED, actor)
    return decided, renewed


async def get(tx: Tx, request_id: str, actor: Actor) -> Answered:
    """Return a request that the actor may know of, with its grant.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
    """
    found = await requests.find(tx, request_id)
    if found is None or not rules.is_visible(found[0], actor):
        raise rules.unknown(request_id)
    return found


async def list_visible(
    tx: Tx, actor: Actor, filters: Filters, after: str | None, limit: int
) -> list[Answered]:
    """Return up to `limit` requests that the actor may know of, in id order."""
    return await requests.list_visible(tx, actor, filters, after, limit)


def require_shareable(peers: Peers, ask: Ask) -> Entry:
    """Return the entry of what is asked for, as it is now, if it may still be shared.

    Raises:
        ResourceUnknown, ResourceWithdrawn, EntryUnreadable: of the resource.
        ClassNotShared: a law excludes it by now, and names no such recipient.
    """
    entry = require_published(ask.resource, peers.entry_of(ask.resource))
    law = excluded_by(entry, ask.statutory)
    if law is not None:
        raise not_shared(law)
    return entry


async def require_not_withdrawn(tx: Tx, entry: Entry, pointer: str | None = None) -> None:
    """Check that the withdrawal of `entry` was not handled before, and let it wait for `tx`.

    The copy of the catalogue may be older than what was handled: nothing would end what is granted
    afterwards.

    Raises:
        ResourceWithdrawn: it was handled, or just is.
    """
    if not await entries.hold(tx, entry.id):
        raise withdrawn(entry.resource, pointer)


async def tell_granted(tx: Tx, request: Request, grant: Grant, kind: str, actor: Actor) -> None:
    """Tell of a request that was granted, and of its grant: issued, or renewed (`kind`)."""
    await outbox.append(
        tx,
        events.state(grant),
        events.request_fact(request, actor),
        events.grant_fact(kind, grant, actor),
    )


async def _renewing(tx: Tx, grant: Grant, renewal: Renewal, now: datetime) -> Ask:
    """Return what a renewal asks for: the same, from where the grant ends."""
    scenario = renewal.scenario
    if scenario is None:
        origin = await requests.find(tx, grant.request)
        scenario = grant.basis if origin is None else origin[0].ask.scenario
    ask = Ask(
        basis=renewal.basis or grant.basis,
        scenario=scenario,
        resource=grant.resource,
        systems=grant.systems,
        terms=grant.terms,
        valid_from=max(now, grant.valid_until),
        valid_until=renewal.valid_until,
        statutory=grant.statutory,
    )
    rules.require_period(ask.valid_from, ask.valid_until, now)
    # Renewals one after the other reach no further ahead than one request does.
    rules.require_period(max(now, grant.valid_from), ask.valid_until, now)
    return ask


async def _draft(tx: Tx, request: Request, actor: Actor) -> Answered:
    await requests.add(tx, request)
    await outbox.append(tx, events.request_fact(request, actor))
    return request, None


async def _refuse_by_law(
    tx: Tx, request: Request, refusal: Refusal, actor: Actor, now: datetime
) -> Answered:
    refused = procedure.refuse(request, refusal, Taken(Step.CONFIRM, PLATFORM, now))
    await requests.add(tx, refused)
    await outbox.append(tx, events.request_fact(refused, actor))
    return refused, None
