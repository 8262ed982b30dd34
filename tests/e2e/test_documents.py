"""The commands of README and tutorials are typed as they stand, on platforms of their own."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.folders import CHECKOUT, DATONG

SECONDS = 180


@pytest.fixture
def platform() -> Iterator[str]:
    """Name of a platform that runs as after `make up`; it is removed afterwards."""
    name = f"documents-{secrets.token_hex(3)}"
    _stack(name, "up")
    yield name
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


STOP_UNLESS_REFUSED = "set -E; trap 'code=$?; case $code in 3|5) ;; *) exit $code;; esac' ERR\n"
"""Documents show refusals (3) and forgeries (5) of `datong` too. All else must succeed."""


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
        ["bash", "-o", "pipefail", "-c", STOP_UNLESS_REFUSED + script + "\nexit 0\n"],
        cwd=folder,
        env={"PATH": f"{tools}:{os.environ['PATH']}", "HOME": str(tmp_path), "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_the_readme_leads_to_a_first_call(platform: str, tmp_path: Path) -> None:
    def here(script: str) -> str:
        return script.replace(".datong/local", f".datong/{platform}")

    subprocess.run(
        [sys.executable, "-m", "stack.demo.example", "--platform", str(DATONG / platform)],
        cwd=CHECKOUT,
        timeout=SECONDS,
        check=True,
    )
    plain = _blocks("README.md", "")
    curl = next(block for block in plain if "curl" in block)
    said = _run(here(curl), CHECKOUT, tmp_path)
    assert "HTTP/1.1 200" in said
    assert "datong-evidence" in said.lower()
    assert "西湖区" in said

    (python,) = _blocks("README.md", "python")
    said = _run(f"{sys.executable} - <<'PYTHON'\n{here(python)}PYTHON\n", CHECKOUT, tmp_path)
    assert "330106 西湖区" in said

    commands = next(block for block in plain if ".venv/bin/datong" in block).splitlines()
    assert "西湖区" in _run(here(commands[0]), CHECKOUT, tmp_path)
    assert "purpose-not-granted" in _run(here(commands[1]), CHECKOUT, tmp_path)


def test_the_tutorial_can_be_typed_as_it_stands(platform: str, tmp_path: Path) -> None:
    script = "\n".join(_blocks("docs/tutorials/first-call.md", "bash"))
    moved = script.replace("CHECKOUT=$PWD", f"CHECKOUT={CHECKOUT}").replace(
        ".datong/local", f".datong/{platform}"
    )
    _run(moved, tmp_path, tmp_path)
    state = json.loads((DATONG / platform / "state.json").read_text(encoding="utf-8"))
    restarts = {name: each.get("restarts", 0) for name, each in state["processes"].items()}
    assert not any(restarts.values()), restarts
