"""The permission table, state by state, without a bus."""

import dataclasses
import json
from typing import Any

import pytest

from gateway.domain import Allowed, Call, Claims, Denied, decide
from gateway.table import PermissionTable
from gateway.table.indexes import GrantIndex
from kit.ids import uuid7
from kit.states import StateEvent
from kit.tokens import SigningKey
from tests.support.permissions import (
    ENTRY,
    GRANT,
    NOW,
    OTHER_SYSTEM,
    QUERY,
    READ_DIVISIONS,
    RECEIVE,
    SYSTEM,
    THUMBPRINT,
)

AGENCY = {
    "id": "health-commission",
    "name": "卫生健康委员会",
    "level": "city",
    "area_code": "330100",
    "line": None,
    "competent": None,
    "state": "active",
    "critical": ["state"],
}
SYSTEM_STATE = {
    "id": SYSTEM,
    "agency": "health-commission",
    "name": "健康档案系统",
    "state": "active",
    "critical": ["state"],
}
CREDENTIAL = {
    "thumbprint": THUMBPRINT,
    "kind": "system",
    "holder": SYSTEM,
    "agency": "health-commission",
    "serial": "01",
    "not_before": "2026-01-01T00:00:00.000000Z",
    "not_after": "2027-01-01T00:00:00.000000Z",
    "state": "active",
    "critical": ["state", "not_after"],
}
ENTRY_STATE = {
    "id": ENTRY,
    "version": 3,
    "name": "行政区划代码",
    "agency": "civil-affairs",
    "resource": "xzqh-divisions",
    "share_class": "unconditional",
    "legal_basis": None,
    "state": "published",
    "items": [{"name": "code", "title": "代码", "type": "text"}],
    "modes": ["query"],
    "update_frequency": "yearly",
    "critical": ["share_class", "state", "items"],
}
GRANT_STATE = {
    "id": GRANT,
    "resource": "xzqh-divisions",
    "entry": ENTRY,
    "entry_version": 3,
    "owner": "civil-affairs",
    "consumer": "health-commission",
    "systems": [SYSTEM],
    "items": ["code", "name"],
    "modes": ["query"],
    "operations": [],
    "purposes": ["public-health"],
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_until": None,
    "state": "active",
    "reason": None,
    "basis": "unconditional",
    "share_class": "unconditional",
    "critical": [
        "systems",
        "items",
        "modes",
        "operations",
        "purposes",
        "valid_from",
        "valid_until",
        "state",
    ],
}


def state(topic: str, subject: str, data: dict[str, Any], version: int = 1) -> StateEvent:
    return StateEvent(topic, subject, 1, version, data, frozenset(data["critical"]))


def put(table: PermissionTable, kind: str, data: dict[str, Any], version: int = 1) -> None:
    topics = {
        "agency": "identity.agency.v1",
        "system": "identity.system.v1",
        "person": "identity.person.v1",
        "credential": "identity.credential.v1",
        "key": "identity.key.v1",
        "entry": "catalog.entry.v1",
        "grant": "sharing.grant.v1",
    }
    key = data.get("id") or data.get("thumbprint") or data["kid"]
    table.apply(state(topics[kind], f"{kind}/{key}", data, version))


@pytest.fixture
def table() -> PermissionTable:
    table = PermissionTable({"bootstrap_servers": ["127.0.0.1:1"]}, stale_after=60)
    put(table, "agency", AGENCY)
    put(table, "system", SYSTEM_STATE)
    put(table, "credential", CREDENTIAL)
    put(table, "entry", ENTRY_STATE)
    put(table, "grant", GRANT_STATE)
    return table


def reason(table: PermissionTable, call: Call = QUERY) -> str | None:
    outcome = decide(table, call, NOW)
    return outcome.reason if isinstance(outcome, Denied) else None


def test_what_was_published_allows_the_call(table: PermissionTable) -> None:
    outcome = decide(table, QUERY, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant_ref == f"{GRANT}@1"
    assert outcome.caller is not None
    assert outcome.caller.name == "健康档案系统"
    assert not table.unreadable


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("agency", AGENCY | {"state": "suspended"}, "agency-suspended"),
        ("system", SYSTEM_STATE | {"state": "suspended"}, "caller-suspended"),
        ("credential", CREDENTIAL | {"state": "revoked"}, "certificate-revoked"),
        ("credential", CREDENTIAL | {"not_after": "2026-02-01T00:00:00Z"}, "certificate-invalid"),
        ("entry", ENTRY_STATE | {"state": "withdrawn"}, "resource-withdrawn"),
        ("entry", ENTRY_STATE | {"share_class": "not_shared"}, "class-not-shared"),
        ("entry", ENTRY_STATE | {"resource": "moved"}, "resource-unknown"),
        ("grant", GRANT_STATE | {"state": "suspended"}, "grant-suspended"),
        ("grant", GRANT_STATE | {"state": "ended"}, "grant-ended"),
        ("grant", GRANT_STATE | {"systems": [OTHER_SYSTEM]}, "grant-missing"),
        ("grant", GRANT_STATE | {"systems": []}, "grant-missing"),
        ("grant", GRANT_STATE | {"purposes": []}, "purpose-not-granted"),
        ("grant", GRANT_STATE | {"valid_until": "2026-03-01T00:00:00+08:00"}, "grant-expired"),
        ("grant", GRANT_STATE | {"valid_from": "2026-12-01T00:00:00Z"}, "grant-not-yet-valid"),
    ],
)
def test_a_newer_state_refuses_and_the_old_one_allows_again(
    table: PermissionTable, kind: str, data: dict[str, Any], expected: str
) -> None:
    original = {
        "agency": AGENCY,
        "system": SYSTEM_STATE,
        "credential": CREDENTIAL,
        "entry": ENTRY_STATE,
        "grant": GRANT_STATE,
    }[kind]

    put(table, kind, data, 2)
    assert reason(table) == expected
    put(table, kind, original, 3)
    assert reason(table) is None


def test_a_row_filter_and_masks_are_for_transfer_to_enforce(table: PermissionTable) -> None:
    more = {"row_filter": {"all": [{"item": "code", "in": ["1"]}]}, "masks": {"name": "name"}}

    put(table, "grant", GRANT_STATE | more | {"critical": [*GRANT_STATE["critical"], *more]}, 2)

    assert reason(table) is None


def test_grants_with_other_row_filters_or_masks_have_other_terms(table: PermissionTable) -> None:
    area = {"row_filter": {"all": [{"item": "code", "in": ["330106"]}]}}
    told = []
    for version, more in enumerate([{}, area, {"masks": {"name": "name"}}, area, {}], 2):
        put(table, "grant", GRANT_STATE | more, version)
        allowed = decide(table, QUERY, NOW)
        assert isinstance(allowed, Allowed)
        assert allowed.grant is not None
        told.append(allowed.grant.terms)

    assert (told[0], told[1]) == (told[4], told[3])
    assert len(set(told)) == 3


def test_a_statutory_recipient_reads_what_is_not_shared(table: PermissionTable) -> None:
    put(table, "entry", ENTRY_STATE | {"share_class": "not_shared"}, 2)
    assert reason(table) == "class-not-shared"

    put(table, "grant", GRANT_STATE | {"statutory": {"title": "Law", "article": "1"}}, 2)
    assert reason(table) is None
    put(table, "grant", GRANT_STATE | {"statutory": "Law"}, 3)
    assert reason(table) == "permission-unreadable"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("agency", AGENCY | {"critical": ["state", "region"]}),
        ("system", SYSTEM_STATE | {"critical": ["state", "hours"]}),
        ("credential", CREDENTIAL | {"critical": ["state", "not_after", "networks"]}),
        ("entry", ENTRY_STATE | {"critical": ["share_class", "state", "items", "embargo"]}),
        ("grant", GRANT_STATE | {"critical": [*GRANT_STATE["critical"], "clearance"]}),
    ],
)
def test_a_restriction_that_is_not_known_makes_its_subject_unusable(
    table: PermissionTable, kind: str, data: dict[str, Any]
) -> None:
    put(table, kind, data, 2)

    assert reason(table) == "permission-unreadable"
    assert len(table.unreadable) == 1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("entry", {"share_class": "secret"}),
        ("entry", {"state": "frozen"}),
        ("entry", {"resource": None}),
        ("entry", {"version": "3"}),
        ("entry", {"legal_basis": "by law"}),
        ("grant", {"systems": "all"}),
        ("grant", {"systems": [1]}),
        ("grant", {"items": None}),
        ("grant", {"state": "paused"}),
        ("grant", {"valid_until": "tomorrow"}),
        ("grant", {"valid_until": "2026-03-01T00:00:00"}),
        ("grant", {"valid_from": 5}),
        ("grant", {"entry": ""}),
    ],
)
def test_a_state_of_another_shape_makes_its_subject_unusable(
    table: PermissionTable, kind: str, change: dict[str, Any]
) -> None:
    original = {"entry": ENTRY_STATE, "grant": GRANT_STATE}[kind]
    put(table, kind, original | change, 2)

    assert reason(table) == "permission-unreadable"
    put(table, kind, original, 3)
    assert reason(table) is None
    assert not table.unreadable


@pytest.mark.parametrize("absent", ["valid_until", "valid_from", "modes", "purposes", "consumer"])
def test_an_absent_restriction_is_not_no_restriction(table: PermissionTable, absent: str) -> None:
    put(table, "grant", {k: v for k, v in GRANT_STATE.items() if k != absent}, 2)

    assert reason(table) == "permission-unreadable"


@pytest.mark.parametrize(
    ("topic", "subject"),
    [
        ("identity.agency.v1", "agency/health-commission"),
        ("identity.system.v1", f"system/{SYSTEM}"),
        ("identity.credential.v1", f"credential/{THUMBPRINT}"),
        ("catalog.entry.v1", f"entry/{ENTRY}"),
        ("sharing.grant.v1", f"grant/{GRANT}"),
    ],
)
def test_an_event_that_cannot_be_read_makes_its_subject_unusable(
    table: PermissionTable, topic: str, subject: str
) -> None:
    table.on_unreadable(topic, subject, "not JSON")

    assert reason(table) == "permission-unreadable"
    assert table.unreadable == {subject}


def test_an_unreadable_event_of_an_unknown_subject_allows_nothing(table: PermissionTable) -> None:
    table.on_unreadable("sharing.grant.v1", "grant/unknown", "not JSON")

    assert reason(table) is None
    assert table.unreadable == {"grant/unknown"}


def test_a_state_about_another_subject_than_its_key_is_unreadable(table: PermissionTable) -> None:
    table.apply(state("sharing.grant.v1", f"grant/{GRANT}", GRANT_STATE | {"id": uuid7()}, 2))

    assert reason(table) == "permission-unreadable"


def test_two_published_entries_of_one_resource_are_a_contradiction(table: PermissionTable) -> None:
    second = ENTRY_STATE | {"id": "019aa400-0000-7000-8000-0000000000e2"}
    put(table, "entry", second)
    assert reason(table) == "permission-unreadable"

    put(table, "entry", second | {"state": "withdrawn"}, 2)
    assert reason(table) is None


def test_a_successor_entry_needs_a_grant_of_its_own(table: PermissionTable) -> None:
    put(table, "entry", ENTRY_STATE | {"state": "withdrawn"}, 2)
    put(table, "entry", ENTRY_STATE | {"id": "019aa400-0000-7000-8000-0000000000e2"})

    assert reason(table) == "grant-missing"


def test_a_person_is_known_with_its_agency(table: PermissionTable) -> None:
    person = uuid7()
    put(
        table,
        "person",
        {
            "id": person,
            "agency": "health-commission",
            "name": "张敏",
            "roles": ["auditor"],
            "state": "active",
            "critical": ["roles", "state"],
        },
    )

    known = table.party("person", person)
    assert known is not None
    assert known.active
    assert table.directory.holders[f"person/{person}"].roles == {"auditor"}


def test_token_keys_follow_their_state(table: PermissionTable) -> None:
    key = SigningKey.generate()
    data = {
        "kid": key.kid,
        "use": "token",
        "jwk": key.jwk,
        "state": "active",
        "critical": ["state"],
    }
    put(table, "key", data)
    assert set(table.token_keys) == {key.kid}
    put(table, "key", data | {"critical": ["state", "audience"]}, 2)
    assert not table.token_keys
    put(table, "key", data, 3)
    assert set(table.token_keys) == {key.kid}
    put(table, "key", data | {"state": "retired"}, 4)
    assert not table.token_keys


def test_the_departments_ca_is_told_at_once_and_at_each_change(table: PermissionTable) -> None:
    told: list[tuple[str, ...]] = []
    late: list[tuple[str, ...]] = []
    data = {"use": "client_ca", "state": "active", "critical": ["state"]}
    table.on_client_ca(lambda pems: told.append(tuple(pems)))

    put(table, "key", data | {"kid": "ca-2", "certificate": "PEM 2"})
    put(table, "key", data | {"kid": "ca-1", "certificate": "PEM 1"})
    put(table, "key", data | {"kid": "ca-2", "certificate": "PEM 2"}, 2)
    table.on_client_ca(lambda pems: late.append(tuple(pems)))
    put(table, "key", data | {"kid": "ca-2", "certificate": "PEM 2", "state": "retired"}, 3)

    assert told == [("PEM 2",), ("PEM 1", "PEM 2"), ("PEM 1",)]
    assert late == [("PEM 1", "PEM 2"), ("PEM 1",)]


def test_a_listener_that_refuses_a_ca_does_not_stop_the_table(table: PermissionTable) -> None:
    def refuse(_: object) -> None:
        raise ValueError("no certificate")

    table.on_client_ca(refuse)
    put(
        table,
        "key",
        {
            "kid": "ca",
            "use": "client_ca",
            "certificate": "x",
            "state": "active",
            "critical": ["state"],
        },
    )

    assert reason(table) is None


def test_a_grant_named_in_the_call_is_found_among_many(table: PermissionTable) -> None:
    ids = sorted(uuid7() for _ in range(50))
    for grant_id in reversed(ids):
        put(table, "grant", GRANT_STATE | {"id": grant_id, "purposes": [grant_id]})

    assert [g.id for g in table.grants_of(SYSTEM, "xzqh-divisions")] == sorted([GRANT, *ids])
    call = dataclasses.replace(QUERY, grant=ids[17], purpose=ids[17])
    outcome = decide(table, call, NOW)
    assert isinstance(outcome, Allowed)
    assert outcome.grant is not None
    assert outcome.grant.id == ids[17]


def test_fifty_thousand_grants_change_without_rebuilding() -> None:
    index = GrantIndex()
    for number in range(50_000):
        system = f"system-{number % 500}"
        grant = dataclasses.replace(
            READ_DIVISIONS,
            id=f"grant-{number:06d}",
            systems=frozenset({system}),
            resource=f"resource-{number % 997}",
        )
        index.put(grant)
    moved = dataclasses.replace(grant, systems=frozenset({"system-0"}), version=9)
    index.put(moved)

    assert len(index) == 50_000
    assert not [g for g in index.of(system, grant.resource) if g.id == grant.id]
    assert moved in index.of("system-0", grant.resource)


def test_rules_of_items_and_the_mode_batch_are_taken(table: PermissionTable) -> None:
    rules = {"max_length": 6, "pattern": "[0-9]{6}", "codes": ["330106"]}
    bounds = {"name": "level", "title": "级别", "type": "integer", "minimum": "1", "maximum": "5"}
    items = [{"name": "code", "title": "代码", "type": "text", "key": True, **rules}, bounds]
    put(table, "entry", ENTRY_STATE | {"items": items, "modes": ["query", "batch"]}, 2)
    assert reason(table, RECEIVE) == "mode-not-granted"

    put(table, "grant", GRANT_STATE | {"modes": ["batch"]}, 2)
    assert reason(table, RECEIVE) is None
    assert reason(table) == "mode-not-granted"
    assert not table.unreadable


def test_states_may_say_more_than_is_read(table: PermissionTable) -> None:
    richer = json.loads(json.dumps(GRANT_STATE)) | {"note": {"any": ["thing"]}}
    put(table, "grant", richer, 2)

    assert reason(table) is None


def test_a_foreign_token_does_not_reach_a_known_certificate(table: PermissionTable) -> None:
    call = dataclasses.replace(QUERY, claims=Claims("system/x", "t", NOW + 60, THUMBPRINT))

    assert reason(table, call) == "token-not-bound"


def test_every_state_that_is_taken_counts_as_a_change(table: PermissionTable) -> None:
    seen = {table.changes}
    for kind, data in (
        ("agency", AGENCY),
        ("system", SYSTEM_STATE),
        ("credential", CREDENTIAL),
        ("entry", ENTRY_STATE),
        ("grant", GRANT_STATE),
        ("grant", GRANT_STATE | {"state": "paused"}),
    ):
        put(table, kind, data, 2)
        seen.add(table.changes)
    table.on_unreadable("sharing.grant.v1", f"grant/{GRANT}", "not JSON")
    seen.add(table.changes)

    assert len(seen) == 8
