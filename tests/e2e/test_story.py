"""The story, told by the demo on a platform of its own, comes out as told."""

import json
import secrets
import subprocess
import sys
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
    *("revocation", "evidence", "verify", "tamper"),
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
    assert (enrolled["agencies"], enrolled["people"], enrolled["systems"]) == (6, 13, 4)
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
    once = {code: count for code, count in report["denials"].items() if code != "grant-suspended"}
    assert once == dict.fromkeys(REFUSALS.values(), 1)


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
