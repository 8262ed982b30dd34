"""Explanations are for those whom a call concerns, and say what the gateway would say."""

from typing import Any

import orjson
import pytest

from gateway.admin import Explainer
from gateway.domain import Party
from gateway.table import PermissionTable
from kit.states import StateEvent
from tests.support.permissions import GRANT, OTHER_SYSTEM, PERSON, SYSTEM

CALL = "019aa500-0000-7000-8000-0000000000aa"
OWNER_PERSON = "019aa500-0000-7000-8000-000000000011"
AUDITOR = "019aa500-0000-7000-8000-000000000012"
STRANGER = "019aa500-0000-7000-8000-000000000013"


def state(topic: str, subject: str, critical: list[str], **data: Any) -> StateEvent:
    return StateEvent(topic, subject, 1, 1, {**data, "critical": critical}, frozenset(critical))


def a_table() -> PermissionTable:
    table = PermissionTable({}, stale_after=60)
    for agency in ("health-commission", "civil-affairs", "audit-office", "tax-bureau"):
        table.apply(
            state(
                "identity.agency.v1",
                f"agency/{agency}",
                ["state"],
                id=agency,
                name=agency,
                level="city",
                area_code="330100",
                line=None,
                competent=None,
                state="active",
            )
        )
    for person, agency, roles in (
        (PERSON, "health-commission", ["sharing_office_head"]),
        (OWNER_PERSON, "civil-affairs", ["registrar"]),
        (AUDITOR, "audit-office", ["auditor"]),
        (STRANGER, "tax-bureau", ["registrar"]),
    ):
        table.apply(
            state(
                "identity.person.v1",
                f"person/{person}",
                ["roles", "state"],
                id=person,
                agency=agency,
                name=person,
                roles=roles,
                state="active",
            )
        )
    for system, agency in ((SYSTEM, "health-commission"), (OTHER_SYSTEM, "tax-bureau")):
        table.apply(
            state(
                "identity.system.v1",
                f"system/{system}",
                ["state"],
                id=system,
                agency=agency,
                name=system,
                state="active",
            )
        )
    table.apply(
        state(
            "catalog.entry.v1",
            "entry/e1",
            ["share_class", "state", "items"],
            id="e1",
            version=3,
            name="行政区划代码",
            agency="civil-affairs",
            share_class="unconditional",
            legal_basis=None,
            state="published",
            resource="xzqh-divisions",
            items=[],
            modes=["query"],
            update_frequency="yearly",
        )
    )
    table.apply(
        state(
            "sharing.grant.v1",
            f"grant/{GRANT}",
            ["state"],
            id=GRANT,
            resource="xzqh-divisions",
            entry="e1",
            entry_version=3,
            owner="civil-affairs",
            consumer="health-commission",
            systems=[SYSTEM],
            items=["code"],
            modes=["query"],
            operations=[],
            purposes=["statistics"],
            valid_from="2026-01-01T00:00:00Z",
            valid_until=None,
            state="active",
            reason=None,
            basis="unconditional",
            share_class="unconditional",
        )
    )
    return table


def party(kind: str, party_id: str, agency: str) -> Party:
    return Party(kind, party_id, agency, party_id, active=True)


CALLER = party("system", SYSTEM, "health-commission")
ASKED = {"resource": "xzqh-divisions", "purpose": "statistics"}


def explain(asked: Any, caller: Party = CALLER) -> tuple[int, dict[str, Any]]:
    body = asked if isinstance(asked, bytes) else orjson.dumps(asked)
    said = Explainer(a_table()).explain(caller, body, CALL)
    return said.status, orjson.loads(said.body)


def test_every_check_is_listed_with_its_fact() -> None:
    status, said = explain(ASKED)
    assert status == 200
    names = [check["check"] for check in said["checks"]]
    assert names.index("token-missing") < names.index("grant-missing")
    assert names[-1] == "items-not-granted"
    assert all(check["fact"] for check in said["checks"])
    assert (said["system"], said["mode"]) == (SYSTEM, "query")


@pytest.mark.parametrize(
    ("mode", "reason"), [("batch", "mode-not-granted"), ("publish", "not-the-owner")]
)
def test_every_mode_of_data_calls_is_explained(mode: str, reason: str) -> None:
    status, said = explain({**ASKED, "mode": mode})
    assert status == 200
    assert (said["mode"], said["decision"], said["reason"]) == (mode, "denied", reason)


def test_a_call_is_explained_for_its_operation() -> None:
    _, said = explain({**ASKED, "mode": "call", "operation": "read"})
    assert (said["mode"], said["decision"], said["reason"]) == (
        "call",
        "denied",
        "mode-not-granted",
    )
    operation = next(c for c in said["checks"] if c["check"] == "operation-not-granted")
    assert operation["passed"] is False
    assert "fit no operation of the service" in operation["fact"]


def test_the_first_check_that_fails_is_the_reason() -> None:
    _, said = explain({**ASKED, "purpose": "marketing"})
    assert (said["decision"], said["reason"]) == ("denied", "purpose-not-granted")
    assert said["next_step"]


def test_a_table_that_is_not_fresh_is_a_reason_of_its_own() -> None:
    _, said = explain(ASKED)
    assert not said["fresh"]
    assert (said["decision"], said["reason"]) == ("denied", "permissions-stale")


@pytest.mark.parametrize(
    ("caller", "allowed"),
    [
        (party("person", PERSON, "health-commission"), True),
        (party("person", OWNER_PERSON, "civil-affairs"), True),
        (party("person", AUDITOR, "audit-office"), True),
        (party("person", STRANGER, "tax-bureau"), False),
        (party("system", OTHER_SYSTEM, "tax-bureau"), False),
    ],
)
def test_explanations_are_for_those_whom_the_call_concerns(caller: Party, allowed: bool) -> None:
    status, said = explain({**ASKED, "system": SYSTEM}, caller)
    assert (status == 200) is allowed
    if not allowed:
        assert said["code"] == "other-agency"


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({}, "/resource"),
        ({"resource": "Not Plain"}, "/resource"),
        ({"resource": 5}, "/resource"),
        ({**ASKED, "mode": "steal"}, "/mode"),
        ({**ASKED, "mode": ["query"]}, "/mode"),
        ({**ASKED, "mode": "call"}, "/operation"),
        ({**ASKED, "operation": "read"}, "/operation"),
        ({**ASKED, "system": "5"}, "/system"),
        ({**ASKED, "grant": None}, "/grant"),
        ({**ASKED, "purpose": ""}, "/purpose"),
        ({**ASKED, "items": "code"}, "/items"),
        ({**ASKED, "items": [1]}, "/items"),
        ({**ASKED, "row_filter": "all"}, "/row_filter"),
        ([], ""),
    ],
)
def test_a_member_of_another_form_is_pointed_at(asked: Any, pointer: str) -> None:
    status, said = explain(asked)
    assert (status, said["code"]) == (422, "body-invalid")
    assert [error["pointer"] for error in said["errors"]] == [pointer]


def test_people_name_the_system() -> None:
    _, said = explain(ASKED, party("person", PERSON, "health-commission"))
    assert said["errors"][0]["pointer"] == "/system"


@pytest.mark.parametrize("body", [b"", b"{", b'{"resource":"a","resource":"b"}', b"\xff", b"NaN"])
def test_a_body_that_is_not_strict_json_is_malformed(body: bytes) -> None:
    status, said = explain(body)
    assert (status, said["code"]) == (400, "body-malformed")
