"""What there is to compare with the contracts: parts, their applications, routes and modules."""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.routing import APIRoute

from kit.auth import Rule
from kit.directory import KNOWN_CRITICAL
from kit.topics import TOPICS

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = ROOT / "contracts"
SERVICES = {
    "identity": "services.identity",
    "catalog": "services.catalog",
    "sharing": "services.exchange.sharing",
    "transfer": "services.exchange.transfer",
    "audit": "services.audit",
}
"""Part → package of every service; the gateway has no application of its own to walk."""

METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


@cache
def read(name: str) -> Any:
    """Return a YAML contract, such as `authority.yaml`."""
    return yaml.safe_load((CONTRACTS / name).read_text("utf-8"))


@dataclass(frozen=True)
class Operation:
    """One route of a contract or of an application."""

    operation: str
    method: str
    path: str


def gateway_operations() -> dict[str, tuple[Operation, dict[str, Any]]]:
    """Return the operations of the gateway's hand-written contract by id."""
    found = {}
    for path, members in read("openapi/gateway.v1.yaml")["paths"].items():
        for method, operation in members.items():
            if method in METHODS:
                name = operation["operationId"]
                assert name not in found, f"{name} occurs twice"
                found[name] = (Operation(name, method, path), operation)
    return found


@cache
def application(part: str) -> FastAPI:
    """Return the application of a service, made without environment."""
    made: FastAPI = importlib.import_module(f"{SERVICES[part]}.app").openapi_app()
    return made


def generated_operations(part: str) -> set[Operation]:
    """Return the operations of the document that a service generates."""
    return {
        Operation(operation["operationId"], method, path)
        for path, members in application(part).openapi()["paths"].items()
        for method, operation in members.items()
        if method in METHODS
    }


def routes_of(part: str) -> list[APIRoute]:
    """Return every route of a service that answers calls, hidden ones included."""
    return [
        route
        for route in _walk(application(part).routes)
        if not (route.path.startswith(("/docs", "/redoc")) and not route.include_in_schema)
    ]


def _walk(routes: Any) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            inner = getattr(route, "original_router", None)
            yield from _walk(inner.routes if inner is not None else getattr(route, "routes", []))


def rules_of(route: APIRoute) -> list[Rule]:
    """Return the rules that a route asks of its caller; exactly one is right."""
    found: list[Rule] = []
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        rule = getattr(dependant.call, "rule", None)
        if isinstance(rule, Rule):
            found.append(rule)
        waiting.extend(dependant.dependencies)
    return found


def modules(*packages: str) -> Iterator[Any]:
    """Import and return every module below `packages`, but not those that run."""
    for package in packages:
        root = importlib.import_module(package)
        yield root
        for info in pkgutil.walk_packages(root.__path__, f"{package}."):
            if not info.name.endswith("__main__") and ".migrations." not in info.name:
                yield importlib.import_module(info.name)


def sources(*folders: str) -> Iterator[Path]:
    """Return every Python file below `folders` of the checkout."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def topics_named_by(package: str) -> set[str]:
    """Return the topics that the code of a part names; its directory reads identity's states."""
    found: set[str] = set()
    for path in sources(package.replace(".", "/")):
        text = path.read_text("utf-8")
        if "from kit.directory import" in text:
            found |= set(KNOWN_CRITICAL)
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Constant) and node.value in TOPICS:
                found.add(str(node.value))
    return found
