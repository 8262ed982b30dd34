"""Requests: who asks for what, how it is answered, and which steps led there."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.actor import Actor
from services.exchange.sharing.domain.entry import NOT_SHARED, Entry, Law
from services.exchange.sharing.domain.grant import Grant, GrantState
from services.exchange.sharing.domain.terms import RequestInvalid, Terms, require_consistent

MAX_YEARS: Final = 3
MAX_PURPOSES: Final = 20


class RequestState(StrEnum):
    """Where a request stands; the last three are the end of it."""

    DRAFTED = "drafted"
    SUBMITTED = "submitted"
    SUPPLEMENT_ASKED = "supplement_asked"
    ANSWERED = "answered"
    GRANTED = "granted"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


OPEN: Final = frozenset(
    {
        RequestState.DRAFTED,
        RequestState.SUBMITTED,
        RequestState.SUPPLEMENT_ASKED,
        RequestState.ANSWERED,
    }
)


class Step(StrEnum):
    """What a person does in a request."""

    DRAFT = "draft"
    SUBMIT = "submit"
    ASK_SUPPLEMENT = "ask_supplement"
    SUPPLEMENT = "supplement"
    ANSWER = "answer"
    RETURN = "return"
    CONFIRM = "confirm"
    WITHDRAW = "withdraw"


class Decision(StrEnum):
    """What an answer decides."""

    APPROVE = "approve"
    REFUSE = "refuse"


class RequestUnknown(DomainError):
    """No such request, or one between other agencies. The two look alike on purpose."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "request-unknown"


class PeriodInvalid(DomainError):
    """The period is empty, over, or longer than three years."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "period-invalid"


class SystemUnknown(DomainError):
    """No such system at the caller's agency."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "system-unknown"


@dataclass(frozen=True, slots=True)
class Ask:
    """The elements of a request: Decree 809, article 20.

    Attributes:
        basis: legal or official ground. scenario: what the data will be used for.
        systems: ids of systems of the asking agency.
        terms: what the grant shall cover.
        valid_from, valid_until: aware; `[from, until)`.
        statutory: the law that names the asking agency as a recipient.
    """

    basis: str
    scenario: str
    resource: str
    systems: tuple[str, ...]
    terms: Terms
    valid_from: datetime
    valid_until: datetime
    statutory: Law | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the owner's resource administrator answers; it counts once it is confirmed.

    Attributes:
        reason: always with a refusal.
        terms, valid_until: what is granted; with a refusal what was asked for.
    """

    decision: Decision
    reason: str | None
    terms: Terms
    valid_until: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was refused: by a law or the platform (`code`), or by the owner (`reason`).

    Attributes:
        code: a row of `contracts/problems.yaml`.
        law: the provision that excludes the resource from sharing.
    """

    code: str | None = None
    reason: str | None = None
    law: Law | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that was taken; `actor` is `person/<id>`, or `part/<name>` when nobody did it."""

    step: Step
    actor: str
    at: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A request with all that happened to it.

    Attributes:
        version: rises by one with each step, under the row lock.
        answer: the last one, until it is sent back.
        grant: id of the grant that it led to.
        renews: id of the grant whose period it asks to prolong.
        since: when it came into its state.
        due: last day, in Asia/Shanghai, of a step that the law sets a limit for.
        steps: in their order.
    """

    id: str
    version: int
    requester: str
    consumer: str
    owner: str
    entry: str
    entry_version: int
    share_class: str
    ask: Ask
    state: RequestState
    answer: Answer | None
    grant: str | None
    refusal: Refusal | None
    renews: str | None
    since: datetime
    due: date | None
    created_at: datetime
    steps: tuple[Taken, ...]


def require_valid(ask: Ask, now: datetime) -> None:
    """Check what can be checked without the resource.

    Raises:
        RequestInvalid: something is named twice, or does not belong to the modes.
        PeriodInvalid: the period is empty, over already, or longer than three years.
    """
    for index, system in enumerate(ask.systems):
        if system in ask.systems[:index]:
            raise RequestInvalid(f"{system} is named twice.", pointer=f"/systems/{index}")
    require_consistent(ask.terms)
    require_period(ask.valid_from, ask.valid_until, now)


def require_period(valid_from: datetime, valid_until: datetime, now: datetime) -> None:
    """Check a period; the pointer is `/valid_until`.

    Raises:
        PeriodInvalid: it is empty, over already, or longer than three years.
    """
    if valid_until <= valid_from:
        raise PeriodInvalid("The period ends before it begins.", pointer="/valid_until")
    if valid_until <= now:
        raise PeriodInvalid("The period is over already.", pointer="/valid_until")
    if valid_until > _years_after(valid_from, MAX_YEARS):
        raise PeriodInvalid(f"The period is longer than {MAX_YEARS} years.", pointer="/valid_until")


def require_statutory_fits(ask: Ask, entry: Entry) -> None:
    """Check that a law names the recipient only where a law excludes all others.

    Raises:
        RequestInvalid: the resource is shared; nobody would have examined the law.
    """
    if ask.statutory is not None and entry.share_class != NOT_SHARED:
        raise RequestInvalid(
            "Only a resource that a law excludes from sharing has statutory recipients.",
            pointer="/statutory",
        )


def open_request(
    request_id: str,
    ask: Ask,
    entry: Entry,
    actor: Actor,
    now: datetime,
    *,
    renews: str | None = None,
) -> Request:
    """Return a new request, drafted by `actor`."""
    return Request(
        id=request_id,
        version=1,
        requester=actor.subject,
        consumer=actor.agency,
        owner=entry.owner,
        entry=entry.id,
        entry_version=entry.version,
        share_class=entry.share_class,
        ask=ask,
        state=RequestState.DRAFTED,
        answer=None,
        grant=None,
        refusal=None,
        renews=renews,
        since=now,
        due=None,
        created_at=now,
        steps=(Taken(Step.DRAFT, actor.subject, now),),
    )


def issue(
    grant_id: str,
    request: Request,
    terms: Terms,
    valid_until: datetime,
    entry: Entry,
    now: datetime,
) -> Grant:
    """Return the grant that a request leads to, which covers `terms` only."""
    ask = request.ask
    return Grant(
        id=grant_id,
        version=1,
        request=request.id,
        resource=entry.resource,
        entry=entry.id,
        entry_version=entry.version,
        owner=entry.owner,
        consumer=request.consumer,
        share_class=entry.share_class,
        basis=ask.basis,
        systems=ask.systems,
        terms=terms,
        valid_from=ask.valid_from,
        valid_until=valid_until,
        statutory=ask.statutory,
        state=GrantState.ACTIVE,
        reason=None,
        created_at=now,
        changed_at=now,
    )


def is_visible(request: Request, actor: Actor) -> bool:
    """Tell whether the actor may know of the request."""
    return actor.sees_all or actor.agency in (request.consumer, request.owner)


def unknown(request_id: str) -> RequestUnknown:
    """Return the error for a request that is not there, or not to be known."""
    return RequestUnknown(f"Request {request_id} does not exist.")


def _years_after(instant: datetime, years: int) -> datetime:
    """Return the same day and time `years` later; 1 March where there is no 29 February."""
    try:
        return instant.replace(year=instant.year + years)
    except ValueError:
        return instant.replace(year=instant.year + years, month=3, day=1)
