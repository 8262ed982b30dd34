"""`datong verify` as its own process: exit codes, table, JSON."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

Verify = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def verify(log: Any, tmp_path: Path) -> Verify:
    """Verify a log as the auditor who noted the true log's key and its first 300 records."""
    (tmp_path / "log.vkey").write_text(log.signer.vkey + "\n")
    (tmp_path / "checkpoint").write_bytes(log.checkpoint(300))

    def run(shown: Any, *more: str) -> subprocess.CompletedProcess[str]:
        package = shown.save(tmp_path / "evidence.zip")
        command = [sys.executable, "-m", "datong", "verify", str(package), *more]
        command += [
            "--key",
            str(tmp_path / "log.vkey"),
            "--checkpoint",
            str(tmp_path / "checkpoint"),
        ]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path
        )

    return run


def test_a_true_package_ends_with_0(log: Any, verify: Verify) -> None:
    ended = verify(log)

    assert ended.returncode == 0, ended.stderr
    assert "600 of 600" in ended.stdout
    assert ended.stdout.rstrip().endswith("verified")


def test_json_has_counts_for_programs(log: Any, verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "calls.ndjson").write_text("")

    ended = verify(log, "--json", "--calls", str(tmp_path / "calls.ndjson"))
    report = json.loads(ended.stdout)

    assert ended.returncode == 0
    assert report["ok"] is True
    assert report["verdict"] == "verified"
    assert (report["records"], report["verified"], report["epochs"]) == (600, 600, 2)
    assert (report["gaps"], report["conflicts"], report["problems"]) == (0, 0, [])
    assert report["noted"] == [300]
    assert report["calls"]["total"] == 0


@pytest.mark.parametrize(
    ("forge", "what"),
    [
        (
            lambda log: replace(
                log.with_record(450, at="2026-11-24T09:00:00.000000Z"), signed=log.checkpoint()
            ),
            "tree",
        ),
        (lambda log: log.without_record(450), "sequence-gap"),
        (lambda log: log.with_record(120, at="2026-11-24T09:00:00.000000Z"), "consistency"),
        (lambda log: replace(log, records=log.records[:299]), "consistency"),
        (lambda log: replace(log, signer=replace(log.signer, seed=b"\x08" * 32)), "checkpoint"),
    ],
    ids=["one changed byte", "left out", "changed and signed again", "truncated", "another key"],
)
def test_every_forgery_ends_with_5_and_is_named(
    log: Any, verify: Verify, forge: Callable[[Any], Any], what: str
) -> None:
    ended = verify(forge(log))
    described = json.loads(verify(forge(log), "--json").stdout)

    assert ended.returncode == 5
    assert f"{what}: " in ended.stdout
    assert what in {problem["what"] for problem in described["problems"]}
    assert described["ok"] is False
    assert "Traceback" not in ended.stderr


def test_the_name_of_a_missing_file_is_no_key(log: Any, verify: Verify, tmp_path: Path) -> None:
    (tmp_path / "log.vkey").unlink()

    ended = verify(log)

    assert ended.returncode == 5
    assert "key: " in ended.stdout
