"""What processes cost in one run: CPU seconds and the peak of resident memory."""

import asyncio
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

LOOK_SECONDS: Final = 0.02
"""How often a program's peak is looked at until it has ended."""


@dataclass(frozen=True)
class Usage:
    """Cost of one process with its children.

    Attributes:
        cpu: user and system seconds.
        peak: greatest resident size of a single process, bytes.
    """

    cpu: float
    peak: int


@dataclass(frozen=True)
class Ended:
    """A program that ran to its end."""

    output: str
    seconds: float
    usage: Usage


class Meter:
    """Cost of processes that go on running, from its making to `read`.

    Args:
        pids: by name; each stands for its whole family.
    """

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = dict(pids)
        for pid in self._pids.values():
            for each in _family(pid):
                _forget_peak(each.pid)
        self._before = {name: _cpu(pid) for name, pid in self._pids.items()}

    def read(self) -> dict[str, Usage]:
        """Return what each has cost so far."""
        return {
            name: Usage(_cpu(pid) - self._before[name], _peak(pid))
            for name, pid in self._pids.items()
        }


async def run(command: Sequence[str], log: Path, **environment: str) -> Ended:
    """Run a program to its end; what it says goes to `log`, what it prints is returned.

    Raises:
        SystemExit: it failed; the end of the log is in the message.
    """
    return await asyncio.to_thread(_run, command, log, environment)


def start(command: Sequence[str], log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a program that goes on until it is told to stop; both its outputs go to `log`."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            list(command), stdout=sink, stderr=sink, env={**os.environ, **environment}
        )


async def stop(process: subprocess.Popen[bytes]) -> Usage:
    """Tell it to stop, and return what it cost from start to end."""
    peak = _high_water(process.pid)
    process.terminate()
    return await asyncio.to_thread(_collect, process, peak)


def _run(command: Sequence[str], log: Path, environment: Mapping[str, str]) -> Ended:
    began = time.perf_counter()
    output = log.with_suffix(".out")
    with log.open("ab") as errors, output.open("wb") as sink:
        process = subprocess.Popen(
            list(command), stdout=sink, stderr=errors, env={**os.environ, **environment}
        )
        usage = _collect(process)
    said = output.read_text(encoding="utf-8")
    if process.returncode != 0:
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said}{tail}")
    return Ended(said, time.perf_counter() - began, usage)


def _collect(process: subprocess.Popen[bytes], peak: int = 0) -> Usage:
    """Wait for its end. The kernel's own figure of the peak is not used: it begins with ours."""
    while True:
        pid, status, used = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        peak = max(peak, _high_water(process.pid))
        time.sleep(LOOK_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Usage(used.ru_utime + used.ru_stime, peak)


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _cpu(pid: int) -> float:
    """Return CPU seconds of a family, those of children that have ended included."""
    total = 0.0
    for each in _family(pid):
        try:
            times = each.cpu_times()
        except psutil.Error:
            continue  # it has ended since; its parent counts it from now on
        total += times.user + times.system + times.children_user + times.children_system
    return total


def _peak(pid: int) -> int:
    return max(_high_water(each.pid) for each in _family(pid))


def _high_water(pid: int) -> int:
    """Return the greatest resident size so far, bytes; 0 when the process has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def _forget_peak(pid: int) -> None:
    """Let the peak begin anew at the present size (proc(5), clear_refs)."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
    except OSError as error:
        raise SystemExit(f"The peak of process {pid} cannot be measured: {error}.") from error
