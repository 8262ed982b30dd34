"""The procedure: which step follows which, by whom, and that nobody signs twice."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.sharing import domain
from services.exchange.sharing.domain import (
    OPEN,
    RULES,
    WAITING,
    Actor,
    Condition,
    Decision,
    Mask,
    Narrowing,
    Proposal,
    Refusal,
    Request,
    RequestState,
    Step,
    Taken,
    procedure,
)
from tests.support.sharing import (
    HEAD,
    NOON,
    OFFICER,
    OWNER,
    OWNERS_HEAD,
    a_request,
    an_entry,
)

ENTRY = an_entry(share_class="conditional")
DUE = date(2026, 12, 8)
"""Ten plain working days after Tuesday, 24 November 2026."""

ROLES = (
    "registrar",
    "reviewer",
    "sharing_office_head",
    "resource_administrator",
    "technical_officer",
    "security_officer",
    "agency_head",
    "competent_officer",
    "platform_operator",
    "auditor",
)
AGENCIES = {"consumer": "health-commission", "owner": "civil-affairs", "stranger": "tax-bureau"}

TABLE: Mapping[Step, tuple[str, str, str]] = {
    # step: side, roles, states
    Step.SUBMIT: ("consumer", "sharing_office_head", "drafted"),
    Step.ASK_SUPPLEMENT: ("owner", "resource_administrator", "submitted"),
    Step.SUPPLEMENT: ("consumer", "technical_officer sharing_office_head", "supplement_asked"),
    Step.ANSWER: ("owner", "resource_administrator", "submitted"),
    Step.RETURN: ("owner", "agency_head sharing_office_head", "answered"),
    Step.CONFIRM: ("owner", "agency_head sharing_office_head", "answered"),
    Step.WITHDRAW: (
        "consumer",
        "technical_officer sharing_office_head",
        "drafted submitted supplement_asked answered",
    ),
}
"""Written by hand from Decree 809, articles 20 and 21; all else is refused."""


def expected(step: Step, side: str, role: str, state: RequestState) -> str:
    """Return what happens to a person who has not acted before."""
    its_side, roles, states = TABLE[step]
    if side == "stranger" and role != "auditor":
        return "request-unknown"
    if side != its_side:
        return "other-agency"
    if role not in roles.split():
        return "role-missing"
    return "yes" if state in states.split() else "request-state-conflict"


def outcome(step: Step, request: Request, actor: Actor) -> str:
    try:
        procedure.require_may(step, request, actor)
    except DomainError as refused:
        return refused.code
    return "yes"


@pytest.mark.parametrize("state", list(RequestState))
@pytest.mark.parametrize("step", list(TABLE))
def test_who_may_take_a_step_in_a_state(step: Step, state: RequestState) -> None:
    request = a_request(state=state)
    for side, agency in AGENCIES.items():
        for role in ROLES:
            actor = Actor("person/new", agency, frozenset({role}))
            found = outcome(step, request, actor)
            assert found == expected(step, side, role, state), (side, role)


def test_the_table_is_about_every_step() -> None:
    assert set(TABLE) == set(RULES) == set(Step) - {Step.DRAFT}
    assert set(WAITING) == OPEN


APART: Mapping[Step, str] = {
    # step: steps that the same person must not have taken
    Step.SUBMIT: "draft",
    Step.ASK_SUPPLEMENT: "draft submit supplement return confirm",
    Step.SUPPLEMENT: "ask_supplement answer return confirm",
    Step.ANSWER: "draft submit supplement return confirm",
    Step.RETURN: "draft submit supplement ask_supplement answer",
    Step.CONFIRM: "draft submit supplement ask_supplement answer",
    Step.WITHDRAW: "",
}


@pytest.mark.parametrize("before", [step for step in Step if step is not Step.WITHDRAW])
@pytest.mark.parametrize("step", list(TABLE))
def test_nobody_signs_twice_even_with_every_role_on_both_sides(step: Step, before: Step) -> None:
    everybody = Actor("person/one", "civil-affairs", frozenset(ROLES))
    state = next(iter(sorted(RULES[step].states)))
    request = a_request(
        consumer="civil-affairs", state=state, steps=(Taken(before, everybody.subject, NOON),)
    )

    found = outcome(step, request, everybody)

    if step is before is Step.ASK_SUPPLEMENT:
        assert found == "request-state-conflict"
    else:
        assert found == ("same-person" if before in APART[step].split() else "yes")
    assert outcome(step, request, replace(everybody, subject="person/two")) in (
        "yes",
        "request-state-conflict",
    )


def submitted() -> Request:
    return procedure.submit(a_request(), HEAD, NOON)


def answered(**given: Any) -> Request:
    request = submitted()
    proposal = Proposal(**({"decision": Decision.APPROVE} | given))
    if proposal.decision is Decision.REFUSE:
        answer = procedure.refusal(request, proposal)
    else:
        answer = procedure.approval(request, ENTRY, proposal, NOON)
    return procedure.answer(request, answer, OWNER, NOON)


def test_four_people_sign_a_grant() -> None:
    request = procedure.grant(answered(), "grant", Taken(Step.CONFIRM, OWNERS_HEAD.subject, NOON))

    assert (request.state, request.grant, request.due) == (RequestState.GRANTED, "grant", None)
    assert [(taken.step.value, taken.actor) for taken in request.steps] == [
        ("draft", "person/officer"),
        ("submit", "person/head"),
        ("answer", "person/owner"),
        ("confirm", "person/owners-head"),
    ]
    assert request.version == 4


def test_a_head_who_drafted_does_not_submit() -> None:
    request = a_request(steps=(Taken(Step.DRAFT, HEAD.subject, NOON),))

    with pytest.raises(domain.SamePerson) as refused:
        procedure.submit(request, HEAD, NOON)

    assert refused.value.facts == {"taken": "draft", "step": "submit"}


def test_the_limit_runs_from_submission_through_answer_return_and_confirmation() -> None:
    assert a_request().due is None
    request = submitted()
    assert request.due == DUE
    request = answered()
    assert request.due == DUE
    later = NOON + timedelta(days=3)
    returned = procedure.send_back(request, "Say why.", OWNERS_HEAD, later)

    assert (returned.state, returned.due) == (RequestState.SUBMITTED, DUE)
    assert (returned.answer, returned.since) == (None, later)


def test_a_supplement_is_asked_for_once_and_begins_the_limit_again() -> None:
    asked = procedure.ask_supplement(submitted(), "Which hospitals?", OWNER, NOON)
    assert (asked.state, asked.due) == (RequestState.SUPPLEMENT_ASKED, None)

    again = procedure.supplement(asked, "All of them.", OFFICER, NOON + timedelta(days=1))

    assert (again.state, again.due) == (RequestState.SUBMITTED, DUE + timedelta(days=1))
    assert again.ask == asked.ask
    assert again.steps[-1].reason == "All of them."
    with pytest.raises(domain.RequestStateConflict):
        procedure.ask_supplement(again, "And which patients?", OWNER, NOON)


def test_who_answered_once_answers_again_but_never_confirms() -> None:
    returned = procedure.send_back(answered(), "Say why.", OWNERS_HEAD, NOON)
    both = replace(OWNER, roles=frozenset({"resource_administrator", "agency_head"}))
    procedure.require_may(Step.ANSWER, returned, both)
    other = replace(OWNER, subject="person/other")
    again = procedure.answer(returned, submitted_answer(returned), other, NOON)

    with pytest.raises(domain.SamePerson):
        procedure.require_may(Step.CONFIRM, again, both)
    procedure.require_may(Step.CONFIRM, again, OWNERS_HEAD)


def submitted_answer(request: Request) -> domain.Answer:
    return procedure.approval(request, ENTRY, Proposal(Decision.APPROVE), NOON)


def test_an_answer_narrows_what_was_asked_for() -> None:
    until = NOON + timedelta(days=10)
    by = Narrowing(
        items=("name",),
        row_filter=(Condition("level", frozenset({"3"})),),
        masks={"name": Mask.NAME},
    )
    answer = answered(by=by, valid_until=until, reason="Only names.").answer

    assert answer is not None
    assert (answer.terms.items, answer.valid_until, answer.reason) == (
        ("name",),
        until,
        "Only names.",
    )
    assert answer.terms.masks == {"name": Mask.NAME}
    assert answer.terms.purposes == ("health-statistics",)


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        ({"by": Narrowing(items=("name", "level"))}, "terms-not-narrower", "/items/1"),
        (
            {"by": Narrowing(row_filter=(Condition("name", frozenset({"x"})),))},
            "item-not-filterable",
            "/row_filter/all/0/item",
        ),
        ({"by": Narrowing(masks={"code": Mask.NAME})}, "mask-invalid", "/masks/code"),
        ({"valid_until": NOON + timedelta(days=31)}, "period-invalid", "/valid_until"),
        ({"valid_until": NOON}, "period-invalid", "/valid_until"),
        ({"valid_until": NOON - timedelta(days=1)}, "period-invalid", "/valid_until"),
        ({"decision": Decision.REFUSE}, "answer-invalid", "/reason"),
        (
            {"decision": Decision.REFUSE, "reason": "No.", "by": Narrowing(items=("name",))},
            "answer-invalid",
            "/decision",
        ),
        (
            {"decision": Decision.REFUSE, "reason": "No.", "valid_until": NOON},
            "answer-invalid",
            "/decision",
        ),
    ],
)
def test_an_answer_that_is_wrong(given: dict[str, Any], code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as refused:
        answered(**given)

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_renewal_is_answered_about_its_period_only() -> None:
    request = replace(submitted(), renews="grant")

    with pytest.raises(domain.AnswerInvalid):
        procedure.approval(
            request, ENTRY, Proposal(Decision.APPROVE, by=Narrowing(items=("name",))), NOON
        )
    gone = an_entry(items=())
    answer = procedure.approval(request, gone, Proposal(Decision.APPROVE), NOON)
    assert answer.terms == request.ask.terms


def test_what_is_over_is_neither_submitted_nor_approved_nor_confirmed() -> None:
    late = NOON + timedelta(days=30)
    answer = answered().answer
    assert answer is not None
    procedure.require_confirmable(answer, NOON)

    with pytest.raises(domain.PeriodInvalid):
        procedure.submit(a_request(), HEAD, late)
    with pytest.raises(domain.PeriodInvalid):
        procedure.approval(submitted(), ENTRY, Proposal(Decision.APPROVE), late)
    with pytest.raises(domain.PeriodInvalid):
        procedure.require_confirmable(answer, late)


def test_a_withdrawn_entry_refuses_its_requests() -> None:
    closed = procedure.close_without_entry(submitted(), "Merged.", Actor("part/sharing"), NOON)

    assert closed.state is RequestState.REFUSED
    assert closed.refusal == Refusal("resource-withdrawn", "Merged.")


PEOPLE = [
    Actor(f"person/{number}", agency, frozenset(ROLES))
    for number, agency in enumerate(["health-commission", "civil-affairs"] * 3)
]
acts = st.tuples(st.sampled_from(list(TABLE)), st.sampled_from(PEOPLE))


@given(st.lists(acts, max_size=30))
def test_whatever_is_tried_four_different_people_stand_behind_a_grant(
    tried: list[tuple[Step, Actor]],
) -> None:
    request = a_request(steps=(Taken(Step.DRAFT, "person/0", NOON),))
    for step, actor in tried:
        before = request
        try:
            request = take(step, request, actor)
        except DomainError:
            assert request == before
            continue
        assert before.state in OPEN
        assert request.version == before.version + 1
        assert (request.due is None) == (
            request.state not in (RequestState.SUBMITTED, RequestState.ANSWERED)
        )
    taken = [found.step for found in request.steps]
    assert taken.count(Step.ASK_SUPPLEMENT) <= 1
    if request.state is RequestState.GRANTED:
        last: dict[Step, str] = {found.step: found.actor for found in request.steps}
        signed = {last[s] for s in (Step.DRAFT, Step.SUBMIT, Step.ANSWER, Step.CONFIRM)}
        assert len(signed) == 4


def take(step: Step, request: Request, actor: Actor) -> Request:
    if step is Step.ANSWER:
        procedure.require_may(step, request, actor)
        return procedure.answer(request, submitted_answer(request), actor, NOON)
    if step is Step.CONFIRM:
        procedure.require_may(step, request, actor)
        return procedure.grant(request, "grant", Taken(step, actor.subject, NOON))
    if step is Step.SUBMIT:
        return procedure.submit(request, actor, NOON)
    with_reason = {
        Step.ASK_SUPPLEMENT: procedure.ask_supplement,
        Step.SUPPLEMENT: procedure.supplement,
        Step.RETURN: procedure.send_back,
        Step.WITHDRAW: procedure.withdraw,
    }
    return with_reason[step](request, "Because.", actor, NOON)
