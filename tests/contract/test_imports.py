"""Who may import whom is checked by import-linter; what it cannot see is checked here."""

import ast
import subprocess
import sys

import pytest

from tests.contract.parts import ROOT, sources


def test_the_import_rules_hold() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def _imports(folder: str) -> list[tuple[str, str]]:
    found = []
    for path in sources(folder):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found += [(str(path), alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append((str(path), node.module))
    return found


@pytest.mark.parametrize("folder", ["sdk/src/datong"])
def test_what_departments_install_shares_no_code_with_the_platform(folder: str) -> None:
    for path, module in _imports(folder):
        assert module.split(".")[0] not in {"kit", "services", "gateway", "stack", "tests"}, path


def test_the_verifier_shares_no_code_with_the_writer() -> None:
    for path, module in _imports("sdk/src/datong/verifier"):
        assert module.split(".")[0] != "services", path


def test_nothing_that_ships_imports_tests() -> None:
    for folder in ("kit", "services", "gateway", "stack", "sdk/src"):
        for path, module in _imports(folder):
            assert module.split(".")[0] not in {"tests", "bench", "pytest"}, path


@pytest.mark.parametrize(
    "name", ["utils", "util", "manager", "helper", "helpers", "common", "base"]
)
def test_no_file_is_a_drawer(name: str) -> None:
    for folder in ("kit", "services", "gateway", "stack", "sdk/src", "tests", "bench"):
        assert not [p for p in sources(folder) if p.stem == name or p.parent.name == name]
