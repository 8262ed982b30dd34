"""The permission tables of the benchmark, as identity, catalog and sharing would publish them.

The small one holds what one department sees; the large one holds that too, and the rest of a city.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final

from kit.clock import rfc3339
from kit.events import State
from kit.ids import uuid7

PURPOSE: Final = "public-health"
PLAIN: Final = "division-codes"
MASKED: Final = "deaths"
SERVICE: Final = "enterprises"
SPREAD: Final = tuple(f"register-{number:05}" for number in range(250))
"""Resources that the caller has a grant for besides; a call for each in turn repeats no head."""
OPERATION: Final = "read-enterprise"
ITEMS: Final = ("code", "name", "level", "parent_code")
OWNERS: Final = ("civil-affairs", "market-regulation")
CONSUMER: Final = "health"

_RESTRICTS: Final = [
    "systems",
    "items",
    "modes",
    "operations",
    "purposes",
    "valid_from",
    "valid_until",
    "state",
]
_FILTER: Final = {"all": [{"item": "level", "in": ["county"]}, {"item": "code", "from": "330100"}]}
_MASKS: Final = {"name": "name", "code": "pseudonym"}


@dataclass(frozen=True)
class Caller:
    """The system that calls, and what its calls are checked against.

    Args:
        system: plain id.
        print_of_certificate: x5t#S256.
        serial: of the certificate, 32 hexadecimal digits.
        kid, jwk: of the key that signs its tokens.
        client_ca: PEM certificate of the departments' CA.
    """

    system: str
    print_of_certificate: str
    serial: str
    kid: str
    jwk: dict[str, Any]
    client_ca: str


@dataclass(frozen=True)
class Service:
    """The owner's own service: its port on this machine, and the CA that it is trusted by."""

    port: int
    ca: str


@dataclass(frozen=True)
class Size:
    """How much a large table holds, the small one included."""

    agencies: int
    resources: int
    grants: int


def small(caller: Caller, service: Service) -> list[State]:
    """Return the states of the caller, of what it may use, and of nothing else."""
    states = [
        *(_agency(name) for name in (CONSUMER, *OWNERS)),
        *_identity(caller),
        *_offered(caller, PLAIN),
        *_offered(caller, MASKED, row_filter=_FILTER, masks=_MASKS),
        *_served(caller, service),
    ]
    for resource in SPREAD:
        states += _offered(caller, resource)
    return states


def large(states: Sequence[State], size: Size) -> Iterator[State]:
    """Yield `states`, and as many more as make up `size`.

    Each further agency has a system with a certificate, which are granted what others offer; every
    third grant has a row filter and masks.
    """
    yield from states
    agencies = [f"agency-{number:04}" for number in range(size.agencies - 1 - len(OWNERS))]
    systems = [uuid7() for _ in agencies]
    for agency, system in zip(agencies, systems, strict=True):
        yield _agency(agency)
        yield _system(system, agency)
        digits = system.replace("-", "")
        yield _credential(system, agency, f"{digits:A<43}", digits)
    known = sum(state.topic == "catalog.entry.v1" for state in states)
    entries = []
    for number in range(size.resources - known):
        owner = agencies[number % len(agencies)]
        entry = _entry(f"city-register-{number:05}", owner)
        entries.append(entry.data)
        yield entry
    known = sum(state.topic == "sharing.grant.v1" for state in states)
    for number in range(size.grants - known):
        at = number % len(agencies)
        entry_data = entries[(number * 7919 + number // len(agencies)) % len(entries)]
        views = {"row_filter": _FILTER, "masks": _MASKS} if number % 3 == 0 else {}
        yield _grant(entry_data, systems[at], agencies[at], **views)


def _identity(caller: Caller) -> list[State]:
    ca = urlsafe_b64encode(sha256(caller.client_ca.encode()).digest()).decode().rstrip("=")
    return [
        _system(caller.system, CONSUMER),
        _credential(caller.system, CONSUMER, caller.print_of_certificate, caller.serial),
        _state(
            "identity.key.v1",
            f"key/{caller.kid}",
            ["state"],
            kid=caller.kid,
            use="token",
            jwk=caller.jwk,
            state="active",
        ),
        _state(
            "identity.key.v1",
            f"key/{ca}",
            ["state"],
            kid=ca,
            use="client_ca",
            certificate=caller.client_ca,
            state="active",
        ),
    ]


def _offered(caller: Caller, resource: str, **views: Any) -> list[State]:
    """Return an entry of hosted data and the caller's grant for it."""
    entry = _entry(resource, OWNERS[0], "conditional" if views else "unconditional")
    return [entry, _grant(entry.data, caller.system, CONSUMER, **views)]


def _served(caller: Caller, service: Service) -> list[State]:
    """Return an entry with an owner's own service and the caller's grant for its operation."""
    operations = [
        {"name": OPERATION, "title": OPERATION, "method": "GET", "path": "/enterprises/{code}"},
        {"name": "find-enterprises", "title": "find", "method": "GET", "path": "/enterprises"},
    ]
    own = {
        "address": f"https://127.0.0.1:{service.port}",
        "ca": service.ca,
        "operations": operations,
        "seconds": 5,
    }
    entry = _entry(SERVICE, OWNERS[1], modes=["call"], service=own)
    return [
        entry,
        _grant(
            entry.data, caller.system, CONSUMER, items=[], modes=["call"], operations=[OPERATION]
        ),
    ]


def _agency(name: str) -> State:
    return _state(
        "identity.agency.v1",
        f"agency/{name}",
        ["state"],
        id=name,
        name=name,
        level="city",
        area_code="330100",
        line=None,
        competent=None,
        state="active",
    )


def _system(system: str, agency: str) -> State:
    return _state(
        "identity.system.v1",
        f"system/{system}",
        ["state"],
        id=system,
        agency=agency,
        name="bench",
        state="active",
    )


def _credential(system: str, agency: str, thumbprint: str, serial: str) -> State:
    now = datetime.now(UTC)
    return _state(
        "identity.credential.v1",
        f"credential/{thumbprint}",
        ["state", "not_after"],
        thumbprint=thumbprint,
        kind="system",
        holder=system,
        agency=agency,
        serial=serial,
        not_before=rfc3339(now - timedelta(minutes=5)),
        not_after=rfc3339(now + timedelta(days=90)),
        state="active",
    )


def _entry(resource: str, agency: str, share_class: str = "unconditional", **more: Any) -> State:
    entry = uuid7()
    items = [
        {
            "name": name,
            "title": name,
            "type": "text",
            "required": True,
            "key": name == "code",
            "filterable": True,
        }
        for name in ITEMS
    ]
    data: dict[str, Any] = {
        "id": entry,
        "version": 1,
        "name": resource,
        "agency": agency,
        "share_class": share_class,
        "legal_basis": None,
        "state": "published",
        "resource": resource,
        "items": items,
        "modes": ["query"],
        "update_frequency": "yearly",
        **more,
    }
    critical = ["share_class", "state", "items", *(["service"] if "service" in more else [])]
    return _state("catalog.entry.v1", f"entry/{entry}", critical, **data)


def _grant(entry: Mapping[str, Any], system: str, consumer: str, **more: Any) -> State:
    grant, now = uuid7(), datetime.now(UTC)
    data: dict[str, Any] = {
        "id": grant,
        "resource": entry["resource"],
        "entry": entry["id"],
        "entry_version": entry["version"],
        "owner": entry["agency"],
        "consumer": consumer,
        "share_class": entry["share_class"],
        "systems": [system],
        "items": list(ITEMS),
        "modes": ["query"],
        "operations": [],
        "purposes": [PURPOSE],
        "valid_from": rfc3339(now - timedelta(hours=1)),
        "valid_until": rfc3339(now + timedelta(days=30)),
        "state": "active",
        "reason": None,
        "basis": "bench",
        **more,
    }
    views = [name for name in ("row_filter", "masks") if name in more]
    return _state("sharing.grant.v1", f"grant/{grant}", [*_RESTRICTS, *views], **data)


def _state(topic: str, subject: str, critical: list[str], **data: Any) -> State:
    return State(topic, subject, 1, {**data, "critical": critical})
