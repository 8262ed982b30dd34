"""What a verification found: a verdict, counts, and every problem by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The three ends of a verification (`contracts/package.md` section 3)."""

    VERIFIED = "verified"
    """Authentic and complete."""
    INCOMPLETE = "incomplete"
    """Authentic, but evidence is missing or contradicts itself."""
    REFUSED = "refused"
    """Not authentic, or not a package at all."""


INCOMPLETE_PROBLEMS = frozenset(
    {
        "sequence-gap",
        "sequence-conflict",
        "epoch-begin",
        "epoch-chain",
        "epoch-end",
        "call-unrecorded",
    }
)
"""Problems of an authentic package; every other problem refuses it."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    `what` is permanent and meant for programs: `zip`, `member`, `claims`, `key`, `checkpoint`,
    `tree`, `consistency`, `record`, `sequence-gap`, `sequence-conflict`, `epoch-begin`,
    `epoch-chain`, `epoch-end`, `call-unrecorded`, `call-repeated`, `call-contradicted`, `call-log`.
    `index` is a leaf index of the log.
    """

    what: str
    detail: str
    index: int | None = None
    record: str | None = None
    instance: str | None = None
    epoch: str | None = None
    sequence: int | None = None
    call: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The problem without the fields that it has not."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass
class CallCounts:
    """How the callers' logs were joined with the records."""

    total: int = 0
    answered: int = 0
    matched: int = 0
    """Answered calls with exactly one terminal record that says the same."""
    unseen: int = 0
    """Calls whose outcome the client never saw."""
    unseen_recorded: int = 0
    """Of these, calls that have their one terminal record."""
    uncertified: int = 0
    """Answered calls that owe no record: without a certificate that the platform accepts, or
    refused because evidence could not be written."""
    later: int = 0
    """Calls without record that came too late for this very package, or outside of its
    selection."""


@dataclass
class Report:
    """The outcome of one verification."""

    package: str
    origin: str | None = None
    size: int | None = None
    root: str | None = None
    selection: str | None = None
    noted: list[int] = field(default_factory=list)
    """Sizes of the auditor's own checkpoints that were compared."""
    records: int = 0
    verified: int = 0
    """Records proved to be in the signed tree and well formed."""
    epochs: int = 0
    open: int = 0
    """Gateway epochs that have neither an end record nor a successor."""
    gaps: int = 0
    """Missing sequence numbers."""
    conflicts: int = 0
    types: dict[str, int] = field(default_factory=dict)
    calls: CallCounts | None = None
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Observations that are no error, such as open epochs."""

    @property
    def verdict(self) -> Verdict:
        """The worst that any problem stands for."""
        if not self.problems:
            return Verdict.VERIFIED
        if all(problem.what in INCOMPLETE_PROBLEMS for problem in self.problems):
            return Verdict.INCOMPLETE
        return Verdict.REFUSED

    @property
    def ok(self) -> bool:
        """True when everything was proved."""
        return self.verdict is Verdict.VERIFIED

    def as_json(self) -> dict[str, Any]:
        """The report for programs; `ok` and `verdict` come first."""
        result: dict[str, Any] = {"ok": self.ok, "verdict": self.verdict.value}
        result.update(asdict(self))
        result["problems"] = [problem.as_json() for problem in self.problems]
        return result
