"""Authority as data: the code's rules, the gateway's contract and authority.yaml say the same."""

import pytest

from kit.auth import ROLES, Rule
from kit.topics import TOPICS
from tests.contract.parts import (
    SERVICES,
    application,
    gateway_operations,
    generated_operations,
    read,
    routes_of,
    rules_of,
    topics_named_by,
)

AUTHORITY = read("authority.yaml")
ROUTES = AUTHORITY["routes"]
TOPIC_ROWS = AUTHORITY["topics"]


def _rule(row: dict[str, object]) -> Rule:
    roles = row.get("roles", [])
    assert isinstance(roles, list)
    return Rule(
        str(row["access"]),
        frozenset(roles),
        bool(row.get("person", False)),
        bool(row.get("system", False)),
    )


@pytest.mark.parametrize("part", SERVICES)
def test_every_route_asks_one_rule_and_it_is_the_stated_one(part: str) -> None:
    for route in routes_of(part):
        rules = rules_of(route)
        assert len(rules) == 1, f"{route.name} has {len(rules)} rules: deny by default"
        assert rules[0] == _rule(ROUTES[route.name]), route.name


@pytest.mark.parametrize("part", SERVICES)
def test_a_service_answers_exactly_the_routes_that_are_stated(part: str) -> None:
    stated = {o for o, (_, row) in gateway_operations().items() if row["x-datong-part"] == part}

    assert {route.name for route in routes_of(part)} == stated
    assert generated_operations(part) == {gateway_operations()[o][0] for o in stated}


@pytest.mark.parametrize("part", SERVICES)
def test_nothing_else_answers_but_the_documentation(part: str) -> None:
    """Mounts and plain routes have no rule, so only these may exist; all are behind mTLS."""
    others = {
        getattr(route, "path", "")
        for route in application(part).routes
        if not hasattr(route, "dependant") and not hasattr(route, "original_router")
    }

    assert others <= {"/openapi.json", "/static-offline-docs"}


@pytest.mark.parametrize("part", SERVICES)
def test_a_service_takes_callers_from_the_stated_peers_only(part: str) -> None:
    peers = {peer for row in ROUTES.values() if row["part"] == part for peer in row["peers"]}

    assert application(part).state.access._peers == peers == {"gateway"}


def test_the_gateway_routes_exactly_what_is_stated() -> None:
    operations = gateway_operations()

    assert set(operations) == set(ROUTES)
    for name, (_, row) in operations.items():
        assert row["x-datong-part"] == ROUTES[name]["part"], name
        assert row["x-datong-access"] == ROUTES[name]["access"], name


@pytest.mark.parametrize("name", ROUTES)
def test_a_stated_route_is_complete(name: str) -> None:
    row = ROUTES[name]
    assert set(row) <= {"part", "peers", "access", "roles", "person", "system", "objects"}
    assert row["part"] in AUTHORITY["parts"]
    assert set(row["peers"]) <= set(AUTHORITY["parts"])
    assert row["objects"]
    assert set(row.get("roles", [])) <= set(ROLES)
    callers = bool(row.get("roles") or row.get("person") or row.get("system"))
    assert callers == (row["access"] == "caller"), "callers are named exactly where they are asked"
    assert not (row.get("person") and row.get("roles")), "any person, or people with roles"


def test_peers_of_routes_are_the_connections_that_parts_open() -> None:
    for part, row in AUTHORITY["parts"].items():
        called = {r["part"] for r in ROUTES.values() if part in r["peers"]}
        assert set(row["calls"]) == called, part


def test_a_part_that_calls_outside_is_one_that_answers_calls_to_owners_services() -> None:
    callers = {row["part"] for name, row in ROUTES.items() if name.startswith("call_")}
    outside = {part for part, row in AUTHORITY["parts"].items() if "outside" in row}

    assert outside == callers == {"gateway"}
    assert AUTHORITY["parts"]["gateway"]["outside"] == "public"


def test_every_topic_has_one_writer_and_stated_readers() -> None:
    assert set(TOPIC_ROWS) == set(TOPICS)
    for name, row in TOPIC_ROWS.items():
        assert row["writer"] == TOPICS[name].writer, name
        assert set(row["readers"]) <= set(AUTHORITY["parts"]), name
        assert row["writer"] not in row["readers"], name


@pytest.mark.parametrize("part", AUTHORITY["parts"])
def test_a_part_names_the_topics_that_it_may_read_or_write_and_no_others(part: str) -> None:
    named = topics_named_by({**SERVICES, "gateway": "gateway"}[part])
    read_by = {topic for topic, row in TOPIC_ROWS.items() if part in row["readers"]}
    written_by = {topic for topic, row in TOPIC_ROWS.items() if row["writer"] == part}

    assert named <= read_by | written_by
    assert read_by <= named, "stated as a reader of what it does not read"


def test_no_person_can_hold_a_role_that_no_route_knows() -> None:
    used = {role for row in ROUTES.values() for role in row.get("roles", [])}
    assert set(ROLES) == used
