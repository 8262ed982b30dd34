"""What the catalogue publishes fits its schemas, and so do the golden examples."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kit.clock import FixedClock
from kit.events import Fact, State, envelope
from kit.ids import uuid7
from kit.problems import CONTRACTS
from services.catalog import domain, events
from services.catalog.domain import Actor, Entry, ItemType, ShareClass
from tests.unit.catalog.test_domain import LAW, NOON, a_content, an_item

REGISTRAR = Actor(f"person/{uuid7()}", "civil-affairs", uuid7())
REVIEWER = Actor(f"person/{uuid7()}", "civil-affairs", None)
EVENTS = CONTRACTS / "events"


def wire(event: State | Fact) -> dict[str, Any]:
    """Return the event as the relay publishes it."""
    made = envelope(event, source="/catalog", event_id=uuid7(), at=FixedClock(NOON).now())
    more = {"incarnation": 1} | ({} if isinstance(event, State) else {"sequence": 1})
    return json.loads(json.dumps(made | more))


def validator(topic: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((EVENTS / f"{topic}.schema.json").read_text()))


def a_published() -> Entry:
    content = a_content(share_class=ShareClass.NOT_SHARED, legal_basis=LAW, modes=())
    draft = domain.create(uuid7(), "divisions", content, REGISTRAR, NOON)
    return domain.approve(domain.submit(draft, REGISTRAR, NOON), REVIEWER, NOON)


def test_a_draft_has_no_state_on_the_bus() -> None:
    draft = domain.create(uuid7(), "divisions", a_content(), REGISTRAR, NOON)

    assert events.state(draft) is None


@pytest.mark.parametrize("withdrawn", [False, True])
def test_states_fit_their_schema(withdrawn: bool) -> None:
    entry = a_published()
    state = events.state(domain.withdraw(entry, "Old.", NOON) if withdrawn else entry)

    assert state is not None
    validator("catalog.entry.v1").validate(wire(state))


def test_a_state_carries_the_rules_that_an_item_has_and_no_others() -> None:
    ruled = an_item("area", max_length=6, pattern=r"\d{6}", codes=("330106", "330100"))
    ranged = an_item("level", type=ItemType.INTEGER, minimum="1", maximum="5")
    draft = domain.create(
        uuid7(), "divisions", a_content(items=(an_item(), ruled, ranged)), REGISTRAR, NOON
    )
    state = events.state(domain.approve(domain.submit(draft, REGISTRAR, NOON), REVIEWER, NOON))

    assert state is not None
    event = wire(state)
    validator("catalog.entry.v1").validate(event)
    plain, first, second = event["data"]["items"]
    before = {"name", "title", "type", "required", "key", "filterable"}
    assert set(plain) == before
    assert {name: value for name, value in first.items() if name not in before} == {
        "max_length": 6,
        "pattern": r"\d{6}",
        "codes": ["330106", "330100"],
    }
    assert (second["minimum"], second["maximum"]) == ("1", "5")
    assert set(second) == before | {"minimum", "maximum"}


@pytest.mark.parametrize(
    "kind",
    [
        events.CREATED,
        events.DRAFT_REPLACED,
        events.DRAFT_BEGUN,
        events.SUBMITTED,
        events.PUBLISHED,
    ],
)
def test_facts_fit_their_schema(kind: str) -> None:
    entry = a_published()

    validator("catalog.change.v1").validate(
        wire(events.fact(kind, entry, entry.versions[0], REGISTRAR))
    )


def test_a_withdrawal_carries_its_reason() -> None:
    entry = domain.withdraw(a_published(), "Old.", NOON)
    fact = wire(events.fact(events.WITHDRAWN, entry, entry.versions[0], REVIEWER))

    validator("catalog.change.v1").validate(fact)
    assert fact["data"]["reason_text"] == "Old."


@pytest.mark.parametrize(
    "example", sorted((EVENTS / "examples").glob("catalog.*.json")), ids=lambda path: path.stem
)
def test_golden_examples_fit_their_schema(example: Any) -> None:
    topic = ".".join(example.name.split(".")[:3])

    validator(topic).validate(json.loads(example.read_text()))
