"""The permissions of the benchmark are what parts publish, and let exactly its calls through."""

import json
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from bench.gateway.cases import MASKED_CALL, OWNER_CALL, PLAIN_CALL, SPREAD_CALL, Kind
from bench.gateway.states import MASKED, PURPOSE, Caller, Service, Size, large, small
from gateway.domain import Allowed, Call, Denied, decide
from gateway.domain.call import Claims
from gateway.edge import Router, routes_of
from gateway.table import PermissionTable
from kit.events import State, envelope
from kit.ids import uuid7
from kit.states import StateEvent
from kit.tokens import SigningKey
from kit.topics import TOPICS

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
ROUTER = Router(
    routes_of(yaml.safe_load((CONTRACTS / "openapi" / "gateway.v1.yaml").read_text("utf-8")))
)
EXAMPLE = CONTRACTS / "events" / "examples" / "identity.key.v1.client_ca.json"
CA: str = json.loads(EXAMPLE.read_text("utf-8"))["data"]["certificate"]
SIZE = Size(agencies=20, resources=400, grants=1000)
PRINT = "A" * 43
KEY = SigningKey.generate()
CALLER = Caller(uuid7(), PRINT, f"{1:032x}", KEY.kid, KEY.jwk, CA)
SMALL = small(CALLER, Service(8443, CA))
LARGE = list(large(SMALL, SIZE))


def table_of(states: Sequence[State]) -> PermissionTable:
    table = PermissionTable({}, stale_after=60.0)
    for state in states:
        critical = frozenset(state.data["critical"])
        table.apply(StateEvent(state.topic, state.subject, 1, state.version, state.data, critical))
    return table


def decided(table: PermissionTable, kind: Kind, path: str, purpose: str) -> Allowed | Denied:
    match = ROUTER.match(kind.method.encode(), path.encode())
    entry = table.entry_of(match.resource or "")
    operation = None
    if entry is not None and entry.service is not None:
        operation = entry.service.operation(kind.method.encode(), match.rest or b"")
    now = time.time()
    call = Call(
        match.route.operation,
        match.route.access,
        match.route.part,
        match.route.data,
        match.resource,
        purpose,
        operation=operation,
        thumbprint=PRINT,
        claims=Claims(f"system/{CALLER.system}", uuid7(), now + 600, PRINT),
    )
    return decide(table, call, now)


def test_every_state_fits_the_schema_of_its_topic() -> None:
    schemas: dict[str, Any] = {
        topic: json.loads((CONTRACTS / "events" / f"{topic}.schema.json").read_text("utf-8"))
        for topic in {state.topic for state in LARGE}
    }
    for state in LARGE:
        source = "/" + TOPICS[state.topic].writer
        event = envelope(state, source=source, event_id=uuid7(), at=datetime.now(UTC))
        Draft202012Validator(schemas[state.topic]).validate({**event, "incarnation": 1})


def test_the_large_table_has_its_size_and_holds_the_small_one() -> None:
    subjects = {state.subject for state in LARGE}
    found = Counter(state.topic for state in LARGE)
    assert len(subjects) == len(LARGE)
    assert subjects >= {state.subject for state in SMALL}
    assert found["identity.agency.v1"] == SIZE.agencies
    assert found["catalog.entry.v1"] == SIZE.resources
    assert found["sharing.grant.v1"] == SIZE.grants


@pytest.mark.parametrize("kind", [PLAIN_CALL, MASKED_CALL, SPREAD_CALL, OWNER_CALL])
@pytest.mark.parametrize("states", [SMALL, LARGE], ids=["small", "large"])
def test_every_call_is_allowed_for_its_purpose_and_for_no_other(
    kind: Kind, states: Sequence[State]
) -> None:
    table = table_of(states)
    assert table.unreadable == set()
    for path in kind.paths:
        assert isinstance(decided(table, kind, path, PURPOSE), Allowed), path
        refused = decided(table, kind, path, "another-purpose")
        assert isinstance(refused, Denied)
        assert refused.reason == "purpose-not-granted"


def test_the_masked_grant_names_its_row_filter_and_masks_as_critical() -> None:
    [masked] = [s for s in SMALL if s.topic == "sharing.grant.v1" and s.data["resource"] == MASKED]
    assert set(masked.data["critical"]) >= {"row_filter", "masks"}
    assert masked.data["row_filter"]
    assert masked.data["masks"]
