"""Bookkeeping of sequences: what was taken in once, what is missing, what is told two ways.

A source of evidence (*instance*) numbers its records densely within an *epoch*: gateways from 0
(the `epoch` record), facts and alarms from 1, with the incarnation as the epoch. The log keeps
arrival order, so a number may arrive late: it then fills a hole. Gaps never block.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

DIGEST_BYTES: Final = 16
"""Bytes of a leaf hash that are remembered to recognise other bytes under a known number."""

WINDOW: Final = 65_536
"""Numbers per epoch whose digests are remembered; older ones are looked up in the log."""

MAX_OLDER: Final = 500_000
"""Digests of one epoch that are kept at once after they were loaded from the log."""

MAX_SEQUENCE: Final = 2**53 - 1

CLOSED_EARLY: Final = -1
"""Stands for the leaf of an `opened` record that has not come yet."""

Key = tuple[str, str]
"""Instance and epoch."""


class Arrival(StrEnum):
    """What a record that arrives is, compared with what the log has."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    REPEATED_CONFLICT = "repeated-conflict"
    UNKNOWN = "unknown"
    """The number is in the log, but its digest is not remembered: load it, then ask again."""


def first_sequence(epoch: str) -> int:
    """Return the first number of an epoch: 1 when it is an incarnation (decimal), else 0."""
    return 1 if epoch.isdecimal() else 0


@dataclass(slots=True)
class Epoch:
    """One epoch of one instance, as far as the log has it.

    Attributes:
        last: highest number in the log; one below the first when there is none.
        missing: holes below `last`, as [from, to] pairs, ascending.
        expected: last number according to the epoch that followed, when it has spoken.
        ended: an `end` record is in the log.
        first_leaf, last_leaf: leaf indexes between which the epoch's records lie.
        last_at: time of the record with the highest number (RFC 3339).
        conflicts: numbers for which the log holds other bytes too: (number, hex of the digest).
        opened: leaf of each `opened` record that nothing has closed, by the id of what will;
            `CLOSED_EARLY` for one that is missing, though what closes it is there.
    """

    instance: str
    epoch: str
    last: int
    missing: list[tuple[int, int]] = field(default_factory=list)
    expected: int | None = None
    ended: bool = False
    first_leaf: int = 0
    last_leaf: int = 0
    last_at: str = ""
    conflicts: set[tuple[int, str]] = field(default_factory=set)
    opened: dict[str, int] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Tell whether no further record can come: it is over, and nothing is missing."""
        return not self.is_open and not self.gaps

    @property
    def accepted(self) -> int:
        """Return the number up to and including which nothing is missing."""
        return self.missing[0][0] - 1 if self.missing else self.last

    @property
    def gaps(self) -> list[tuple[int, int]]:
        """Return all holes, with the tail that a later epoch says existed."""
        if self.expected is not None and self.expected > self.last:
            return [*self.missing, (self.last + 1, self.expected)]
        return list(self.missing)

    @property
    def is_open(self) -> bool:
        """Tell whether the epoch neither ended nor was followed by another one."""
        return not self.ended and self.expected is None

    def holds(self, sequence: int) -> bool:
        """Tell whether the log has this number."""
        return first_sequence(self.epoch) <= sequence <= self.last and not any(
            low <= sequence <= high for low, high in self.missing
        )

    def add(self, sequence: int) -> None:
        """Enter a number that the log did not have."""
        if sequence > self.last:
            if sequence > self.last + 1:
                self.missing.append((self.last + 1, sequence - 1))
            self.last = sequence
            return
        for at, (low, high) in enumerate(self.missing):
            if low <= sequence <= high:
                rest = [(low, sequence - 1), (sequence + 1, high)]
                self.missing[at : at + 1] = [(a, b) for a, b in rest if a <= b]
                return

    def copy(self) -> "Epoch":
        """Return a copy that later entries do not change."""
        return replace(
            self,
            missing=list(self.missing),
            conflicts=set(self.conflicts),
            opened=dict(self.opened),
        )

    def as_data(self) -> dict[str, Any]:
        """Return the JSON form that commits hold; defaults are left out."""
        data: dict[str, Any] = {
            "instance": self.instance,
            "epoch": self.epoch,
            "last": self.last,
            "first_leaf": self.first_leaf,
            "last_leaf": self.last_leaf,
            "last_at": self.last_at,
        }
        if self.missing:
            data["missing"] = [list(pair) for pair in self.missing]
        if self.expected is not None:
            data["expected"] = self.expected
        if self.ended:
            data["ended"] = True
        if self.conflicts:
            data["conflicts"] = [list(pair) for pair in sorted(self.conflicts)]
        if self.opened:
            data["opened"] = dict(self.opened)
        return data

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> "Epoch":
        """Return the epoch that `as_data` wrote."""
        return cls(
            instance=data["instance"],
            epoch=data["epoch"],
            last=data["last"],
            missing=[(low, high) for low, high in data.get("missing", ())],
            expected=data.get("expected"),
            ended=data.get("ended", False),
            first_leaf=data["first_leaf"],
            last_leaf=data["last_leaf"],
            last_at=data["last_at"],
            conflicts={(number, digest) for number, digest in data.get("conflicts", ())},
            opened=dict(data.get("opened", {})),
        )


class Digests:
    """Digests by sequence of one epoch: a dense array over the newest `WINDOW` numbers."""

    def __init__(self) -> None:
        self._start = 0
        self._row = bytearray()
        self._older: dict[int, bytes] = {}

    def put(self, sequence: int, digest: bytes) -> None:
        """Remember the digest of a number; what falls out of the window is forgotten."""
        at = sequence - self._start
        if not self._row or at - len(self._row) // DIGEST_BYTES > WINDOW:
            self._start, self._row, at = sequence, bytearray(), 0
        if at < 0:
            if len(self._older) >= MAX_OLDER:
                self._older.clear()
            self._older[sequence] = digest
            return
        end = (at + 1) * DIGEST_BYTES
        if end > len(self._row):
            self._row.extend(bytes(end - len(self._row)))
        self._row[end - DIGEST_BYTES : end] = digest
        if len(self._row) > 2 * WINDOW * DIGEST_BYTES:
            del self._row[: WINDOW * DIGEST_BYTES]
            self._start += WINDOW

    def get(self, sequence: int) -> bytes | None:
        """Return the digest of a number, or None when it is not remembered."""
        at = (sequence - self._start) * DIGEST_BYTES
        if 0 <= at < len(self._row):
            found = bytes(self._row[at : at + DIGEST_BYTES])
            if any(found):
                return found
        return self._older.get(sequence)


class Ledger:
    """All epochs, with those that changed since the last commit."""

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self.epochs: dict[Key, Epoch] = {(e.instance, e.epoch): e for e in epochs}
        self.changed: set[Key] = set()
        self._digests: dict[Key, Digests] = {}

    def digests(self, key: Key) -> Digests:
        """Return the remembered digests of an epoch."""
        found = self._digests.get(key)
        if found is None:
            found = self._digests[key] = Digests()
        return found

    def arrival(self, key: Key, sequence: int, digest: bytes) -> Arrival:
        """Say what a record with this number and digest is. Nothing is entered."""
        epoch = self.epochs.get(key)
        if epoch is None or sequence > epoch.last or not epoch.holds(sequence):
            return Arrival.NEW
        known = self.digests(key).get(sequence)
        if known is None:
            return Arrival.UNKNOWN
        if known == digest:
            return Arrival.DUPLICATE
        if (sequence, digest.hex()) in epoch.conflicts:
            return Arrival.REPEATED_CONFLICT
        return Arrival.CONFLICT

    def enter(self, key: Key, sequence: int, digest: bytes, leaf: int, at: str) -> Epoch:
        """Enter a new record that lies at `leaf`; return its epoch."""
        epoch = self._epoch(key, leaf)
        if sequence > epoch.last:
            epoch.last_at = at
        epoch.add(sequence)
        epoch.last_leaf = max(epoch.last_leaf, leaf)
        self.digests(key).put(sequence, digest)
        self.changed.add(key)
        return epoch

    def enter_conflict(self, key: Key, sequence: int, digest: bytes, leaf: int) -> None:
        """Enter other bytes for a number that the log has; they lie at `leaf`."""
        epoch = self.epochs[key]
        epoch.conflicts.add((sequence, digest.hex()))
        epoch.last_leaf = max(epoch.last_leaf, leaf)
        self.changed.add(key)

    def follow(self, key: Key, previous_epoch: str, previous_sequence: int, leaf: int) -> None:
        """Enter that the epoch `key` names its predecessor and that one's last number."""
        previous = (key[0], previous_epoch)
        if previous == key:
            return
        epoch = self._epoch(previous, leaf)
        epoch.expected = max(previous_sequence, epoch.expected or 0)
        self.changed.add(previous)

    def end(self, key: Key) -> None:
        """Enter that an epoch has its end record."""
        self.epochs[key].ended = True
        self.changed.add(key)

    def open(self, key: Key, closing: str, leaf: int) -> None:
        """Enter that an answer was opened at `leaf`, which the record `closing` will close."""
        opened = self.epochs[key].opened
        if opened.pop(closing, None) is None:
            opened[closing] = leaf
        self.changed.add(key)

    def close(self, key: Key, closing: str) -> None:
        """Enter that the record `closing` has closed what was opened, or what is still to come."""
        opened = self.epochs[key].opened
        if opened.pop(closing, None) is None:
            opened[closing] = CLOSED_EARLY
        self.changed.add(key)

    def give_up(self, key: Key) -> dict[str, int]:
        """Forget what is open in an epoch; return the leaves by the ids of what would close it."""
        epoch = self.epochs[key]
        opened, epoch.opened = epoch.opened, {}
        if opened:
            self.changed.add(key)
        return {closing: leaf for closing, leaf in opened.items() if leaf != CLOSED_EARLY}

    def before(self, key: Key) -> list[Key]:
        """Return the epochs of the same instance that began earlier and left something open."""
        instance, name = key
        return [
            each
            for each, epoch in sorted(self.epochs.items())
            if each[0] == instance and each[1] < name and epoch.opened
        ]

    def _epoch(self, key: Key, leaf: int) -> Epoch:
        epoch = self.epochs.get(key)
        if epoch is None:
            instance, name = key
            epoch = Epoch(instance, name, first_sequence(name) - 1)
            epoch.first_leaf = epoch.last_leaf = leaf
            self.epochs[key] = epoch
        return epoch

    def take_changed(self, *, all_of_them: bool = False) -> tuple[Epoch, ...]:
        """Return copies of the epochs that changed since the last call, in key order, or of all."""
        changed = sorted(self.epochs if all_of_them else self.changed)
        self.changed = set()
        return tuple(self.epochs[key].copy() for key in changed)
