"""Refusals on the wire: problem documents (RFC 9457), filled from `contracts/problems.yaml`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

import orjson
import yaml

from kit.errors import DomainError, Kind

CONTRACTS: Final = Path(__file__).resolve().parent.parent / "contracts"
TYPE_PREFIX: Final = "https://datong.example/problems/"
MEDIA_TYPE: Final = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of `contracts/problems.yaml`."""

    code: str
    status: int
    title: str
    meaning: str
    next_step: str
    who: str


@lru_cache(maxsize=1)
def registry() -> Mapping[str, Entry]:
    """Return all problems by code."""
    rows = yaml.safe_load((CONTRACTS / "problems.yaml").read_text(encoding="utf-8"))
    return {code: Entry(code=code, **row) for code, row in rows.items()}


def document(
    code: str,
    detail: str,
    *,
    facts: Mapping[str, Any] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
    call: str | None = None,
    status: int | None = None,
) -> bytes:
    """Return the problem document of `code` as JSON bytes.

    Args:
        detail: one sentence on this very refusal.
        facts: the facts that decided.
        errors: `{"pointer", "detail"}` per wrong member (RFC 6901).
        call: id of the call, so that the caller can name it.
        status: of this very refusal, where the meaning of the code names a second one.
    """
    entry = registry()[code]
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + code,
        "title": entry.title,
        "status": status or entry.status,
        "code": code,
        "detail": detail,
        "next_step": entry.next_step,
        "who": entry.who,
    }
    if facts:
        body["facts"] = dict(facts)
    if errors:
        body["errors"] = list(errors)
    if call is not None:
        body["call"] = call
    return orjson.dumps(body)


def of_error(error: DomainError, call: str | None = None) -> tuple[int, bytes]:
    """Return status and problem document of an expected refusal."""
    errors = [{"pointer": pointer, "detail": detail} for pointer, detail in error.errors]
    body = document(error.code, error.detail, facts=error.facts, errors=errors, call=call)
    return registry()[error.code].status, body


def declare(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that may answer with these codes."""
    by_status: dict[int | str, list[str]] = {}
    for code in codes:
        by_status.setdefault(registry()[code].status, []).append(code)
    return {
        status: {
            "description": " · ".join(f"`{code}`" for code in found),
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status, found in by_status.items()
    }


SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail", "next_step", "who"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "next_step": {"type": "string"},
        "who": {"type": "string"},
        "facts": {"type": "object"},
        "call": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}
"""JSON Schema of a problem document, for generated OpenAPI documents."""


class BodyMalformed(DomainError):
    """The body is not what its content type says."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-malformed"


class NotThroughGateway(DomainError):
    """The peer is not one that may call this part."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "not-through-gateway"


class RoleMissing(DomainError):
    """The caller holds no role that may do this."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "role-missing"


class OtherAgency(DomainError):
    """The object belongs to another agency."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "other-agency"


class PermissionsBehind(DomainError):
    """The state named in `Datong-After` was not reached in time."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permissions-behind"


class ServiceUnavailable(DomainError):
    """The service or its database does not answer."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "service-unavailable"
