"""What the demo leaves behind: `report.json` for programs, a table for people."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

FIGURES: Final = ("rows", "added", "updated", "deleted", "digest")


@dataclass
class Step:
    """One step of the story; `facts` are what a reader wants to see of it."""

    name: str
    title: str
    ok: bool = False
    seconds: float = 0.0
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """The figures of one delivery side by side.

    Attributes:
        title: whose delivery of what.
        batch: id of the batch that it brings, or after which it brings the table.
        declared: what the owner said beforehand, of a batch; may lack figures.
        platform, consumer: rows, added, updated, deleted, digest, each counted by itself.
        state: `agreed` or `differs`.
    """

    title: str
    batch: str
    declared: Mapping[str, Any]
    platform: Mapping[str, Any]
    consumer: Mapping[str, Any]
    state: str


@dataclass
class Memory:
    """Memory of all processes at the moment when they had most together, in MiB.

    Attributes:
        mib: the sum.
        mib_of: by process, largest first.
    """

    mib: int = 0
    mib_of: dict[str, int] = field(default_factory=dict)

    def note(self, bytes_of: Mapping[str, int]) -> None:
        """Keep what is given when it is the most so far."""
        together = sum(bytes_of.values()) >> 20
        if together > self.mib:
            self.mib = together
            by_size = sorted(bytes_of.items(), key=lambda each: -each[1])
            self.mib_of = {name: size >> 20 for name, size in by_size}


@dataclass
class DemoReport:
    """The whole story.

    Attributes:
        rows: published, quarantined, delivered, applied: of the first batch.
        reconciled: both sides agreed on every delivery but the one that was tampered with.
        tamper_detected: the platform raised the alert for that one, and for no other.
        late_joiner_equal: two departments' tables have the same ordered dump.
        denials: refusals of every chapter by reason code.
        statutory: who read what is not shared, by which law, and that others were refused.
        owner_service: which operation was called, what was refused, and what stopping it did.
        memory: of all processes together, when it was most.
    """

    steps: list[Step] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    reconciled: bool = False
    tamper_detected: bool = False
    late_joiner_equal: bool = False
    comparisons: list[Comparison] = field(default_factory=list)
    revocation_ms: float | None = None
    denials: Counter[str] = field(default_factory=Counter)
    evidence: dict[str, Any] = field(default_factory=dict)
    statutory: dict[str, Any] = field(default_factory=dict)
    owner_service: dict[str, Any] = field(default_factory=dict)
    memory: Memory = field(default_factory=Memory)

    @property
    def ok(self) -> bool:
        """Whether every step went as told."""
        return bool(self.steps) and all(step.ok for step in self.steps)

    def write(self, target: Path) -> None:
        """Write `report.json`."""
        body = {
            "ok": self.ok,
            "steps": [asdict(step) for step in self.steps],
            "rows": self.rows,
            "reconciled": self.reconciled,
            "tamper_detected": self.tamper_detected,
            "late_joiner_equal": self.late_joiner_equal,
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
            "revocation_ms": self.revocation_ms,
            "denials": dict(sorted(self.denials.items())),
            "statutory": self.statutory,
            "owner_service": self.owner_service,
            "evidence": self.evidence,
            "memory_mib": self.memory.mib,
            "memory_mib_of": self.memory.mib_of,
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def show(self, console: Console) -> None:
        """Print the steps, then the figures of every delivery side by side."""
        self._show_steps(console)
        if self.comparisons:
            self._show_comparisons(console)

    def _show_steps(self, console: Console) -> None:
        table = Table(title="Three share classes through Datong", show_lines=True)
        for column in ("step", "seconds", "what was seen"):
            table.add_column(column, justify="right" if column == "seconds" else "left")
        for step in self.steps:
            mark = "[green]✓[/green]" if step.ok else "[red]✗[/red]"
            facts = "\n".join(f"{name}: {_short(value)}" for name, value in step.facts.items())
            table.add_row(f"{mark} {step.title}", f"{step.seconds:.1f}", facts)
        console.print(table)

    def _show_comparisons(self, console: Console) -> None:
        table = Table(title="What each side counted by itself")
        table.add_column("delivery")
        for column in ("figure", "owner declared", "platform", "consumer"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        for each in self.comparisons:
            agreed = each.state == "agreed"
            mark = "[green]✓ agreed[/green]" if agreed else "[red]✗ differs: alert[/red]"
            lines = [each.title, mark]
            for index, figure in enumerate(FIGURES):
                cells = [
                    _figure(side.get(figure))
                    for side in (each.declared, each.platform, each.consumer)
                ]
                if each.platform.get(figure) != each.consumer.get(figure):
                    cells[1:] = [f"[red]{cell}[/red]" for cell in cells[1:]]
                table.add_row(lines[index] if index < len(lines) else "", figure, *cells)
            table.add_section()
        console.print(table)


def denials_of(call_log: Path) -> Counter[str]:
    """Count refusals by reason code in a log of calls."""
    counted: Counter[str] = Counter()
    for line in call_log.read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        if event["event"] == "answered" and "code" in event:
            counted[event["code"]] += 1
    return counted


def _figure(value: Any) -> str:
    if value is None:
        return "·"
    return f"{value:,}" if isinstance(value, int) else f"{value[:12]}…"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {count}" for name, count in value.items())
    if isinstance(value, list):
        return ", ".join(str(member) for member in value)
    return str(value)
