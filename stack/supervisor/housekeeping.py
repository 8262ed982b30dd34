"""Old logs and memory of a platform."""

import shutil
from pathlib import Path

import psutil


def set_old_logs_aside(folder: Path) -> None:
    """Keep the logs of the last run in `previous/`, not those of all time."""
    previous = folder / "previous"
    shutil.rmtree(previous, ignore_errors=True)
    logs = list(folder.glob("*.log"))
    if logs:
        previous.mkdir()
    for log in logs:
        log.rename(previous / log.name)


def pss(pid: int, *, children: bool = True) -> int:
    """Return the proportional set size of a process in bytes; 0 when it has ended."""
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if children else [])]
        return sum(each.memory_full_info().pss for each in family)
    except psutil.Error:
        return 0
