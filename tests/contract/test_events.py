"""Events on the bus: every topic has a schema and golden examples, every restriction is named."""

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from kit.canonical import canonical, strict_loads
from kit.states import read_state
from kit.topics import TOPICS, TopicKind
from tests.contract.parts import CONTRACTS, read

EVENTS = CONTRACTS / "events"
STATES = [t.name for t in TOPICS.values() if t.kind is TopicKind.STATE]
FACTS = [t.name for t in TOPICS.values() if t.kind is TopicKind.FACT and t.writer != "gateway"]
"""The gateway's topic carries evidence records, which contracts/evidence.md fixes."""

CRITICAL: dict[str, set[str]] = {
    "identity.agency.v1": {"state"},
    "identity.person.v1": {"roles", "state"},
    "identity.system.v1": {"state"},
    "identity.credential.v1": {"state", "not_after"},
    "identity.key.v1": {"state"},
    "catalog.entry.v1": {"share_class", "state", "items"},
    "sharing.grant.v1": {
        "systems",
        "items",
        "modes",
        "operations",
        "purposes",
        "valid_from",
        "valid_until",
        "state",
    },
    "audit.accepted.v1": set(),
}
"""Members of each state that restrict: a reader that does not know one must deny."""
OPTIONAL = {
    "catalog.entry.v1": {"service"},
    "sharing.grant.v1": {"row_filter", "masks"},
}
"""Members that restrict as well, and are named exactly when they are there."""


def _schema(topic: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((EVENTS / f"{topic}.schema.json").read_text("utf-8"))
    return loaded


def _examples(topic: str) -> dict[str, bytes]:
    """Return golden examples by file name, in their canonical bytes."""
    return {
        path.name: canonical(strict_loads(path.read_bytes()))
        for path in sorted((EVENTS / "examples").glob(f"{topic}.*.json"))
    }


@pytest.mark.parametrize("topic", [*STATES, *FACTS])
def test_a_topic_has_a_schema_and_examples_that_fit_it(topic: str) -> None:
    schema = _schema(topic)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == topic
    examples = _examples(topic)
    assert examples, "no golden example"
    validator = Draft202012Validator(schema, format_checker=FormatChecker())
    for name, data in examples.items():
        errors = [error.message for error in validator.iter_errors(json.loads(data))]
        assert not errors, (name, errors)


@pytest.mark.parametrize("topic", [*STATES, *FACTS])
def test_published_schemas_are_open(topic: str) -> None:
    """Version 1 only grows optional members, so readers must let unknown ones pass."""
    assert '"additionalProperties": false' not in json.dumps(_schema(topic))


@pytest.mark.parametrize("topic", STATES)
def test_a_state_names_all_its_restricting_members(topic: str) -> None:
    for name, data in _examples(topic).items():
        event = json.loads(data)
        state = read_state(topic, event["subject"], data)
        there = OPTIONAL.get(topic, set()) & set(state.data)
        assert state.critical == CRITICAL[topic] | there, name
        assert state.critical <= set(state.data), name


@pytest.mark.parametrize("topic", FACTS)
def test_a_fact_says_what_who_and_in_which_order(topic: str) -> None:
    writer = topic.split(".")[0]
    for name, data in _examples(topic).items():
        event = json.loads(data)
        assert event["type"].startswith(f"{writer}."), name
        assert event["type"].endswith(".v1"), name
        assert event["source"] == f"/{writer}", name
        assert event["sequence"] >= 1, name
        assert event["actor"].split("/")[0] in {"person", "system", "part"}, name


def test_there_is_nothing_for_topics_that_do_not_exist() -> None:
    for path in EVENTS.glob("*.schema.json"):
        assert path.name.removesuffix(".schema.json") in TOPICS, path.name
    for path in (EVENTS / "examples").glob("*.json"):
        assert any(path.name.startswith(f"{topic}.") for topic in TOPICS), path.name


def test_every_state_topic_has_its_restrictions_listed_here() -> None:
    assert set(CRITICAL) == set(STATES)
    assert set(read("authority.yaml")["topics"]) == set(TOPICS)
