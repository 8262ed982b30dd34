"""Identity's contracts: examples fit schemas, schemas are open, routes ask what was agreed."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator

from kit.auth import Allowed, CertificateOnly, Public, Rule
from kit.directory import KNOWN_CRITICAL, Directory
from kit.kafka import read_state
from kit.problems import CONTRACTS
from services.identity.app import openapi_app
from services.identity.routes import agencies, credentials, people, systems, tokens

EVENTS = CONTRACTS / "events"
EXAMPLES = sorted((EVENTS / "examples").glob("identity.*.json"))


def schema_of(example: Path) -> dict[str, Any]:
    topic = ".".join(example.name.split(".")[:3])
    found: dict[str, Any] = json.loads((EVENTS / f"{topic}.schema.json").read_bytes())
    return found


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_fits_its_schema(example: Path) -> None:
    schema = schema_of(example)
    Draft202012Validator.check_schema(schema)

    Draft202012Validator(schema).validate(json.loads(example.read_bytes()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_a_member_that_comes_later_does_not_break_readers(example: Path) -> None:
    event = json.loads(example.read_bytes())
    event["later"] = event["data"]["later"] = 1

    Draft202012Validator(schema_of(example)).validate(event)


@pytest.mark.parametrize(
    "example",
    [path for path in EXAMPLES if ".change." not in path.name],
    ids=lambda path: path.stem,
)
def test_every_part_can_read_an_example_of_a_state(example: Path) -> None:
    event = json.loads(example.read_bytes())
    directory = Directory()

    state = read_state(event["type"], event["subject"], example.read_bytes())
    directory.apply(state)

    assert state.critical <= KNOWN_CRITICAL[state.topic]
    assert not directory.unusable


def rules() -> dict[str, Rule]:
    """Return what each route asks of its caller, by operationId."""
    found: dict[str, Rule] = {}
    routers = (agencies, people, systems, credentials, tokens)
    for route in [route for module in routers for route in module.router.routes]:
        assert isinstance(route, APIRoute)
        marks = [
            dependency.call.rule
            for dependency in route.dependant.dependencies
            if isinstance(dependency.call, Allowed | CertificateOnly | Public)
        ]
        assert len(marks) == 1, route.name
        found[route.name] = marks[0]
    return found


def test_every_route_asks_for_what_the_authority_says() -> None:
    agreed = yaml.safe_load((CONTRACTS / "authority.yaml").read_text(encoding="utf-8"))["routes"]
    expected = {
        name: Rule(
            row["access"],
            frozenset(row.get("roles", ())),
            row.get("person", False),
            row.get("system", False),
        )
        for name, row in agreed.items()
        if row["part"] == "identity"
    }

    assert rules() == expected


def test_paths_and_methods_are_those_of_the_gateways_contract() -> None:
    contract = yaml.safe_load((CONTRACTS / "openapi" / "gateway.v1.yaml").read_text("utf-8"))
    expected = {
        (operation["operationId"], method, path)
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
        if method != "parameters" and operation["x-datong-part"] == "identity"
    }
    found = {
        (operation["operationId"], method, path)
        for path, methods in openapi_app().openapi()["paths"].items()
        for method, operation in methods.items()
    }

    assert found == expected
