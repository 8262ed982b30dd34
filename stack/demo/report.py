"""What the demo leaves behind: `report.json` for programs, a table for people."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass
class Step:
    """One step of the story; `facts` are what a reader wants to see of it."""

    name: str
    title: str
    ok: bool = False
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass
class DemoReport:
    """The whole story."""

    steps: list[Step] = field(default_factory=list)
    revocation_ms: float | None = None
    denials: Counter[str] = field(default_factory=Counter)
    evidence: dict[str, Any] = field(default_factory=dict)
    memory_mib: int | None = None

    @property
    def ok(self) -> bool:
        """Whether every step went as told."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def write(self, target: Path) -> None:
        """Write `report.json`."""
        body = {
            "ok": self.ok,
            "steps": [asdict(step) for step in self.steps],
            "revocation_ms": self.revocation_ms,
            "denials": dict(sorted(self.denials.items())),
            "evidence": self.evidence,
            "memory_mib": self.memory_mib,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title="A first call through Datong", show_lines=True)
        for column in ("step", "seconds", "what was seen"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for step in self.steps:
            mark = "[green]✓[/green]" if step.ok else "[red]✗[/red]"
            facts = "\n".join(f"{name}: {_short(value)}" for name, value in step.facts.items())
            table.add_row(f"{mark} {step.title}", f"{step.seconds:.1f}", facts)
        console.print(table)


def denials_of(call_log: Path) -> Counter[str]:
    """Count refusals by reason code in a log of calls."""
    counted: Counter[str] = Counter()
    for line in call_log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "answered" and "code" in event:
            counted[event["code"]] += 1
    return counted


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list):
        return ", ".join(str(member) for member in value)
    return str(value)
