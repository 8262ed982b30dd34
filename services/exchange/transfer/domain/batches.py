"""Batches: one publication by the owner, from its opening to its end."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from kit.errors import FactValue
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.entries import Entry, Layout

MAX_CHUNK_BYTES: Final = 16 << 20
MAX_CHUNKS: Final = 100_000
MAX_OPEN: Final = 100
"""Batches of one entry that may be open at once."""
MAX_QUARANTINE_LIMIT: Final = 10_000
MAX_LISTED_FAULTS: Final = 10_000
"""Faults of a batch that are kept and listed."""


class BatchMode(StrEnum):
    """What a batch is: the whole table, or what changes in it."""

    SNAPSHOT = "snapshot"
    CHANGES = "changes"


class BatchState(StrEnum):
    """Where a batch stands. From `open` it is sealed or abandoned; sealed, it ends by itself."""

    OPEN = "open"
    SEALED = "sealed"
    EFFECTIVE = "effective"
    REFUSED = "refused"
    ABANDONED = "abandoned"

    @property
    def final(self) -> bool:
        """Whether nothing comes after it."""
        return self not in (BatchState.OPEN, BatchState.SEALED)


@dataclass(frozen=True, slots=True)
class Effects:
    """How many rows a batch added, updated and deleted, and how many it sent as they were."""

    added: int
    updated: int
    deleted: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Declared:
    """What the owner expects of a batch; None is not compared.

    Attributes:
        rows: that are sent, those that go to quarantine included.
        added, updated, deleted: what they do to the table.
        digest: of the whole table afterwards (`contracts/rows.md`).
    """

    rows: int | None = None
    added: int | None = None
    updated: int | None = None
    deleted: int | None = None
    digest: str | None = None

    def as_json(self) -> dict[str, int | str]:
        """Return what was declared, by name."""
        return {
            name: value
            for name in ("rows", "added", "updated", "deleted", "digest")
            if (value := getattr(self, name)) is not None
        }

    def differences(self, found: Mapping[str, int | str]) -> dict[str, FactValue]:
        """Return `declared_…` and `found_…` of every figure that was found to be another one."""
        facts: dict[str, FactValue] = {}
        for name, value in self.as_json().items():
            if name in found and found[name] != value:
                facts[f"declared_{name}"] = value
                facts[f"found_{name}"] = found[name]
        return facts


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a batch was refused whole."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Batch:
    """One publication by the owner.

    Attributes:
        layout: its chunks are checked by; that of the entry when it was opened.
        chunks, rows, quarantined: what has arrived: chunks, rows that were taken, rows that were
            not.
        version: of the dataset, that it made.
        table: rows and digest of the whole table then.
    """

    id: str
    resource: str
    entry: str
    entry_version: int
    agency: str
    layout: Layout
    mode: BatchMode
    state: BatchState
    declared: Declared | None
    quarantine_limit: int
    opened_by: str
    opened_at: datetime
    sealed_at: datetime | None = None
    finished_at: datetime | None = None
    chunks: int = 0
    rows: int = 0
    quarantined: int = 0
    effects: Effects | None = None
    version: int | None = None
    table: tuple[int, str] | None = None
    refusal: Refusal | None = None

    @property
    def changes(self) -> bool:
        """Whether rows carry operations."""
        return self.mode is BatchMode.CHANGES


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a batch.

    Attributes:
        digest: SHA-256 of its body, hex.
        bytes: of its body.
        rows, quarantined: that were taken, and not.
        object: name of the object that holds the rows that were taken.
    """

    number: int
    digest: str
    bytes: int
    rows: int
    quarantined: int
    object: str


@dataclass(frozen=True, slots=True)
class QuarantinedFault:
    """One fault of a row that was not taken.

    Attributes:
        row: counts from 1 in its chunk.
        item: None when the fault is of the whole row.
    """

    chunk: int
    row: int
    item: str | None
    rule: str
    detail: str


def require_room(entry: Entry, opened: int) -> None:
    """Check that another batch may be opened beside the `opened` ones.

    Raises:
        TooManyOpenBatches: it may not.
    """
    if opened >= MAX_OPEN:
        raise refusals.TooManyOpenBatches(
            f"The entry has {opened} open batches; it may have {MAX_OPEN}.",
            facts={"resource": entry.resource, "open": opened, "most": MAX_OPEN},
        )


def same_table(one: Layout, other: Layout) -> bool:
    """Tell whether rows of both layouts lie in the same table: columns, key and filters are equal.

    Rules of values do not matter, nor does the order of items.
    """
    return _columns(one) == _columns(other)


def _columns(layout: Layout) -> dict[str, tuple[str, bool, bool, bool]]:
    return {
        item.name: (item.type.value, item.required, item.key, item.filterable)
        for item in layout.items
    }


def require_openable(entry: Entry, mode: BatchMode, dataset: Layout | None) -> None:
    """Check that a batch can be opened for `entry`, whose rows lie by the layout `dataset`.

    Raises:
        EntryWithoutKey, LayoutChanged: as their names say.
    """
    if not entry.layout.key:
        raise refusals.EntryWithoutKey(
            "No item of the entry is marked as its key.",
            facts={"entry": entry.id, "entry_version": entry.version},
        )
    if mode is BatchMode.CHANGES and dataset is not None:
        require_table(entry.layout, dataset)


def require_table(layout: Layout, dataset: Layout) -> None:
    """Check that changes by `layout` fit rows that lie by `dataset`.

    Raises:
        LayoutChanged: with the names of the items that differ.
    """
    if not same_table(layout, dataset):
        ours, theirs = _columns(layout), _columns(dataset)
        names = sorted(n for n in {*ours, *theirs} if ours.get(n) != theirs.get(n))
        raise refusals.LayoutChanged(
            "Items of the entry changed since the last batch; the next one is a snapshot.",
            facts={"items": names},
        )


def require_unchanged(entry: Entry, batch: Batch) -> None:
    """Check that a batch still belongs to the items of its entry.

    Raises:
        EntryChanged: as its name says.
    """
    if entry.id != batch.entry or entry.layout != batch.layout:
        raise entry_changed(batch)


def entry_changed(batch: Batch) -> refusals.EntryChanged:
    """Return the refusal of a batch whose entry has other items now."""
    return refusals.EntryChanged(
        "The items of the entry are others than when the batch was opened.",
        facts={
            "batch": batch.id,
            "entry": batch.entry,
            "entry_version": batch.entry_version,
        },
    )


def require_open(batch: Batch) -> None:
    """Check that a batch still takes chunks.

    Raises:
        BatchNotOpen: as its name says.
    """
    if batch.state is not BatchState.OPEN:
        raise refusals.BatchNotOpen(
            f"The batch {batch.id} is {batch.state.value}.",
            facts={"batch": batch.id, "state": batch.state.value},
        )


def require_chunks(batch: Batch, chunks: int, missing: list[int], beyond: int | None) -> None:
    """Check that a batch has the chunks 0 to `chunks` − 1, no others, and the declared rows.

    Args:
        missing: numbers of some chunks that are not there, in order.
        beyond: number of a chunk that is there although it should not.

    Raises:
        ChunkMissing, BodyInvalid, CountsDiffer: as their names say.
    """
    if missing:
        raise refusals.ChunkMissing(
            f"The chunk {missing[0]} has not arrived.",
            facts={"batch": batch.id, "chunks": chunks, "missing": list(map(str, missing))},
        )
    if beyond is not None:
        raise refusals.BodyInvalid(
            f"The batch has a chunk {beyond}: it has more chunks than that.",
            pointer="/chunks",
            facts={"batch": batch.id, "chunks": batch.chunks},
        )
    if batch.declared is not None:
        sent = batch.rows + batch.quarantined
        differences = batch.declared.differences({"rows": sent})
        if differences:
            raise refusals.CountsDiffer(
                f"{batch.declared.rows} rows were declared, {sent} arrived.",
                facts={"batch": batch.id, **differences},
            )


def refusal_of_faults(batch: Batch, quarantined: int) -> Refusal | None:
    """Return the refusal of a batch with too many rows in quarantine, or None."""
    if quarantined <= batch.quarantine_limit:
        return None
    return Refusal(
        "too-many-faults",
        f"{quarantined} rows are in quarantine, {batch.quarantine_limit} are the limit.",
    )


def refusal_of_counts(batch: Batch, found: Mapping[str, int | str]) -> Refusal | None:
    """Return the refusal of a batch that did something else than was declared, or None."""
    declared = (batch.declared or Declared()).as_json()
    differing = [name for name in declared if name in found and declared[name] != found[name]]
    if not differing:
        return None
    figures = ", ".join(f"{name}: {declared[name]} and {found[name]}" for name in differing)
    return Refusal("counts-differ", f"Declared and found differ: {figures}.")
