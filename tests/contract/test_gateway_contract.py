"""The gateway's contract is a sound OpenAPI document, and every example in it fits its schema."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.contract.parts import gateway_operations, read

DOCUMENT = read("openapi/gateway.v1.yaml")
PROBLEMS = read("problems.yaml")


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for member in value.values():
            yield from _references(member)
    elif isinstance(value, list):
        for member in value:
            yield from _references(member)


def _resolve(reference: str) -> Any:
    assert reference.startswith("#/"), reference
    value = DOCUMENT
    for member in reference[2:].split("/"):
        value = value[member.replace("~1", "/").replace("~0", "~")]
    return value


def test_every_reference_leads_somewhere() -> None:
    for reference in set(_references(DOCUMENT)):
        assert _resolve(reference) is not None, reference


def test_every_shared_schema_is_sound_and_used() -> None:
    used = set(_references(DOCUMENT))
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert f"#/components/schemas/{name}" in used, f"{name} is used nowhere"


@pytest.mark.parametrize("name", gateway_operations())
def test_an_operation_is_complete(name: str) -> None:
    operation, row = gateway_operations()[name]
    assert row["summary"]
    assert row["x-datong-access"] in {"public", "certificate", "caller"}
    assert row["tags"] == [row["x-datong-part"]]
    assert row["responses"]["default"] == {"$ref": "#/components/responses/Problem"}
    has_body = operation.method in {"post", "put", "patch"}
    assert has_body == ("x-datong-body-limit" in row), "a limit exactly where there is a body"
    in_path = set(re.findall(r"{([a-z]+)}", operation.path))
    shared = DOCUMENT["paths"][operation.path].get("parameters", [])
    stated = [_resolve(p["$ref"]) if "$ref" in p else p for p in shared]
    assert {p["name"] for p in stated if p["in"] == "path"} == in_path


@pytest.mark.parametrize("name", gateway_operations())
def test_an_operation_answers_and_says_how(name: str) -> None:
    _, row = gateway_operations()[name]
    good = [status for status in row["responses"] if str(status).startswith("2")]
    assert good, "what a good answer looks like is part of the contract"


@pytest.mark.parametrize("name", gateway_operations())
def test_a_named_refusal_has_a_row(name: str) -> None:
    _, row = gateway_operations()[name]
    for code in row.get("x-datong-problems", []):
        assert code in PROBLEMS, code


def _examples() -> Iterator[tuple[str, Any, Any]]:
    for name, (_, row) in gateway_operations().items():
        places = [row.get("requestBody", {}), *row["responses"].values()]
        for place in places:
            for media, content in place.get("content", {}).items():
                if "json" not in media or media == "application/x-ndjson":
                    continue
                if "example" in content:
                    yield name, content["schema"], content["example"]
                for example in content.get("examples", {}).values():
                    yield name, content["schema"], example["value"]


def test_every_example_fits_its_schema() -> None:
    for name, schema, example in _examples():
        root = {"components": DOCUMENT["components"], **schema}
        errors = [error.message for error in Draft202012Validator(root).iter_errors(example)]
        assert not errors, (name, errors)
