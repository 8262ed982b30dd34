"""Steps of the procedure: each locks the request, so of two at once one finds it changed."""

from collections.abc import Callable
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

Require = Callable[[int], None]
"""Takes the present version; raises when the step was taken on another one."""


async def submit(tx: Tx, request_id: str, require: Require, actor: Actor, now: datetime) -> Request:
    """Submit a draft to the owner.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.submit`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    return await _save(tx, before, procedure.submit(before, actor, now), actor)


async def ask_supplement(
    tx: Tx, request_id: str, require: Require, reason: str, actor: Actor, now: datetime
) -> Request:
    """Ask, once, for all that is missing.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.ask_supplement`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    return await _save(tx, before, procedure.ask_supplement(before, reason, actor, now), actor)


async def supplement(
    tx: Tx, request_id: str, require: Require, text: str, actor: Actor, now: datetime
) -> Request:
    """Add what was missing.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.supplement`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    return await _save(tx, before, procedure.supplement(before, text, actor, now), actor)


async def answer(
    tx: Tx,
    peers: Peers,
    request_id: str,
    require: Require,
    proposal: Proposal,
    actor: Actor,
    now: datetime,
) -> Request:
    """Answer a request; the answer counts once somebody else has confirmed it.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.require_may`, `approval` and `refusal`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    procedure.require_may(Step.ANSWER, before, actor)
    if proposal.decision is Decision.REFUSE:
        given = procedure.refusal(before, proposal)
    else:
        entry = require_shareable(peers, before.ask)
        given = procedure.approval(before, entry, proposal, now)
    return await _save(tx, before, procedure.answer(before, given, actor, now), actor)


async def send_back(
    tx: Tx, request_id: str, require: Require, reason: str, actor: Actor, now: datetime
) -> Request:
    """Return an answer to who gave it.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.send_back`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    return await _save(tx, before, procedure.send_back(before, reason, actor, now), actor)


async def confirm(
    tx: Tx, peers: Peers, request_id: str, require: Require, actor: Actor, now: datetime
) -> Answered:
    """Confirm an answer: the request is refused, or granted together with its grant.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.require_may`, and of `require`.
        DomainError: the resource can no longer be shared as the answer says.
    """
    before = await _lock(tx, request_id, require, actor)
    procedure.require_may(Step.CONFIRM, before, actor)
    taken, given = Taken(Step.CONFIRM, actor.subject, now), before.answer
    if given is None:
        raise RuntimeError(f"request {before.id} is answered without an answer")
    if given.decision is Decision.REFUSE:
        refused = procedure.refuse(before, Refusal(reason=given.reason), taken)
        return await _save(tx, before, refused, actor), None
    grant, kind = await _granted(tx, peers, before, given, now)
    granted = procedure.grant(before, grant.id, taken)
    await requests.save(tx, before, granted)
    await tell_granted(tx, granted, grant, kind, actor)
    return granted, grant


async def withdraw(
    tx: Tx, request_id: str, require: Require, reason: str, actor: Actor, now: datetime
) -> Request:
    """Withdraw a request that has not ended.

    Raises:
        RequestUnknown: no such request, or one between other agencies.
        DomainError: of `procedure.withdraw`, and of `require`.
    """
    before = await _lock(tx, request_id, require, actor)
    return await _save(tx, before, procedure.withdraw(before, reason, actor, now), actor)


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


async def _lock(tx: Tx, request_id: str, require: Require, actor: Actor) -> Request:
    request = await requests.lock(tx, request_id)
    if not rules.is_visible(request, actor):
        raise rules.unknown(request_id)
    require(request.version)
    return request


async def _save(tx: Tx, before: Request, after: Request, actor: Actor) -> Request:
    await requests.save(tx, before, after)
    await outbox.append(tx, events.request_fact(after, actor))
    return after
