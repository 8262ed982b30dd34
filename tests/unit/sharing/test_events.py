"""What sharing publishes fits its schemas, and so do the golden examples."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.clock import FixedClock
from kit.events import Fact, State, envelope
from kit.ids import uuid7
from kit.problems import CONTRACTS
from services.exchange.sharing import domain, events
from services.exchange.sharing.domain import Act, Grant, Refused, Request, RequestState
from tests.unit.sharing.test_domain import HEAD, NOON, an_ask, an_entry

EVENTS = CONTRACTS / "events"


def wire(event: State | Fact) -> dict[str, Any]:
    """Return the event as the relay publishes it."""
    made = envelope(event, source="/sharing", event_id=uuid7(), at=FixedClock(NOON).now())
    more = {"incarnation": 1} | ({} if isinstance(event, State) else {"sequence": 1})
    return json.loads(json.dumps(made | more))


def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((EVENTS / f"{topic}.schema.json").read_text()))


def a_grant() -> Grant:
    ask, entry = an_ask(systems=(uuid7(),)), an_entry(id=uuid7())
    return domain.issue(uuid7(), uuid7(), ask, entry, HEAD, NOON)


def test_every_state_of_a_grant_fits_its_schema() -> None:
    active = a_grant()
    suspended = domain.change(active, Act.SUSPEND, "Misuse.", NOON)
    ended = domain.change(suspended, Act.END, "Misuse.", NOON)

    for grant in (active, suspended, ended):
        event = wire(events.state(grant))
        validator("sharing.grant.v1").validate(event)
        assert event["version"] == grant.version
        assert set(event["data"]["critical"]) <= set(event["data"])


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        (events.GRANT_ISSUED, None),
        (events.GRANT_SUSPENDED, Act.SUSPEND),
        (events.GRANT_ENDED, Act.END),
    ],
)
def test_facts_of_grants_fit_their_schema(kind: str, act: Act | None) -> None:
    grant = a_grant()
    if act is not None:
        grant = domain.change(grant, act, "Misuse.", NOON)

    validator("sharing.change.v1").validate(wire(events.grant_fact(kind, grant, HEAD)))


@pytest.mark.parametrize("refusal", [None, Refused("class-not-shared", "Law", "29")])
def test_facts_of_requests_fit_their_schema(refusal: Refused | None) -> None:
    request = Request(
        id=uuid7(),
        requester=HEAD.subject,
        consumer=HEAD.agency,
        owner="civil-affairs",
        entry=uuid7(),
        entry_version=1,
        share_class="unconditional" if refusal is None else "not_shared",
        ask=an_ask(systems=(uuid7(),)),
        state=RequestState.GRANTED if refusal is None else RequestState.REFUSED,
        grant=uuid7() if refusal is None else None,
        refusal=refusal,
        created_at=NOON,
    )

    validator("sharing.change.v1").validate(wire(events.request_fact(request, HEAD)))


@pytest.mark.parametrize(
    "example", sorted((EVENTS / "examples").glob("sharing.*.json")), ids=lambda path: path.stem
)
def test_golden_examples_fit_their_schema(example: Any) -> None:
    topic = ".".join(example.name.split(".")[:3])

    validator(topic).validate(json.loads(example.read_text()))
