"""Completeness of epochs (`contracts/package.md` section 3.6): no hole, no second story."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from datong.verifier.report import Problem, Report

MAX_GAPS_LISTED = 100
"""A log with more holes than this is broken; the count goes on, the list does not."""


@dataclass
class Epoch:
    """What the package holds of one (instance, epoch)."""

    instance: str
    epoch: str
    indexes: dict[int, int] = field(default_factory=dict)
    """Leaf index by sequence number."""
    begin: dict[str, Any] | None = None
    ends: list[int] = field(default_factory=list)
    last_at: str = ""

    @property
    def is_counted_by_relay(self) -> bool:
        """Facts and alarms: the epoch is an incarnation, a decimal number, and begins at 1."""
        return self.epoch.isascii() and self.epoch.isdigit()

    @property
    def lowest(self) -> int:
        """First sequence number present."""
        return min(self.indexes)

    @property
    def highest(self) -> int:
        """Last sequence number present."""
        return max(self.indexes)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Missing sequence numbers between the lowest and the highest, as (from, to) inclusive."""
        previous: int | None = None
        for sequence in sorted(self.indexes):
            if previous is not None and sequence > previous + 1:
                yield previous + 1, sequence - 1
            previous = sequence


class Epochs:
    """Collects records in log order, then checks every epoch."""

    def __init__(self) -> None:
        """Begin with no epoch."""
        self._epochs: dict[tuple[str, str], Epoch] = {}

    def add(self, index: int, record: dict[str, Any]) -> Problem | None:
        """Take one well-formed record; a second one of the same triple is a conflict."""
        instance, name, sequence = record["instance"], record["epoch"], record["sequence"]
        epoch = self._epochs.get((instance, name))
        if epoch is None:
            epoch = self._epochs[instance, name] = Epoch(instance, name)
        earlier = epoch.indexes.setdefault(sequence, index)
        if earlier != index:
            return Problem(
                "sequence-conflict",
                f"records {earlier} and {index} both claim sequence {sequence}",
                index=index,
                record=record["record"],
                instance=instance,
                epoch=name,
                sequence=sequence,
            )
        if record["type"] == "epoch":
            epoch.begin = record
        elif record["type"] == "end":
            epoch.ends.append(sequence)
        epoch.last_at = max(epoch.last_at, record["at"])
        return None

    def check(self, report: Report, *, is_cut_before: bool, is_cut_after: bool) -> None:
        """Write counts, problems and notes into `report`.

        Args:
            is_cut_before: the package begins after the first record of the log, so epochs may too.
            is_cut_after: it ends before the last one, so epochs may go on.
        """
        report.epochs = len(self._epochs)
        followed = self._successors()
        for epoch in self._epochs.values():
            self._check_holes(epoch, report)
            self._check_begin(epoch, report, is_cut=is_cut_before)
            self._check_chain(epoch, report, is_cut=is_cut_before)
            is_followed = is_cut_after or (epoch.instance, epoch.epoch) in followed
            self._check_end(epoch, report, is_followed=is_followed)
        self._note_beginnings(report)

    def _successors(self) -> set[tuple[str, str]]:
        return {
            (epoch.instance, str(epoch.begin["previous_epoch"]))
            for epoch in self._epochs.values()
            if epoch.begin is not None and "previous_epoch" in epoch.begin
        }

    @staticmethod
    def _check_holes(epoch: Epoch, report: Report) -> None:
        for low, high in epoch.holes():
            report.gaps += high - low + 1
            if sum(problem.what == "sequence-gap" for problem in report.problems) < MAX_GAPS_LISTED:
                numbers = f"sequence {low}" if low == high else f"sequences {low} to {high}"
                report.problems.append(
                    Problem(
                        "sequence-gap",
                        f"{numbers} missing: evidence was lost or left out",
                        instance=epoch.instance,
                        epoch=epoch.epoch,
                        sequence=low,
                    )
                )

    @staticmethod
    def _check_begin(epoch: Epoch, report: Report, *, is_cut: bool) -> None:
        first = 1 if epoch.is_counted_by_relay else 0
        lowest = epoch.lowest
        is_begun = lowest == first and (epoch.is_counted_by_relay or epoch.begin is not None)
        if is_begun or (is_cut and lowest > first):
            return
        if lowest > first:
            report.gaps += lowest - first
        report.problems.append(
            Problem(
                "epoch-begin",
                f"begins with sequence {lowest} in record {epoch.indexes[lowest]}, not with "
                + (f"sequence {first}" if epoch.is_counted_by_relay else "its epoch record 0"),
                index=epoch.indexes[lowest],
                instance=epoch.instance,
                epoch=epoch.epoch,
                sequence=lowest,
            )
        )

    def _check_chain(self, epoch: Epoch, report: Report, *, is_cut: bool) -> None:
        if epoch.begin is None or "previous_epoch" not in epoch.begin:
            return
        name = epoch.begin["previous_epoch"]
        expected = epoch.begin.get("previous_sequence")
        previous = self._epochs.get((epoch.instance, name)) if isinstance(name, str) else None
        if previous is None and is_cut:
            return
        found = None if previous is None else previous.highest
        if found == expected:
            return
        if found is not None and isinstance(expected, int) and found < expected:
            report.gaps += expected - found
        report.problems.append(
            Problem(
                "epoch-chain",
                f"its predecessor {name} should end with sequence {expected}, "
                + ("but is absent" if found is None else f"but ends with {found}"),
                index=epoch.indexes[epoch.lowest],
                instance=epoch.instance,
                epoch=epoch.epoch,
            )
        )

    @staticmethod
    def _check_end(epoch: Epoch, report: Report, *, is_followed: bool) -> None:
        early = [sequence for sequence in epoch.ends if sequence != epoch.highest]
        if early:
            report.problems.append(
                Problem(
                    "epoch-end",
                    f"its end record is sequence {early[0]}, but {epoch.highest} came after it",
                    index=epoch.indexes[early[0]],
                    instance=epoch.instance,
                    epoch=epoch.epoch,
                    sequence=early[0],
                )
            )
        elif not epoch.ends and not is_followed and not epoch.is_counted_by_relay:
            report.open += 1
            report.notes.append(
                f"epoch {epoch.epoch} of {epoch.instance} is open: last sequence {epoch.highest} "
                f"at {epoch.last_at}"
            )

    def _note_beginnings(self, report: Report) -> None:
        starts: dict[str, int] = defaultdict(int)
        for epoch in self._epochs.values():
            if epoch.begin is not None and "previous_epoch" not in epoch.begin:
                starts[epoch.instance] += 1
        report.notes.extend(
            f"instance {instance} began {count} times without a predecessor: "
            "its volume was new or emptied"
            for instance, count in starts.items()
            if count > 1
        )
