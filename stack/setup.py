"""Sets the checkout up with nothing but Python 3.11: `python3 stack/setup.py [--bench]`.

Runs before any dependency is there, hence only the standard library, and only syntax that Python
3.7 can read: it has to get as far as saying that it is too old. A second run finds everything in
place and asks no network.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

UV_VERSION = "0.13.9"
CHECKOUT = Path(__file__).resolve().parent.parent
DATONG = CHECKOUT / ".datong"
ENVIRONMENT = CHECKOUT / ".venv"
PYTHON = ENVIRONMENT / "bin" / "python"
UV_FOLDER = DATONG / "uv"
LOG_FILE = DATONG / "setup.log"
LOCKED = ("uv.lock", "pyproject.toml", "sdk/pyproject.toml")


class Missing(Exception):
    """Something is not there. The message is one sentence for a person."""


def main(arguments: list[str]) -> int:
    """Set up; return the exit code."""
    groups = ["--group", "bench"] if "--bench" in arguments else []
    try:
        _check_python()
        _sync(groups)
    except Missing as missing:
        sys.stderr.write(str(missing) + "\n")
        return 1
    sys.path.insert(0, str(CHECKOUT))
    from stack.jars import are_prepared

    if are_prepared():
        return 0
    return subprocess.call([str(PYTHON), "-m", "stack", "prepare"], cwd=CHECKOUT)  # noqa: S603


def _check_python() -> None:
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < (3, 11):  # noqa: UP036 - exactly the case that is told about
        raise Missing(
            f"Datong needs Python 3.11 or newer, but {sys.executable} is {found}; "
            "name another one with `make PYTHON=/path/to/python3.11`."
        )
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        raise Missing(
            f"Python {found} cannot make virtual environments; "
            "on Debian and Ubuntu: `apt install python3-venv`."
        )


def _sync(groups: list[str]) -> None:
    """Bring the virtual environment to exactly what the lock says, unless it is there."""
    stamp_file = ENVIRONMENT / "datong-setup"
    stamp = _stamp(groups)
    # An environment that also has the bench group serves those who do not need it.
    accepted = {stamp, _stamp(["--group", "bench"])}
    if PYTHON.exists() and stamp_file.exists() and stamp_file.read_text() in accepted:
        return
    DATONG.mkdir(exist_ok=True)
    uv = _uv()
    _say("installing the locked dependencies into .venv")
    command = [str(uv), "sync", "--locked", "--python", sys.executable, *groups]
    environment = dict(os.environ, UV_PYTHON_DOWNLOADS="never", UV_PROJECT_ENVIRONMENT=".venv")
    _run(command, "The locked dependencies could not be installed", environment)
    stamp_file.write_text(stamp)


def _uv() -> Path:
    """Return the pinned uv, in an environment of its own: `uv sync` would remove it from ours."""
    uv = UV_FOLDER / "bin" / "uv"
    if uv.exists() and _output([str(uv), "--version"]).split()[1:2] == [UV_VERSION]:
        return uv
    _say(f"fetching uv {UV_VERSION}")
    shutil.rmtree(UV_FOLDER, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(UV_FOLDER)], "The tool's folder could not be made")
    install = [str(UV_FOLDER / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    _run([*install, "uv==" + UV_VERSION], "uv could not be fetched from PyPI")
    return uv


def _stamp(groups: list[str]) -> str:
    digest = hashlib.sha256(repr((sys.version, groups)).encode())
    for name in LOCKED:
        digest.update((CHECKOUT / name).read_bytes())
    return digest.hexdigest()


def _run(command: list[str], failure: str, environment: dict[str, str] | None = None) -> None:
    with LOG_FILE.open("ab") as log:
        code = subprocess.call(  # noqa: S603 - our own commands, no shell
            command, cwd=CHECKOUT, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    if code != 0:
        raise Missing(
            f"{failure}: check the network and the disk, then try again (details: {LOG_FILE})."
        )


def _output(command: list[str]) -> str:
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603
    return answer.stdout.decode()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
