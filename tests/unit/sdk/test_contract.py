"""The client has a method for every operation of the gateway's contract."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from datong import AsyncClient, Client
from datong.operations import (
    audit,
    batches,
    calls,
    catalogue,
    data,
    deliveries,
    identity,
    reconciliation,
    sharing,
)

CONTRACT = yaml.safe_load(
    (Path(__file__).parents[3] / "contracts" / "openapi" / "gateway.v1.yaml").read_text("utf-8")
)
OPERATIONS = [
    (path, method, operation)
    for path, methods in CONTRACT["paths"].items()
    for method, operation in methods.items()
    if method != "parameters"
]
MODULES = (audit, batches, calls, catalogue, data, deliveries, identity, reconciliation, sharing)


def _example(name: str, parameter: inspect.Parameter) -> Any:
    annotation = str(parameter.annotation)
    if annotation.startswith("Sequence"):
        return ["x"]
    if annotation.startswith("Mapping"):
        return {}
    return {"int": 1, "bytes": b"{}"}.get(annotation, name)


def _build(operation_id: str) -> Any:
    function = next(
        getattr(module, operation_id) for module in MODULES if hasattr(module, operation_id)
    )
    needed = {
        name: _example(name, parameter)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is inspect.Parameter.empty
    }
    return function(**needed)


@pytest.mark.parametrize(
    ("path", "method", "operation"), OPERATIONS, ids=[row[2]["operationId"] for row in OPERATIONS]
)
def test_an_operation_is_called_as_the_contract_says(
    path: str, method: str, operation: dict[str, Any]
) -> None:
    name = operation["operationId"]

    built = _build(name)

    assert built.name == name
    assert built.method == method.upper()
    assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), built.path.split("?")[0])
    assert built.access.value == operation["x-datong-access"]
    for face in (AsyncClient, Client):
        assert callable(getattr(face, name))
        assert (getattr(face, name).__doc__ or "").strip()


def test_the_client_has_no_operation_that_the_contract_lacks() -> None:
    known = {operation["operationId"] for _, _, operation in OPERATIONS}
    for module in MODULES:
        made = {
            name
            for name, function in inspect.getmembers(module, inspect.isfunction)
            if function.__module__ == module.__name__
            and not name.startswith("_")
            and str(inspect.signature(function).return_annotation).startswith("Operation")
        }
        assert made <= known


def test_a_path_parameter_cannot_leave_its_place() -> None:
    assert sharing.get_grant("../me?x=1#y").path == "/sharing/v1/grants/..%2Fme%3Fx%3D1%23y"
