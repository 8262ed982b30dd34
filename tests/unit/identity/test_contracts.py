"""Identity's contracts: every part can read the states, routes take what the gateway promises."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.directory import KNOWN_CRITICAL, Directory
from kit.problems import CONTRACTS
from kit.states import read_state
from services.identity.app import openapi_app

EXAMPLES = sorted((CONTRACTS / "events" / "examples").glob("identity.*.json"))
STATES = [path for path in EXAMPLES if ".change." not in path.name]

SHARED = {
    "Agency": "AgencyBody",
    "AgencyWithOfficer": "AgencyWithOfficer",
    "ChangeOnBus": "Change",
    "ChangeReason": "Reason",
    "Credential": "CredentialBody",
    "Enrolment": "Enrolment",
    "IssuedCertificate": "IssuedCertificate",
    "IssuedCode": "IssuedCode",
    "IssuedToken": "IssuedToken",
    "KeySet": "KeySet",
    "Me": "Me",
    "NewAgency": "NewAgency",
    "NewPerson": "NewPerson",
    "NewSystem": "NewSystem",
    "Person": "PersonBody",
    "PersonRoles": "RolesBody",
    "PersonWithCode": "PersonWithCode",
    "Renewal": "Renewal",
    "System": "SystemBody",
    "SystemWithCode": "SystemWithCode",
}
"""Schemas of the gateway's contract, and the classes here that make and read such bodies."""


@pytest.mark.parametrize("example", STATES, ids=lambda path: path.stem)
def test_every_part_can_read_an_example_of_a_state(example: Path) -> None:
    event = json.loads(example.read_bytes())
    directory = Directory()

    state = read_state(event["type"], event["subject"], example.read_bytes())
    directory.apply(state)

    assert state.critical <= KNOWN_CRITICAL[state.topic]
    assert not directory.unusable


@pytest.mark.parametrize("name", SHARED)
def test_a_body_has_the_members_that_the_gateways_contract_names(name: str) -> None:
    contract = yaml.safe_load((CONTRACTS / "openapi" / "gateway.v1.yaml").read_text("utf-8"))
    promised = contract["components"]["schemas"]
    made = openapi_app().openapi()["components"]["schemas"][SHARED[name]]

    required, members = _members(promised, promised[name])

    assert members == set(made["properties"])
    # Generated documents do not call members required that have a default.
    assert set(made.get("required", ())) <= required
    assert required <= members


def _members(schemas: Any, schema: Any) -> tuple[set[str], set[str]]:
    """Return the required and all members of a schema, through `allOf` and references."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    required, members = set(schema.get("required", ())), set(schema.get("properties", ()))
    for part in schema.get("allOf", ()):
        more = _members(schemas, part)
        required |= more[0]
        members |= more[1]
    return required, members
