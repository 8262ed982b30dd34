"""The story of a first call, told by the demo on a platform of its own, comes out as told."""

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
DIVISIONS = 44_703
DIGEST = "16fff8465d9f670891e43c4e96acbcedf2e2a17470a0633311327f4fa587e737"
STEPS = [
    *("enrol", "publish", "query", "refusals", "revocation", "evidence", "verify", "tamper"),
]
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
    assert report["memory_mib"] > 100


def test_everybody_was_enrolled(facts: dict[str, dict[str, Any]]) -> None:
    enrolled = facts["enrol"]
    assert (enrolled["agencies"], enrolled["people"], enrolled["systems"]) == (5, 11, 3)
    assert enrolled["noted checkpoint size"] > 1


def test_all_rows_were_published_and_their_digest_is_that_of_the_source(
    facts: dict[str, dict[str, Any]],
) -> None:
    assert facts["publish"] == {"rows": DIVISIONS, "digest": DIGEST}


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
