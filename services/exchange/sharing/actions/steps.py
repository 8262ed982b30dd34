"""Steps of the procedure: each locks the request, so of two at once one finds it changed."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from kit import outbox
from kit.db import Tx
from kit.errors import DomainError
from kit.ids import uuid7
from services.exchange.sharing import events
from services.exchange.sharing.actions.peers import Peers
from services.exchange.sharing.actions.requests import (
    require_not_withdrawn,
    require_shareable,
    tell_granted,
)
from services.exchange.sharing.domain import (
    Actor,
    Answer,
    Decision,
    Grant,
    Proposal,
    Refusal,
    Request,
    Step,
    Taken,
    procedure,
)
from services.exchange.sharing.domain import grant as rules_of_grants
from services.exchange.sharing.domain import request as rules
from services.exchange.sharing.domain.terms import require_offered
from services.exchange.sharing.store import entries, grants, requests, work
from services.exchange.sharing.store.requests import Answered
from services.exchange.sharing.store.work import Work


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody's turn in a request.

    Attributes:
        request: id.
        require: takes the present version; raises when the step was taken on another one.
    """

    request: str
    actor: Actor
    now: datetime
    require: Callable[[int], None]


async def submit(tx: Tx, turn: Turn) -> Answered:
    """Submit a draft to the owner.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.submit`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    return await _save(tx, before, procedure.submit(before, turn.actor, turn.now), turn.actor)


async def ask_supplement(tx: Tx, turn: Turn, reason: str) -> Answered:
    """Ask, once, for all that is missing.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.ask_supplement`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    after = procedure.ask_supplement(before, reason, turn.actor, turn.now)
    return await _save(tx, before, after, turn.actor)


async def supplement(tx: Tx, turn: Turn, text: str) -> Answered:
    """Add what was missing.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.supplement`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    after = procedure.supplement(before, text, turn.actor, turn.now)
    return await _save(tx, before, after, turn.actor)


async def answer(tx: Tx, turn: Turn, peers: Peers, proposal: Proposal) -> Answered:
    """Answer a request; the answer counts once somebody else has confirmed it.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.require_may`, `approval` and `refusal`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    procedure.require_may(Step.ANSWER, before, turn.actor)
    if proposal.decision is Decision.REFUSE:
        given = procedure.refusal(before, proposal)
    else:
        entry = require_shareable(peers, before.ask)
        given = procedure.approval(before, entry, proposal, turn.now)
    after = procedure.answer(before, given, turn.actor, turn.now)
    return await _save(tx, before, after, turn.actor)


async def send_back(tx: Tx, turn: Turn, reason: str) -> Answered:
    """Return an answer to who gave it.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.send_back`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    after = procedure.send_back(before, reason, turn.actor, turn.now)
    return await _save(tx, before, after, turn.actor)


async def confirm(tx: Tx, turn: Turn, peers: Peers) -> Answered:
    """Confirm an answer: the request is refused, or granted together with its grant.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.require_may`, and of `turn.require`.
        DomainError: the resource can no longer be shared as the answer says.
    """
    before = await _lock(tx, turn)
    procedure.require_may(Step.CONFIRM, before, turn.actor)
    taken, given = Taken(Step.CONFIRM, turn.actor.subject, turn.now), before.answer
    if given is None:
        raise RuntimeError(f"request {before.id} is answered without an answer")
    if given.decision is Decision.REFUSE:
        refused = procedure.refuse(before, Refusal(reason=given.reason), taken)
        return await _save(tx, before, refused, turn.actor)
    grant, kind = await _granted(tx, peers, before, given, turn.now)
    granted = procedure.grant(before, grant.id, taken)
    await requests.save(tx, before, granted)
    await tell_granted(tx, granted, grant, kind, turn.actor)
    return granted, grant


async def withdraw(tx: Tx, turn: Turn, reason: str) -> Answered:
    """Withdraw a request that has not ended.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.withdraw`, and of `turn.require`.
    """
    before = await _lock(tx, turn)
    after = procedure.withdraw(before, reason, turn.actor, turn.now)
    return await _save(tx, before, after, turn.actor)


async def close_for_entry(tx: Tx, entry_id: str, reason: str, actor: Actor, now: datetime) -> int:
    """Refuse all open requests for a withdrawn entry, and all to come; return how many."""
    await entries.withdraw(tx, entry_id, now)
    found = await requests.lock_open_of_entry(tx, entry_id)
    for before in found:
        after = procedure.close_without_entry(before, reason, actor, now)
        await _save(tx, before, after, actor)
    return len(found)


async def list_work(tx: Tx, actor: Actor, after: tuple[date, str] | None, limit: int) -> list[Work]:
    """Return up to `limit` requests that wait for the actor, what is due first before others."""
    return await work.list_for(tx, actor, after, limit)


async def _granted(
    tx: Tx, peers: Peers, request: Request, given: Answer, now: datetime
) -> tuple[Grant, str]:
    """Write the grant that a confirmed answer leads to; return it with the kind of its fact."""
    procedure.require_confirmable(given, now)
    peers.require_fresh()
    entry = require_shareable(peers, request.ask)
    await require_not_withdrawn(tx, entry)
    if request.renews is not None:
        grant = await grants.lock(tx, request.renews)
        renewed = rules_of_grants.renew(grant, given.valid_until, entry.version, now)
        await grants.save(tx, renewed)
        return renewed, events.GRANT_RENEWED
    try:
        require_offered(given.terms, entry)
    except DomainError as error:
        error.errors = ()  # they would point into a body that this call does not have
        raise
    issued = rules.issue(uuid7(), request, given.terms, given.valid_until, entry, now)
    await grants.add(tx, issued)
    return issued, events.GRANT_ISSUED


async def _lock(tx: Tx, turn: Turn) -> Request:
    request = await requests.lock(tx, turn.request)
    if not rules.is_visible(request, turn.actor):
        raise rules.unknown(turn.request)
    turn.require(request.version)
    return request


async def _save(tx: Tx, before: Request, after: Request, actor: Actor) -> Answered:
    await requests.save(tx, before, after)
    await outbox.append(tx, events.request_fact(after, actor))
    return after, None
