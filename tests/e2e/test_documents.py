"""The commands of README and tutorials are typed as they stand, on platforms of their own."""

import json
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.folders import CHECKOUT, DATONG

SECONDS = 180


@pytest.fixture
def platform() -> Iterator[str]:
    """Name of a platform that runs as after `make up`."""
    yield from _platform()


@pytest.fixture(scope="module")
def example() -> Iterator[str]:
    """Name of a platform that runs as after `make up example`."""
    for name in _platform():
        subprocess.run(
            [sys.executable, "-m", "stack.demo.example", "--platform", str(DATONG / name)],
            cwd=CHECKOUT,
            timeout=SECONDS,
            check=True,
        )
        yield name


def _platform() -> Iterator[str]:
    """Start a platform, give its name, and remove it afterwards."""
    name = f"documents-{secrets.token_hex(3)}"
    _stack(name, "up")
    try:
        yield name
    finally:
        _stack(name, "down")
        _stack(name, "clean")


def _stack(name: str, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stack", "--name", name, command],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _blocks(document: str, language: str) -> list[str]:
    """The fenced blocks of a document in one language ('' for blocks without a language)."""
    text = (CHECKOUT / document).read_text(encoding="utf-8")
    found = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in found if named == language]


STOP_UNLESS_SHOWN = "set -E; trap 'code=$?; case $code in 3|5|6) ;; *) exit $code;; esac' ERR\n"
"""Documents show refusals (3), forgeries (5) and differences (6) too. All else must succeed."""


def _run(script: str, folder: Path, tmp_path: Path) -> str:
    """Run a script as a user would type it, stopping at the first failure; return its output."""
    tools = tmp_path / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "python3").unlink(missing_ok=True)
    (tools / "python3").symlink_to(sys.executable)
    if shutil.which("curl") is None:
        stand_in = tools / "curl"
        curl = CHECKOUT / "tests/support/curl.py"
        stand_in.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{curl}" "$@"\n', "utf-8")
        stand_in.chmod(0o755)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", STOP_UNLESS_SHOWN + script + "\nexit 0\n"],
        cwd=folder,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


MAKE = """make() {{ (cd "$2" && {python} -m stack --name {platform} "$3" ${{4#ARGS=}}); }}
"""
"""`make -C CHECKOUT COMMAND ARGS=…`, for a platform of another name."""


def _moved(script: str, platform: str) -> str:
    """A script for a platform of another name, typed outside the checkout."""
    script = script.replace("CHECKOUT=$PWD", f"CHECKOUT={CHECKOUT}")
    script = script.replace(".datong/local", f".datong/{platform}")
    return MAKE.format(python=sys.executable, platform=platform) + script


def _typed(document: str, platform: str, tmp_path: Path) -> str:
    """Type all commands of a tutorial in a folder of one's own; return what they said."""
    script = "\n".join(_blocks(f"docs/tutorials/{document}", "bash"))
    return _run(_moved(script, platform), tmp_path, tmp_path)


def test_the_readme_leads_to_a_first_call(example: str, tmp_path: Path) -> None:
    def here(script: str) -> str:
        return script.replace(".datong/local", f".datong/{example}")

    plain = _blocks("README.md", "")
    curl = next(block for block in plain if "curl" in block)
    said = _run(here(curl), CHECKOUT, tmp_path)
    assert "HTTP/1.1 200" in said
    assert "datong-evidence" in said.lower()
    assert "西湖区" in said

    (python,) = _blocks("README.md", "python")
    said = _run(f"{sys.executable} - <<'PYTHON'\n{here(python)}PYTHON\n", CHECKOUT, tmp_path)
    assert "330106 西湖区" in said

    delivery = next(block for block in plain if "receive division-codes" in block)
    said = _run(here(delivery), CHECKOUT, tmp_path)
    assert "both sides agree" in said

    commands = next(block for block in plain if "query division-codes" in block).splitlines()
    assert "西湖区" in _run(here(commands[0]), CHECKOUT, tmp_path)
    assert "purpose-not-granted" in _run(here(commands[1]), CHECKOUT, tmp_path)
    assert "1 found" in _run(here(commands[2]), CHECKOUT, tmp_path)


def test_the_tutorial_can_be_typed_as_it_stands(platform: str, tmp_path: Path) -> None:
    said = _typed("first-call.md", platform, tmp_path)

    assert re.search(r'\{"enterprises":\[\{"code":.*云栖.*\]\}civil-affairs answered 200', said)
    assert "operation-not-granted" in said
    assert not (tmp_path / "first-call" / "all.ndjson").exists()
    state = json.loads((DATONG / platform / "state.json").read_text(encoding="utf-8"))
    restarts = {name: each.get("restarts", 0) for name, each in state["processes"].items()}
    assert not any(restarts.values()), restarts


def test_the_tutorial_of_a_delivery_can_be_typed_as_it_stands(example: str, tmp_path: Path) -> None:
    said = _typed("first-delivery.md", example, tmp_path)

    assert "too-many-faults" in said or "quarantined" in said
    assert "NH0003 钱塘护理院 60" in said
    assert said.count("both sides agree") == 3
    assert said.count("BOTH SIDES DIFFER") == 1
    table = sqlite3.connect(tmp_path / "first-delivery" / "health.db")
    rows = table.execute("SELECT code, name, beds FROM nursing_homes ORDER BY code").fetchall()
    assert rows == [
        ("NH0001", "湖滨颐养院", 120),
        ("NH0002", "西溪长者之家", 96),
        ("NH0004", "余杭社会福利中心", 400),
    ]


def test_the_tutorial_of_officials_can_be_typed_as_it_stands(example: str, tmp_path: Path) -> None:
    said = _typed("official.md", example, tmp_path)

    waiting = r"│ {} +│ {} *│ funeral-register"
    assert re.search(waiting.format("submit", ""), said)  # the law sets no limit for it
    for step in ("answer", "confirm"):
        assert re.search(waiting.format(step, r"20[0-9]{2}-[0-9]{2}-[0-9]{2}"), said), step
    assert "area is 330106" in said
    assert "id_number as id_number" in said
    assert "费用与所述职责无关" in said
    assert "王**" in said
    assert said.count("items-not-granted") == 1


def test_the_tutorial_of_auditors_can_be_typed_as_it_stands(example: str, tmp_path: Path) -> None:
    said = _typed("auditor.md", example, tmp_path)

    assert "public-health" in said
    assert "purpose-not-granted" in said
    assert "which extends your own checkpoint" in said
    assert said.rstrip().endswith("verified")
    proved = json.loads((tmp_path / "auditor" / "proved.json").read_text(encoding="utf-8"))
    assert proved["proved"]
    assert proved["is_noted"]


def test_the_tutorial_of_operators_can_be_typed_as_it_stands(example: str, tmp_path: Path) -> None:
    said = _typed("operator.md", example, tmp_path)

    assert "gateway-slot-0" in said
    assert "nothing to do: everything is there as stated" in said
    assert "unknown key aproved_by; approved_by is meant?" in said
    assert "agency-suspended" in said
    assert "Enrolled system/" in said
