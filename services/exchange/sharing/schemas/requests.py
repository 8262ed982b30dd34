"""Requests, their steps and answers, and the work that waits, on the wire."""

from datetime import date, datetime
from typing import Annotated, Final

from pydantic import BaseModel, Field

from kit.ids import PLAIN_ID
from services.exchange.sharing.actions.requests import Renewal
from services.exchange.sharing.domain import (
    Actor,
    Answer,
    Ask,
    Decision,
    Grant,
    Mode,
    Proposal,
    Refusal,
    Request,
    RequestState,
    Step,
    Taken,
    Terms,
)
from services.exchange.sharing.schemas.grants import GrantShape
from services.exchange.sharing.schemas.terms import (
    FilterBody,
    ItemList,
    LawBody,
    LawShape,
    MasksBody,
    NarrowingBody,
    OperationList,
    PurposeList,
    TermsShape,
    terms_members,
)
from services.exchange.sharing.schemas.texts import Body, Instant, Text, Uuid
from services.exchange.sharing.store.work import Work

MAX_SYSTEMS: Final = 50
_OWNERS_OWN: Final = frozenset({Step.ANSWER, Step.RETURN})
"""Steps that the owner takes for itself; the consumer is told when the answer is confirmed."""
_DECIDED: Final = frozenset({RequestState.GRANTED, RequestState.REFUSED})


class RequestBody(Body):
    """Who asks for what, why, how and how long (Decree 809, article 20)."""

    basis: Annotated[Text, Field(description="Legal or official ground")]
    scenario: Annotated[Text, Field(description="What the data will be used for")]
    resource: Annotated[str, Field(pattern=PLAIN_ID)]
    systems: Annotated[
        list[Uuid],
        Field(min_length=1, max_length=MAX_SYSTEMS, description="Of the caller's agency"),
    ]
    items: Annotated[
        ItemList,
        Field(default_factory=list, description="None with the mode call, else at least one"),
    ]
    modes: Annotated[
        list[Mode],
        Field(
            min_length=1,
            max_length=len(Mode),
            description="Each offered by the entry; `call` stands alone",
        ),
    ]
    operations: Annotated[
        OperationList,
        Field(default_factory=list, description="Of the owner's service, with the mode call"),
    ]
    purposes: PurposeList
    row_filter: FilterBody | None = None
    masks: Annotated[MasksBody, Field(default_factory=dict)]
    valid_from: Annotated[Instant, Field(description="Inclusive")]
    valid_until: Annotated[
        Instant, Field(description="Exclusive; at most three years after valid_from")
    ]
    statutory: Annotated[
        LawBody | None,
        Field(description="For a resource that is not shared: the law that entitles the caller"),
    ] = None

    def to_ask(self) -> Ask:
        """Return what is asked for."""
        return Ask(
            basis=self.basis,
            scenario=self.scenario,
            resource=self.resource,
            systems=tuple(self.systems),
            terms=Terms(
                modes=tuple(mode.value for mode in self.modes),
                items=tuple(self.items),
                operations=tuple(self.operations),
                purposes=tuple(self.purposes),
                row_filter=() if self.row_filter is None else self.row_filter.to_filter(),
                masks=self.masks,
            ),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            statutory=None if self.statutory is None else self.statutory.to_law(),
        )


class RenewalBody(Body):
    """A longer period of a grant; what it covers stays."""

    valid_until: Annotated[
        Instant,
        Field(description="Exclusive; at most three years from now, or from a later beginning"),
    ]
    basis: Annotated[Text | None, Field(description="The grant's by default")] = None
    scenario: Annotated[Text | None, Field(description="The first request's by default")] = None

    def to_renewal(self) -> Renewal:
        """Return what is asked for."""
        return Renewal(self.valid_until, self.basis, self.scenario)


class Supplement(Body):
    """What was missing. What was asked for stays as it was signed."""

    text: Text


class AnswerBody(NarrowingBody):
    """The owner's answer. Terms only narrow what was asked for; a refusal has a reason instead."""

    decision: Decision
    reason: Text | None = None
    valid_until: Annotated[
        Instant | None, Field(description="Exclusive; not after what was asked for")
    ] = None

    def to_proposal(self) -> Proposal:
        """Return the answer as it is given."""
        return Proposal(self.decision, self.reason, self.to_narrowing(), self.valid_until)


class AnswerShape(TermsShape):
    """What was answered; with a refusal the terms are those that were asked for."""

    decision: Decision
    reason: str | None
    valid_until: Instant

    @classmethod
    def of(cls, answer: Answer) -> "AnswerShape":
        """Return the answer as the owner sees it."""
        return cls(
            decision=answer.decision,
            reason=answer.reason,
            valid_until=answer.valid_until,
            **terms_members(answer.terms),
        )


class StepShape(BaseModel):
    """A step that was taken."""

    step: Step
    actor: Annotated[str, Field(description="`person/<id>`; `part/sharing` when nobody had to")]
    at: Instant
    reason: Annotated[str | None, Field(description="Why, or what was supplemented")]

    @classmethod
    def of(cls, taken: Taken) -> "StepShape":
        """Return the step."""
        return cls(step=taken.step, actor=taken.actor, at=taken.at, reason=taken.reason)


class RefusalShape(BaseModel):
    """Why a request was refused: by a law or the platform (`code`), or by the owner (`reason`)."""

    code: Annotated[str | None, Field(description="A row of contracts/problems.yaml")]
    reason: str | None
    legal_basis_title: str | None
    legal_basis_article: str | None

    @classmethod
    def of(cls, refusal: Refusal | None) -> "RefusalShape | None":
        """Return why, or None."""
        if refusal is None:
            return None
        law = refusal.law
        return cls(
            code=refusal.code,
            reason=refusal.reason,
            legal_basis_title=None if law is None else law.title,
            legal_basis_article=None if law is None else law.article,
        )


class RequestShape(TermsShape):
    """A request with what happened to it: its steps, and a grant or a refusal."""

    id: str
    version: Annotated[int, Field(description="Rises with each step; the ETag")]
    requester: str
    consumer: str
    owner: str
    resource: str
    entry: str
    entry_version: int
    share_class: str
    basis: str
    scenario: str
    systems: list[str]
    valid_from: Instant
    valid_until: Instant
    statutory: LawShape | None
    renews: Annotated[str | None, Field(description="The grant that shall be prolonged")]
    state: RequestState
    since: Annotated[Instant, Field(description="When it came into its state")]
    due: Annotated[
        date | None,
        Field(description="Last day of the next step, Asia/Shanghai; null without a legal limit"),
    ]
    answer: Annotated[
        AnswerShape | None,
        Field(description="For the owner; for the consumer once it was confirmed"),
    ]
    steps: list[StepShape]
    grant: GrantShape | None
    refusal: RefusalShape | None
    created_at: Instant

    @classmethod
    def of(
        cls, request: Request, grant: Grant | None, actor: Actor, now: datetime
    ) -> "RequestShape":
        """Return the request as the actor sees it at `now`.

        An answer that is not confirmed is the owner's own affair; so is one that was sent back.
        """
        ask, inside = request.ask, actor.sees_all or actor.agency == request.owner
        answer = request.answer if inside or request.state in _DECIDED else None
        steps = [step for step in request.steps if inside or step.step not in _OWNERS_OWN]
        return cls(
            id=request.id,
            version=request.version,
            requester=request.requester,
            consumer=request.consumer,
            owner=request.owner,
            resource=ask.resource,
            entry=request.entry,
            entry_version=request.entry_version,
            share_class=request.share_class,
            basis=ask.basis,
            scenario=ask.scenario,
            systems=list(ask.systems),
            valid_from=ask.valid_from,
            valid_until=ask.valid_until,
            statutory=LawShape.of(ask.statutory),
            renews=request.renews,
            state=request.state,
            since=request.since,
            due=request.due,
            answer=None if answer is None else AnswerShape.of(answer),
            steps=[StepShape.of(step) for step in steps],
            grant=None if grant is None else GrantShape.of(grant, now),
            refusal=RefusalShape.of(request.refusal),
            created_at=request.created_at,
            **terms_members(ask.terms),
        )


class WorkShape(BaseModel):
    """A request that waits for a step of the caller."""

    request: str
    step: Step
    since: Instant
    due: Annotated[
        date | None, Field(description="Last day, Asia/Shanghai; null without a legal limit")
    ]
    resource: str
    consumer: str
    owner: str
    share_class: str
    scenario: str
    renews: str | None

    @classmethod
    def of(cls, work: Work) -> "WorkShape":
        """Return what waits."""
        return cls(
            request=work.request,
            step=work.step,
            since=work.since,
            due=work.due,
            resource=work.resource,
            consumer=work.consumer,
            owner=work.owner,
            share_class=work.share_class,
            scenario=work.scenario,
            renews=work.renews,
        )
