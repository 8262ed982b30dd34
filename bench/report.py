"""What every benchmark writes: the machine and a list of results."""

import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Result:
    """One figure: `ratio` is `value` divided by the figure of the result named `baseline`."""

    name: str
    value: float
    unit: str
    baseline: str | None = None
    ratio: float | None = None


def machine() -> dict[str, Any]:
    """Return what a reader needs to know about the machine."""
    model = "unknown"
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "memory_mib": pages * size >> 20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "python_build": f"{platform.python_compiler()}, {platform.python_build()[1]}",
    }


def write(target: Path, results: list[Result], **more: Any) -> None:
    """Write `{"machine", "results", ...}` to `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    body = {"machine": machine(), "results": [asdict(result) for result in results], **more}
    target.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
