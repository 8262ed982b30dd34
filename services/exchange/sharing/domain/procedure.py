"""The procedure of a request: which step follows which, by whom, and never twice by one person.

Four people sign a grant that is not unconditional: who drafts, who submits, who answers and who
confirms (Decree 809, articles 20 and 21).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.actor import Actor, NotThisSide, Side, require_role
from services.exchange.sharing.domain.deadlines import Limit, due
from services.exchange.sharing.domain.entry import UNCONDITIONAL, Entry, ResourceWithdrawn
from services.exchange.sharing.domain.filters import require_filter
from services.exchange.sharing.domain.request import (
    OPEN,
    Answer,
    Ask,
    Decision,
    PeriodInvalid,
    Refusal,
    Request,
    RequestState,
    Step,
    Taken,
    is_visible,
    unknown,
)
from services.exchange.sharing.domain.terms import (
    Narrowing,
    kinds_of,
    narrowed,
    require_offered,
)

CONSUMERS_ROLES: Final = frozenset({"technical_officer", "sharing_office_head"})
HEAD: Final = frozenset({"sharing_office_head"})
_ADMINISTRATOR: Final = frozenset({"resource_administrator"})
_OWNERS_HEADS: Final = frozenset({"agency_head", "sharing_office_head"})

_CONSUMERS_STEPS: Final = frozenset({Step.DRAFT, Step.SUBMIT, Step.SUPPLEMENT})
_ADMINISTRATORS_STEPS: Final = frozenset({Step.ASK_SUPPLEMENT, Step.ANSWER})
_HEADS_STEPS: Final = frozenset({Step.RETURN, Step.CONFIRM})


class RequestStateConflict(DomainError):
    """The request is not in a state in which this can be done."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "request-state-conflict"


class SamePerson(DomainError):
    """The person has taken another step in this request that this one must check."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "same-person"


class AnswerInvalid(DomainError):
    """The members of an answer do not fit its decision."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "answer-invalid"


@dataclass(frozen=True, slots=True)
class Proposal:
    """An answer as it is given; `valid_until` None leaves the end of the period as it is."""

    decision: Decision
    reason: str | None = None
    by: Narrowing = field(default_factory=Narrowing)
    valid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Who takes a step, and when.

    Attributes:
        side, roles: of the person.
        states: of the request.
        apart_from: steps that the same person has not taken in the same request.
    """

    side: Side
    roles: frozenset[str]
    states: frozenset[RequestState]
    apart_from: frozenset[Step]


RULES: Final[Mapping[Step, Rule]] = {
    Step.SUBMIT: Rule(
        Side.CONSUMER, HEAD, frozenset({RequestState.DRAFTED}), frozenset({Step.DRAFT})
    ),
    Step.ASK_SUPPLEMENT: Rule(
        Side.OWNER,
        _ADMINISTRATOR,
        frozenset({RequestState.SUBMITTED}),
        _CONSUMERS_STEPS | _HEADS_STEPS,
    ),
    Step.SUPPLEMENT: Rule(
        Side.CONSUMER,
        CONSUMERS_ROLES,
        frozenset({RequestState.SUPPLEMENT_ASKED}),
        _ADMINISTRATORS_STEPS | _HEADS_STEPS,
    ),
    Step.ANSWER: Rule(
        Side.OWNER,
        _ADMINISTRATOR,
        frozenset({RequestState.SUBMITTED}),
        _CONSUMERS_STEPS | _HEADS_STEPS,
    ),
    Step.RETURN: Rule(
        Side.OWNER,
        _OWNERS_HEADS,
        frozenset({RequestState.ANSWERED}),
        _CONSUMERS_STEPS | _ADMINISTRATORS_STEPS,
    ),
    Step.CONFIRM: Rule(
        Side.OWNER,
        _OWNERS_HEADS,
        frozenset({RequestState.ANSWERED}),
        _CONSUMERS_STEPS | _ADMINISTRATORS_STEPS,
    ),
    Step.WITHDRAW: Rule(Side.CONSUMER, CONSUMERS_ROLES, OPEN, frozenset()),
}
"""Withdrawing signs nothing, so it is nobody's second signature."""

WAITING: Final[Mapping[RequestState, Step]] = {
    RequestState.DRAFTED: Step.SUBMIT,
    RequestState.SUBMITTED: Step.ANSWER,
    RequestState.SUPPLEMENT_ASKED: Step.SUPPLEMENT,
    RequestState.ANSWERED: Step.CONFIRM,
}
"""The step that a request in each open state waits for."""

_DONE: Final[Mapping[Step, str]] = {
    Step.SUBMIT: "submitted",
    Step.ASK_SUPPLEMENT: "sent back for a supplement",
    Step.SUPPLEMENT: "supplemented",
    Step.ANSWER: "answered",
    Step.RETURN: "returned to who answered it",
    Step.CONFIRM: "confirmed",
    Step.WITHDRAW: "withdrawn",
}


def require_may(step: Step, request: Request, actor: Actor) -> None:
    """Check that the actor may take `step` in the request as it is.

    Raises:
        RequestUnknown: he may not know of it.
        NotThisSide: the other side takes this step.
        ActorRoleMissing: his side takes it, but he holds none of its roles.
        RequestStateConflict: it does not follow on the state, or was taken its one time.
        SamePerson: he took a step that this one must check, or the other way round.
    """
    rule, done = RULES[step], _DONE[step]
    if not is_visible(request, actor):
        raise unknown(request.id)
    agency = request.owner if rule.side is Side.OWNER else request.consumer
    if actor.agency != agency:
        raise NotThisSide(
            f"A request is {done} by its {rule.side}, {agency}.", facts={rule.side.value: agency}
        )
    require_role(rule.roles, actor, f"At your agency a request is {done}")
    if request.state not in rule.states:
        raise _conflict(request, f"Request {request.id} is {request.state}; it cannot be {done}.")
    if step is Step.ASK_SUPPLEMENT and any(taken.step is step for taken in request.steps):
        # Article 21: everything that is missing is told once.
        raise _conflict(request, f"A supplement of request {request.id} was asked for before.")
    for taken in request.steps:
        if taken.actor == actor.subject and taken.step in rule.apart_from:
            raise SamePerson(
                f"You have taken the step {taken.step} in this request; {step} is for somebody "
                "else.",
                facts={"taken": taken.step.value, "step": step.value},
            )


def submit(request: Request, actor: Actor, now: datetime) -> Request:
    """Return the request as submitted: the limit for its answer begins.

    Raises:
        DomainError: of `require_may`.
        PeriodInvalid: the period that is asked for is over.
    """
    require_may(Step.SUBMIT, request, actor)
    _require_not_over(request.ask.valid_until, now)
    return _moved(
        request,
        Taken(Step.SUBMIT, actor.subject, now),
        RequestState.SUBMITTED,
        due=due(Limit.ANSWER, now),
    )


def ask_supplement(request: Request, reason: str, actor: Actor, now: datetime) -> Request:
    """Return the request as waiting for what `reason` says is missing.

    Raises:
        DomainError: of `require_may`.
    """
    require_may(Step.ASK_SUPPLEMENT, request, actor)
    taken = Taken(Step.ASK_SUPPLEMENT, actor.subject, now, reason)
    return _moved(request, taken, RequestState.SUPPLEMENT_ASKED, due=None)


def supplement(request: Request, text: str, actor: Actor, now: datetime) -> Request:
    """Return the request with `text` added: the limit for its answer begins again.

    What was asked for stays as it was signed.

    Raises:
        DomainError: of `require_may`.
    """
    require_may(Step.SUPPLEMENT, request, actor)
    taken = Taken(Step.SUPPLEMENT, actor.subject, now, text)
    return _moved(request, taken, RequestState.SUBMITTED, due=due(Limit.ANSWER, now))


def approval(request: Request, entry: Entry, given: Proposal, now: datetime) -> Answer:
    """Return the answer that grants what `given` leaves of what was asked for.

    Raises:
        TermsNotNarrower, ItemsUnknown, ItemNotFilterable, FilterInvalid, MaskInvalid: of `given`.
        DomainError: of `require_offered`: the entry no longer has what was asked for.
        AnswerInvalid: a renewal changes the period only.
        PeriodInvalid: it ends later than was asked for, before it begins, or is over.
    """
    by = given.by
    ask = request.ask
    terms = ask.terms
    if request.renews is None:
        if by.row_filter is not None:
            require_filter(by.row_filter, entry)
        terms = narrowed(terms, by, kinds_of(entry))
        require_offered(terms, entry)
    elif not by.is_empty:
        raise AnswerInvalid("A renewal keeps what is covered; narrow the grant for less.")
    until = ask.valid_until if given.valid_until is None else given.valid_until
    if until > ask.valid_until:
        raise PeriodInvalid("The period ends later than was asked for.", pointer="/valid_until")
    if until <= ask.valid_from:
        raise PeriodInvalid("The period ends before it begins.", pointer="/valid_until")
    _require_not_over(until, now, "/valid_until")
    return Answer(Decision.APPROVE, given.reason, terms, until)


def refusal(request: Request, given: Proposal) -> Answer:
    """Return the answer that refuses, for a reason.

    Raises:
        AnswerInvalid: there is no reason, or terms are named.
    """
    if given.reason is None:
        raise AnswerInvalid("A refusal needs a reason.", pointer="/reason")
    if given.valid_until is not None or not given.by.is_empty:
        raise AnswerInvalid("A refusal has no terms.", pointer="/decision")
    return Answer(Decision.REFUSE, given.reason, request.ask.terms, request.ask.valid_until)


def answer(request: Request, given: Answer, actor: Actor, now: datetime) -> Request:
    """Return the request with an answer that waits to be confirmed within the same limit.

    The actor has passed `require_may`, before his answer was looked at.
    """
    taken = Taken(Step.ANSWER, actor.subject, now, given.reason)
    moved = _moved(request, taken, RequestState.ANSWERED, due=request.due)
    return replace(moved, answer=given)


def send_back(request: Request, reason: str, actor: Actor, now: datetime) -> Request:
    """Return the request as waiting for another answer; the limit goes on.

    Raises:
        DomainError: of `require_may`.
    """
    require_may(Step.RETURN, request, actor)
    taken = Taken(Step.RETURN, actor.subject, now, reason)
    moved = _moved(request, taken, RequestState.SUBMITTED, due=request.due)
    return replace(moved, answer=None)


def refuse(request: Request, found: Refusal, taken: Taken) -> Request:
    """Return the request as refused by `taken`."""
    return replace(_moved(request, taken, RequestState.REFUSED, due=None), refusal=found)


def grant(request: Request, grant_id: str, taken: Taken) -> Request:
    """Return the request as granted by `taken`."""
    return replace(_moved(request, taken, RequestState.GRANTED, due=None), grant=grant_id)


def withdraw(request: Request, reason: str | None, actor: Actor, now: datetime) -> Request:
    """Return the request as withdrawn by the consumer.

    Raises:
        DomainError: of `require_may`.
    """
    require_may(Step.WITHDRAW, request, actor)
    taken = Taken(Step.WITHDRAW, actor.subject, now, reason)
    return _moved(request, taken, RequestState.WITHDRAWN, due=None)


def close_without_entry(request: Request, reason: str, actor: Actor, now: datetime) -> Request:
    """Return an open request as refused because its entry was withdrawn.

    An answer that nobody has confirmed is none.
    """
    taken = Taken(Step.CONFIRM, actor.subject, now, reason)
    refused = refuse(request, Refusal(ResourceWithdrawn.code, reason), taken)
    return replace(refused, answer=None)


def require_confirmable(given: Answer, now: datetime) -> None:
    """Check that what an answer grants is not over before it is confirmed.

    Raises:
        PeriodInvalid: it is.
    """
    _require_not_over(given.valid_until, now)


def require_asks_at_once(ask: Ask, entry: Entry, actor: Actor) -> bool:
    """Tell whether what is asked for of `entry` is granted at once, which a head must ask for.

    A renewal that a law entitles to is always the owner's to examine: it would outlive the class.

    Raises:
        ActorRoleMissing: it is, and the actor is no head.
    """
    if entry.share_class != UNCONDITIONAL or ask.statutory is not None:
        return False
    require_role(HEAD, actor, "A resource that is granted at once is asked for")
    return True


def _require_not_over(until: datetime, now: datetime, pointer: str | None = None) -> None:
    if until <= now:
        raise PeriodInvalid("The period is over already.", pointer=pointer)


def _moved(request: Request, taken: Taken, state: RequestState, *, due: date | None) -> Request:
    return replace(
        request,
        version=request.version + 1,
        state=state,
        since=taken.at,
        due=due,
        steps=(*request.steps, taken),
    )


def _conflict(request: Request, text: str) -> RequestStateConflict:
    facts: dict[str, Any] = {"state": request.state.value, "version": request.version}
    return RequestStateConflict(text, facts=facts)
