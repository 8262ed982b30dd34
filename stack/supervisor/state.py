"""The state file: what runs where, for other commands, and for the next start to clean up."""

import contextlib
import fcntl
import json
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

STATE_FILE = "state.json"
# A process started at the recorded moment is the recorded one: pids are used again.
SAME_START_SECONDS = 0.5


class AlreadyRunning(Exception):
    """Another supervisor holds this folder. The message is for a person."""


@contextmanager
def sole_supervisor(directory: Path) -> Iterator[None]:
    """Hold the folder for one supervisor; the kernel lets go of it however the supervisor ends.

    Raises:
        AlreadyRunning: another one holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning(
                f"The platform in {directory} is already running; see `make status`."
            ) from error
        yield


def is_held(directory: Path) -> bool:
    """Whether a supervisor holds the folder now."""
    if not directory.exists():
        return False
    try:
        with sole_supervisor(directory):
            return False
    except AlreadyRunning:
        return True


def started_at(pid: int) -> float | None:
    """When the process started, in seconds of the epoch; None when there is none (any more)."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None


def write_state(directory: Path, state: Mapping[str, Any]) -> None:
    """Replace the state file in one step."""
    fresh = directory / f".{STATE_FILE}.new"
    fresh.write_text(json.dumps(state, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    fresh.replace(directory / STATE_FILE)


def read_state(directory: Path) -> dict[str, Any] | None:
    """Return what the last supervisor wrote, None when there is nothing readable."""
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        state = json.loads((directory / STATE_FILE).read_text(encoding="utf-8"))
        if isinstance(state, dict):
            return state
    return None


def reap(directory: Path) -> list[str]:
    """Kill processes that an earlier supervisor left behind; return their names.

    They normally die with it; this is for those that could not, such as ones stopped in a
    debugger. Only call it while holding the folder.
    """
    left = []
    for name, process in ((read_state(directory) or {}).get("processes") or {}).items():
        pid, started = process.get("pid"), process.get("started")
        now = started_at(pid) if isinstance(pid, int) else None
        if now is not None and started is not None and abs(now - started) < SAME_START_SECONDS:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
            left.append(name)
    return left
