"""What applying files did, section by section."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from datong.applying.problems import MAX_KEPT, Place, Problem
from datong.applying.sections import SECTIONS


class Outcome(StrEnum):
    """What became of one stated object."""

    THERE = "there"
    """It was there as stated."""
    MADE = "made"
    """It was missing, whole or in part, and is there now."""
    DIFFERS = "differs"
    """It is there in another way; nothing was changed."""
    FAILED = "failed"
    """The platform refused it."""


@dataclass
class Count:
    """Objects of one section by outcome."""

    stated: int = 0
    there: int = 0
    made: int = 0
    differs: int = 0
    failed: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count one."""
        setattr(self, outcome.value, getattr(self, outcome.value) + 1)


@dataclass
class Report:
    """Everything that was done; texts of at most a thousand objects."""

    sections: dict[str, Count] = field(default_factory=lambda: {name: Count() for name in SECTIONS})
    differences: list[Problem] = field(default_factory=list)
    failures: list[Problem] = field(default_factory=list)
    seconds: float = 0.0
    _earlier: dict[str, int] = field(default_factory=dict)

    def note(self, section: str, place: Place, outcome: Outcome, detail: str = "") -> None:
        """Take the outcome of one object."""
        if outcome is Outcome.THERE and self._earlier.get(section, 0) > 0:
            self._earlier[section] -= 1  # made by this run, before it began again
            return
        self.sections[section].add(outcome)
        kept = {Outcome.DIFFERS: self.differences, Outcome.FAILED: self.failures}.get(outcome)
        if kept is not None and len(kept) < MAX_KEPT:
            kept.append(Problem(place, detail))

    def begin_again(self) -> None:
        """Keep what was made, and forget all else: another pass looks at every object again."""
        for name, count in self.sections.items():
            self._earlier[name] = count.made
            count.there = count.differs = count.failed = 0
        self.differences.clear()
        self.failures.clear()

    def total(self, outcome: Outcome) -> int:
        """Objects of all sections with this outcome."""
        return sum(getattr(count, outcome.value) for count in self.sections.values())

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "sections": {name: asdict(count) for name, count in self.sections.items()},
            "changed": self.total(Outcome.MADE) > 0,
            "seconds": round(self.seconds, 3),
            "differences": described(self.differences),
            "failures": described(self.failures),
        }


def described(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems for programs."""
    return [
        {"file": each.place.file, "line": each.place.line, "detail": each.detail}
        for each in problems
    ]
