"""Verifies an evidence package offline: `verify` is the whole of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from datong.verifier import merkle, notes, strict, tiles
from datong.verifier.calls import CallJoin, CallLogRefused
from datong.verifier.epochs import Epochs
from datong.verifier.package import Package, PackageRefused, Slice
from datong.verifier.records import read_record
from datong.verifier.report import Problem, Report

_MAX_LISTED = 100


def verify(
    package: Path,
    *,
    vkey: str,
    checkpoints: Sequence[bytes],
    call_logs: Iterable[Path] = (),
) -> Report:
    """Prove what `package` holds, with nothing but the auditor's own notes.

    Never raises for what is wrong with the package: every problem is in the report.

    Args:
        package: the file (`contracts/package.md`).
        vkey: the log's verifier key, as the auditor noted it.
        checkpoints: signed checkpoints that the auditor kept, in any order; at least one.
        call_logs: NDJSON logs of clients, joined on call ids.
    """
    report = Report(package=package.name)
    join = CallJoin()
    try:
        key = notes.LogKey.from_vkey(vkey)
    except notes.NoteRefused as error:
        report.problems.append(Problem("key", f"the noted key is malformed: {error}"))
        return report
    noted = _noted(checkpoints, key, report)
    try:
        for path in call_logs:
            join.load(path)
        with Package(package) as opened:
            _Verification(opened, key, noted, join, report).run(_sha256(package))
    except PackageRefused as error:
        report.problems.append(Problem(error.what, str(error)))
    except CallLogRefused as error:
        report.problems.append(Problem("call-log", str(error)))
    return report


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _noted(
    checkpoints: Sequence[bytes], key: notes.LogKey, report: Report
) -> dict[int, notes.Checkpoint]:
    """The auditor's own checkpoints by size; two of one size must agree."""
    noted: dict[int, notes.Checkpoint] = {}
    if not checkpoints:
        report.problems.append(Problem("checkpoint", "no checkpoint of your own was given"))
    for note in checkpoints:
        try:
            checkpoint = notes.open_checkpoint(note, key)
            notes.require_agreement(noted.setdefault(checkpoint.size, checkpoint), checkpoint)
        except notes.NoteRefused as error:
            report.problems.append(Problem("checkpoint", f"a checkpoint that you kept: {error}"))
    report.noted = sorted(noted)
    if report.noted == [0]:
        report.notes.append(
            "your only checkpoint is of the empty log: it proves nothing about the past"
        )
    return noted


class _Verification:
    """One pass over the package."""

    def __init__(
        self,
        package: Package,
        key: notes.LogKey,
        noted: Mapping[int, notes.Checkpoint],
        join: CallJoin,
        report: Report,
    ) -> None:
        self._package = package
        self._key = key
        self._noted = noted
        self._join = join
        self._report = report
        self._tree = merkle.GrowingTree()
        self._roots: dict[int, bytes] = {0: merkle.EMPTY_ROOT}
        self._epochs = Epochs()
        self._types: Counter[str] = Counter()
        self._malformed = 0
        self._is_tree_whole = True
        self._shown: list[int] = []
        self._signed: notes.Checkpoint | None = None

    def run(self, package_sha256: str) -> None:
        claims = self._package.claims
        size = self._open_checkpoint()
        self._report.selection = claims.selection
        self._package.require_members(size)
        for piece in self._package.slices(size):
            if isinstance(piece, Slice):
                self._take(piece)
            else:
                self._is_tree_whole = False
                self._report.problems.append(Problem(piece.what, str(piece)))
        is_authentic = self._check_roots(size)
        self._check_selection()
        self._epochs.check(
            self._report, is_cut_before=claims.first > 0, is_cut_after=claims.last < size
        )
        self._join.check(self._report, package_sha256=package_sha256, is_whole=claims.whole)
        self._report.types = dict(sorted(self._types.items()))
        self._report.verified = self._report.records - self._malformed if is_authentic else 0

    def _open_checkpoint(self) -> int:
        """The size that the log signed, or the one that is claimed when nothing is signed."""
        claims, report = self._package.claims, self._report
        report.origin, report.size = claims.origin, claims.size
        try:
            checkpoint = notes.open_checkpoint(self._package.checkpoint(), self._key)
        except notes.NoteRefused as error:
            report.problems.append(
                Problem("checkpoint", f"not signed by the key that you noted: {error}")
            )
            return claims.size
        report.origin, report.size = checkpoint.origin, checkpoint.size
        report.root = checkpoint.root.hex()
        self._signed = checkpoint
        if (claims.origin, claims.size) != (checkpoint.origin, checkpoint.size):
            report.problems.append(
                Problem("claims", "package.json and the signed checkpoint name different logs")
            )
        return checkpoint.size

    def _take(self, piece: Slice) -> None:
        if piece.records is None:
            for leaf in piece.hashes:
                self._grow(leaf)
            return
        if len(piece.records) != piece.width:
            self._is_tree_whole = False
            self._report.problems.append(
                Problem(
                    "member",
                    f"{piece.path} holds {len(piece.records)} records instead of {piece.width}: "
                    f"records {piece.first} to {piece.first + piece.width - 1} are not as signed",
                    index=piece.first,
                )
            )
        self._shown.append(piece.first // tiles.TILE_WIDTH)
        for index, data in enumerate(piece.records, start=piece.first):
            self._grow(merkle.leaf_hash(data))
            self._read(index, data)

    def _grow(self, leaf: bytes) -> None:
        self._tree.add(leaf)
        if self._is_tree_whole and self._tree.size in self._noted:
            self._roots[self._tree.size] = self._tree.root()

    def _read(self, index: int, data: bytes) -> None:
        self._report.records += 1
        try:
            record = read_record(data)
        except strict.NotStrict as error:
            self._malformed += 1
            if self._malformed <= _MAX_LISTED:
                self._report.problems.append(
                    Problem("record", f"record {index}: {error}", index=index)
                )
            return
        self._types[record["type"]] += 1
        conflict = self._epochs.add(index, record)
        if conflict is not None:
            self._report.conflicts += 1
            self._report.problems.append(conflict)
        self._join.add(index, record)

    def _check_roots(self, size: int) -> bool:
        """Compare with the signed root and with every checkpoint that the auditor kept."""
        is_consistent = self._check_noted(size)
        signed = self._signed
        if signed is None:
            return False
        if not self._is_tree_whole:
            self._tree_problem("not every leaf of the signed tree is in the package", size)
        elif self._tree.root() != signed.root:
            self._tree_problem(
                f"the {size} leaves have the root {self._tree.root().hex()}, but the log signed "
                f"{signed.root.hex()}: a record was changed, left out or added",
                size,
            )
        else:
            return is_consistent and signed.size == self._tree.size
        return False

    def _tree_problem(self, detail: str, size: int) -> None:
        """Narrow the damage down to what lies between two kept checkpoints."""
        good = [mark for mark in self._noted if self._roots.get(mark) == self._noted[mark].root]
        bad = [
            mark
            for mark in self._noted
            if mark in self._roots and self._roots[mark] != self._noted[mark].root
        ]
        low, high = max(good, default=0), min(bad, default=size)
        where = f" (between records {low} and {high - 1})" if high > low else ""
        self._report.problems.append(Problem("tree", detail + where, index=low))

    def _check_selection(self) -> None:
        """The records shown must be one unbroken range, the one that the package names."""
        claims = self._package.claims
        width = tiles.TILE_WIDTH
        claimed = list(range(claims.first // width, -(-claims.last // width)))
        if self._shown != claimed and self._is_tree_whole:
            self._report.problems.append(
                Problem(
                    "claims",
                    f"package.json names the records {claims.first} to {claims.last - 1}, "
                    "but the package shows others",
                )
            )

    def _check_noted(self, size: int) -> bool:
        found = len(self._report.problems)
        for mark in sorted(self._noted):
            if mark > size:
                self._consistency(
                    f"you kept a checkpoint of {mark} records, but the package shows only {size}: "
                    "an older or a truncated log",
                    size,
                )
            elif mark in self._roots and self._roots[mark] != self._noted[mark].root:
                self._consistency(
                    f"the first {mark} records have the root {self._roots[mark].hex()}, but the "
                    f"checkpoint that you kept says {self._noted[mark].root.hex()}: "
                    "the past was rewritten",
                    mark,
                )
                break  # every later one differs as well
        return len(self._report.problems) == found

    def _consistency(self, detail: str, index: int) -> None:
        self._report.problems.append(Problem("consistency", detail, index=index))
