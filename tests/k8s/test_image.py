"""An image holds its own part's code, all of what that imports, and nothing of the others."""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from k8s.render import CHECKOUT
from stack.setup import UV_VERSION
from tests.k8s.manifests import PACKAGES, PARTS

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text("utf-8")
LINES = DOCKERFILE.replace("\\\n", " ").splitlines()

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not info.name.endswith("__main__") and ".migrations." not in info.name:
        importlib.import_module(info.name)
"""


def _instructions(name: str) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in LINES if line.startswith(f"{name} ")]


def test_images_start_from_debian_with_its_own_python() -> None:
    assert _instructions("FROM") == ["debian:12-slim AS build", "debian:12-slim"]
    assert "UV_PYTHON=/usr/bin/python3" in DOCKERFILE
    assert f"uv=={UV_VERSION}" in DOCKERFILE
    assert "uv sync --locked --no-default-groups" in DOCKERFILE


def test_an_image_runs_as_a_number_that_is_not_root() -> None:
    assert _instructions("USER") == ["10001:10001"]
    assert json.loads(_instructions("ENTRYPOINT")[0]) == ["python", "-m"]


def test_only_what_the_image_is_made_of_is_sent_to_the_builder() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for line in _instructions("COPY")
        if "--from" not in line
        for source in shlex.split(line)[:-1]
    }

    assert "*" in ignored
    assert sent == copied
    assert all((CHECKOUT / source).exists() for source in copied)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the build stage into which the code is copied."""
    folder = tmp_path_factory.mktemp("source")
    for name in ("contracts", "gateway", "kit", "services"):
        shutil.copytree(
            CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    return folder


def _select(source: Path, place: Path, service: str) -> subprocess.CompletedProcess[str]:
    """Run the Dockerfile's own selection of code."""
    (script,) = (line for line in _instructions("RUN") if "SERVICE" in line)
    return subprocess.run(
        ["/bin/sh", "-c", script],
        cwd=source,
        env={"PATH": "/usr/bin:/bin", "SERVICE": service, "PLACE": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("service", ["", "relay", "identity/..", "identity catalog"])
def test_an_unknown_service_is_refused(service: str, source: Path, tmp_path: Path) -> None:
    done = _select(source, tmp_path / "part", service)

    assert done.returncode == 1
    assert "SERVICE is identity" in done.stderr
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize("part", PARTS)
def test_an_image_has_all_that_its_part_needs_and_no_more(
    part: str, source: Path, tmp_path: Path
) -> None:
    place = tmp_path / "part"
    done = _select(source, place, part)
    assert done.returncode == 0, done.stderr

    imported = subprocess.run(
        [sys.executable, "-P", "-c", IMPORT_ALL, PACKAGES[part]],
        cwd=tmp_path,
        env={"PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert imported.returncode == 0, imported.stderr

    found = {path.relative_to(place).as_posix() for path in place.rglob("*.py")}
    own = PACKAGES[part].replace(".", "/")
    above = {f"{parent}/__init__.py" for parent in Path(own).parents if parent != Path()}
    assert above <= found
    assert all(path.startswith((f"{own}/", "kit/")) for path in found - above)

    distributions = packages_distributions()
    used = {_plain(name) for module in _imports(place) for name in distributions.get(module, [])}
    assert used, "the test sees imports"
    assert used <= _locked_for_running(), "is imported, but only tests and the stack have it"


def _imports(folder: Path) -> set[str]:
    """Return the top-level packages that the code below a folder imports, also late."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.split(".")[0])
    return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _locked_for_running() -> set[str]:
    """Return what `uv sync --no-default-groups` installs, by the lock."""
    lock = tomllib.loads((CHECKOUT / "uv.lock").read_text("utf-8"))
    packages = {package["name"]: package for package in lock["package"]}
    waiting = [("datong-platform", ())]
    seen: set[tuple[str, tuple[str, ...]]] = set()
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        package = packages[name]
        needed = list(package.get("dependencies", []))
        for extra in extras:
            needed += package.get("optional-dependencies", {}).get(extra, [])
        waiting += [(each["name"], tuple(each.get("extra", ()))) for each in needed]
    return {name for name, _ in seen}
