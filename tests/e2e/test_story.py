"""The story, told by the demo on a platform of its own, comes out as told."""

import json
import secrets
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stack.folders import CHECKOUT
from stack.settings import inherited_environment

SECONDS = 300
DIVISIONS = 665_276
STEPS = [
    *("enrol", "publish", "query", "refusals"),
    *("receive", "change", "alert", "repair", "late"),
    "revocation",
    *("conditional", "sign", "masked", "beyond", "statutory", "excluded"),
    *("owner", "operations", "stopped"),
    *("questions", "evidence", "verify", "tamper"),
]
MERGER = {"added": 288, "updated": 377, "deleted": 305}
REFUSALS = {
    "no certificate": "certificate-missing",
    "no token": "token-missing",
    "another system's token": "token-not-bound",
    "no purpose": "purpose-missing",
    "a purpose not granted": "purpose-not-granted",
    "an item not granted": "items-not-granted",
    "an unknown resource": "resource-unknown",
    "a class that is not shared": "class-not-shared",
}
BEYOND = {
    "another item": "items-not-granted",
    "another purpose": "purpose-not-granted",
    "another system": "grant-missing",
    "before the period": "grant-not-yet-valid",
    "after the period": "grant-expired",
    "rows chosen by a masked item": "item-masked",
    "the whole table": "mode-not-granted",
    "rows of its own for the police's entry": "not-the-owner",
    "a purpose that is no code": "call-malformed",
    "submitted by an officer": "role-missing",
    "submitted by who drafted it": "same-person",
    "confirmed by who asks": "other-agency",
    "more approved than was asked for": "terms-not-narrower",
    "a period that ends before it begins": "period-invalid",
    "confirmed before it is answered": "request-state-conflict",
    "read by a third agency": "request-unknown",
}
OPERATIONS = {
    "an operation that was not granted": "operation-not-granted",
    "the whole register": "operation-not-granted",
    "a path of nothing": "operation-not-granted",
    "another method": "operation-not-granted",
    "another system": "grant-missing",
}
DEATHS_SHOWN = 42
"""Of the first sixty people in 死亡登记, those of Hangzhou's districts."""
FORGERIES = {
    "changed-byte": "tree",
    "left-out": "sequence-gap",
    "re-signed": "consistency",
    "truncated": "consistency",
    "other-key": "checkpoint",
}


@pytest.fixture(scope="module")
def report(session_directory: Path) -> dict[str, Any]:
    """What the demo wrote; it is run once, as a process of its own."""
    directory = session_directory / f"demo-{secrets.token_hex(3)}"
    done = subprocess.run(
        [sys.executable, "-m", "stack.demo", "--directory", str(directory)],
        cwd=CHECKOUT,
        env=inherited_environment(),
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-4000:]
    found: dict[str, Any] = json.loads((directory / "report.json").read_bytes())
    return found


@pytest.fixture
def facts(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The facts of each step, by its name."""
    return {step["name"]: step["facts"] for step in report["steps"]}


def test_all_steps_went_as_told_in_their_order(report: dict[str, Any]) -> None:
    assert report["ok"] is True
    assert [step["name"] for step in report["steps"]] == STEPS
    assert all(step["ok"] for step in report["steps"])
    assert all("failed" not in step["facts"] for step in report["steps"])
    assert 100 < report["memory_mib"] <= 2048


def test_everybody_was_enrolled(facts: dict[str, dict[str, Any]]) -> None:
    enrolled = facts["enrol"]
    assert (enrolled["agencies"], enrolled["people"], enrolled["systems"]) == (9, 29, 10)
    assert enrolled["noted checkpoint size"] > 1


def test_all_rows_were_published_and_the_ten_broken_ones_left_out(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    rows = dict.fromkeys(("published", "delivered", "applied"), DIVISIONS)
    assert report["rows"] == rows | {"quarantined": 10}
    assert facts["publish"]["reasons"] == [
        "line 66529: code required",
        "line 133057: name required",
        "line 199585: level required",
        "line 266113: code pattern",
        "line 332641: name pattern",
        "line 399169: parent_code pattern",
        "line 465697: name length",
        "line 532225: level codes",
        "line 598753: code unique",
        "line 665281: code unique",
    ]


def test_both_sides_counted_the_same_but_for_the_row_that_was_changed(
    report: dict[str, Any],
) -> None:
    assert report["reconciled"] is report["tamper_detected"] is report["late_joiner_equal"] is True
    compared = report["comparisons"]
    states = [each["state"] for each in compared]
    assert states == ["agreed", "agreed", "differs", "agreed", "agreed"]
    whole, merger, altered, renewed, late = compared
    assert whole["consumer"]["added"] == whole["consumer"]["rows"] == DIVISIONS
    assert merger["declared"].items() >= MERGER.items() <= merger["consumer"].items()
    assert merger["consumer"]["rows"] == DIVISIONS + 288 - 305
    different = {
        name
        for name in altered["platform"]
        if altered["platform"][name] != altered["consumer"][name]
    }
    assert different == {"digest"}
    assert renewed["consumer"] == late["consumer"]
    assert renewed["consumer"]["digest"] == altered["platform"]["digest"]


def test_five_hundred_calls_were_answered_from_the_source_rows(
    facts: dict[str, dict[str, Any]],
) -> None:
    asked = facts["query"]
    assert (asked["found"], asked["state"]) == ("行政区划代码", "granted")
    assert (asked["calls"], asked["connections"], asked["districts of Hangzhou"]) == (500, 8, 13)


def test_every_refusal_named_its_reason(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    assert facts["refusals"] == REFUSALS
    assert facts["beyond"] == BEYOND
    excluded = Counter(facts["excluded"].values())
    assert excluded == {"class-not-shared": 5, "grant-ended": 1}
    assert facts["operations"] == OPERATIONS
    told = Counter(REFUSALS.values()) + Counter(BEYOND.values()) + excluded
    told += Counter(OPERATIONS.values())
    told["owner-unavailable"] = report["denials"]["owner-unavailable"]
    told["grant-suspended"] = facts["revocation"]["refused after"]
    assert report["denials"] == dict(told)
    assert len(report["denials"]) >= 16


def test_a_vague_request_was_refused_and_a_precise_one_signed_by_four(
    facts: dict[str, dict[str, Any]],
) -> None:
    signed = facts["sign"]
    assert signed["first request"].startswith("refused: 未说明核查对象和范围")
    assert signed["second request"] == "granted, signed by 4 people"
    assert signed["granted"] == "id_number, name, died_on"
    assert signed["masks"] == {"name": "name"}


def test_granted_rows_came_masked_and_no_others(facts: dict[str, dict[str, Any]]) -> None:
    masked = facts["masked"]
    assert masked["asked for by number"] == 60
    assert masked["of Hangzhou"] == DEATHS_SHOWN
    assert masked["of elsewhere, not shown"] == 60 - DEATHS_SHOWN
    number, name, died_on = masked["one of them"]
    assert len(number) == 18
    assert name.endswith("*")
    assert died_on == "2025-01-01"


def test_a_statutory_recipient_alone_read_what_is_not_shared(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    assert report["statutory"] == {
        "resource": "adoption-files",
        "recipient": "hangzhou-police",
        "statutory": {"title": "中华人民共和国刑事诉讼法", "article": "第五十四条"},
        "rows": 1,
        "refused to others": 5,
        "law named": "中华人民共和国民法典 第一千一百一十条",
        "afterwards": "grant-ended",
    }
    assert facts["statutory"]["read"][2].startswith("990101**********")


def test_an_owners_service_was_called_and_stopped_alone(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    assert report["owner_service"] == {
        "resource": "enterprise-register",
        "owner": "hangzhou-market-regulation",
        "operation": "read-enterprise",
        "answered": 20,
        "refused": ["grant-missing", "operation-not-granted"],
        "stopped": "owner-unavailable",
        "others_went_on": True,
        "started_again": True,
    }
    assert facts["owner"]["its own refusal passes"] == "404 by hangzhou-market-regulation"
    assert report["denials"]["owner-unavailable"] >= 1


def test_the_auditor_was_answered_by_command(facts: dict[str, dict[str, Any]]) -> None:
    answered = facts["questions"]
    assert answered["who used 死亡登记"] == ["hangzhou-human-resources"]
    assert answered["for"] == "unemployment-benefit-check"
    assert answered["answers"] == 63
    refused = answered["refusals of calls to 死亡登记"]
    by_the_gateway, by_transfer = {"grant-expired", "grant-missing"}, {"item-masked"}
    assert by_the_gateway | by_transfer <= set(refused)
    assert answered["leaf"] < answered["of records"]


def test_the_suspension_was_felt_within_a_second(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    felt = facts["revocation"]
    assert 0 <= report["revocation_ms"] <= 1000
    assert felt["last data after the 200, ms"] <= 1000
    assert felt["answered before"] > 0
    assert felt["refused after"] == report["denials"]["grant-suspended"] > 0


def test_the_evidence_was_proved_and_every_forgery_was_found(
    report: dict[str, Any], facts: dict[str, dict[str, Any]]
) -> None:
    evidence = report["evidence"]
    assert evidence["verified"] == evidence["records"] == facts["verify"]["records"]
    assert evidence["records"] > evidence["calls"] > 500
    assert (evidence["gaps"], facts["evidence"]["gaps"], facts["verify"]["gaps"]) == (0, 0, 0)
    assert facts["tamper"] == FORGERIES
    assert evidence["tamper_detected"] is True
