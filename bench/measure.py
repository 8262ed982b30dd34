"""Reading what processes cost, and where files lie."""

import os
import statistics
import time
from pathlib import Path
from typing import Final

import psutil

TICK: Final = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Return user and system seconds of a process with all its threads and children."""
    process = psutil.Process(pid)
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        times = each.cpu_times()
        total += times.user + times.system
    return total


def file_system(path: Path) -> str:
    """Return the type of the file system that holds `path`, such as `ext4` or `tmpfs`."""
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, mount, kind, *_ = line.split()
        if path.resolve().is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]


def fdatasync_p50_ms(directory: Path, times: int = 300) -> float:
    """Return the median of appending 4 KiB and one fdatasync in `directory`, milliseconds."""
    file = directory / "fdatasync.probe"
    took = []
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    try:
        for _ in range(times):
            began = time.perf_counter()
            os.write(descriptor, b"x" * 4096)
            os.fdatasync(descriptor)
            took.append((time.perf_counter() - began) * 1000)
    finally:
        os.close(descriptor)
        file.unlink()
    return statistics.median(took)
