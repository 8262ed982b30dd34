"""Events of sharing fit their schemas, and name what restricts."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.clock import FixedClock
from kit.events import Fact, State, envelope
from kit.ids import uuid7
from kit.problems import CONTRACTS
from services.exchange.sharing import events
from services.exchange.sharing.domain import (
    Act,
    Condition,
    Decision,
    Grant,
    Law,
    Mask,
    Narrowing,
    Proposal,
    Refusal,
    Request,
    Step,
    Taken,
    procedure,
)
from services.exchange.sharing.domain import grant as rules_of_grants
from services.exchange.sharing.domain import request as rules
from tests.support.sharing import (
    HEAD,
    NOON,
    OFFICER,
    OWNER,
    OWNERS_HEAD,
    an_ask,
    an_entry,
    some_terms,
)

EVENTS = CONTRACTS / "events"
FILTERED = some_terms(
    row_filter=(
        Condition("level", frozenset({"3", "1"})),
        Condition("born", None, "1990-01-01", "2000-01-01"),
    ),
    masks={"name": Mask.NAME},
)


def wire(event: State | Fact) -> dict[str, Any]:
    """Return the event as the relay publishes it."""
    made = envelope(event, source="/sharing", event_id=uuid7(), at=FixedClock(NOON).now())
    more = {"incarnation": 1} | ({} if isinstance(event, State) else {"sequence": 1})
    found: dict[str, Any] = json.loads(json.dumps(made | more))
    return found


def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((EVENTS / f"{topic}.schema.json").read_text()))


def a_draft(**changed: Any) -> Request:
    ask = replace(an_ask(systems=(uuid7(),)), **changed)
    entry = an_entry(id=uuid7(), share_class="conditional")
    return rules.open_request(uuid7(), ask, entry, OFFICER, NOON)


def a_grant(**changed: Any) -> Grant:
    request = a_draft(**changed)
    entry = an_entry(id=request.entry)
    ask = request.ask
    return rules.issue(uuid7(), request, ask.terms, ask.valid_until, entry, NOON)


def test_every_state_of_a_grant_fits_its_schema() -> None:
    active = a_grant()
    suspended = rules_of_grants.change(active, Act.SUSPEND, "Misuse.", NOON)
    ended = rules_of_grants.change(suspended, Act.END, "Misuse.", NOON)

    for grant in (active, suspended, ended, a_grant(terms=FILTERED, statutory=Law("Law", "1"))):
        event = wire(events.state(grant))
        validator("sharing.grant.v1").validate(event)
        assert event["version"] == grant.version
        assert set(event["data"]["critical"]) <= set(event["data"])


def test_what_restricts_is_critical_exactly_when_it_is_there() -> None:
    plain = wire(events.state(a_grant(statutory=Law("Law", "1"))))["data"]
    filtered = wire(events.state(a_grant(terms=FILTERED)))["data"]

    assert {"row_filter", "masks"}.isdisjoint(plain)
    assert {"row_filter", "masks", "statutory"}.isdisjoint(plain["critical"])
    assert plain["statutory"] == {"title": "Law", "article": "1"}
    assert filtered["row_filter"] == {
        "all": [
            {"item": "level", "in": ["1", "3"]},
            {"item": "born", "from": "1990-01-01", "until": "2000-01-01"},
        ]
    }
    assert filtered["masks"] == {"name": "name"}
    assert filtered["critical"][-2:] == ["row_filter", "masks"]


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (events.GRANT_ISSUED, None),
        (events.GRANT_RENEWED, None),
        (events.GRANT_SUSPENDED, Act.SUSPEND),
        (events.GRANT_ENDED, Act.END),
    ],
)
def test_facts_of_grants_fit_their_schema(kind: str, act: Act | None) -> None:
    grant = a_grant(terms=FILTERED)
    if act is not None:
        grant = rules_of_grants.change(grant, act, "Misuse.", NOON)

    fact = wire(events.grant_fact(kind, grant, HEAD, None if act is None else "Misuse."))
    validator("sharing.change.v1").validate(fact)


def test_the_fact_of_a_narrowing_tells_why() -> None:
    grant = rules_of_grants.narrow(a_grant(), some_terms(items=("code",)), NOON)

    fact = wire(events.grant_fact(events.GRANT_NARROWED, grant, OWNER, "Names are not needed."))

    validator("sharing.change.v1").validate(fact)
    assert fact["data"]["reason_text"] == "Names are not needed."


def every_step() -> Iterator[Request]:
    """Yield a request after each step that there is."""
    draft = a_draft(terms=FILTERED)
    yield draft
    submitted = procedure.submit(draft, HEAD, NOON)
    yield submitted
    asked = procedure.ask_supplement(submitted, "Why?", OWNER, NOON)
    yield asked
    supplemented = procedure.supplement(asked, "Because.", OFFICER, NOON)
    yield supplemented
    entry = an_entry(share_class="conditional")
    by = Narrowing(items=("name",))
    approval = procedure.approval(
        supplemented, entry, Proposal(Decision.APPROVE, "Only names.", by), NOON
    )
    answered = procedure.answer(supplemented, approval, OWNER, NOON)
    yield answered
    yield procedure.send_back(answered, "Less.", OWNERS_HEAD, NOON)
    confirmed = Taken(Step.CONFIRM, OWNERS_HEAD.subject, NOON)
    yield procedure.grant(answered, uuid7(), confirmed)
    refusal = procedure.refusal(supplemented, Proposal(Decision.REFUSE, "No."))
    refused = procedure.answer(supplemented, refusal, OWNER, NOON)
    yield procedure.refuse(refused, Refusal(reason="No."), confirmed)
    yield procedure.withdraw(submitted, "Not needed.", HEAD, NOON)
    yield procedure.refuse(
        draft, Refusal("class-not-shared", law=Law("Law", "29")), replace(confirmed, actor="part/s")
    )
    yield procedure.close_without_entry(submitted, "Merged.", OWNER, NOON)
    yield replace(draft, renews=uuid7())


def test_facts_of_requests_fit_their_schema() -> None:
    told = []
    for request in every_step():
        fact = wire(events.request_fact(request, HEAD))
        validator("sharing.change.v1").validate(fact)
        assert fact["data"]["state"] == request.state.value
        told.append(fact["type"])

    assert set(told) == {*events.STEPS.values(), events.REQUEST_GRANTED, events.REQUEST_REFUSED}


def test_only_refusals_by_law_or_platform_have_a_code() -> None:
    reasons = [
        (fact["data"].get("reason"), fact["data"].get("reason_text"))
        for fact in (wire(events.request_fact(request, HEAD)) for request in every_step())
        if fact["type"] == events.REQUEST_REFUSED
    ]

    assert reasons == [
        (None, "No."),
        ("class-not-shared", None),
        ("resource-withdrawn", "Merged."),
    ]


@pytest.mark.parametrize(
    "example", sorted((EVENTS / "examples").glob("sharing.*.json")), ids=lambda path: path.stem
)
def test_golden_examples_fit_their_schema(example: Any) -> None:
    topic = ".".join(example.name.split(".")[:3])

    validator(topic).validate(json.loads(example.read_text()))
