"""Sealing: a batch becomes effective whole, or is refused whole, in one transaction.

The worker's event loop stays free: everything that takes time runs in the database or in a
thread. Rows pass in pieces, so that memory does not depend on their number.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kit import outbox
from kit.db import Tx
from services.exchange.transfer import domain, events, store
from services.exchange.transfer.actions.batches import refuse
from services.exchange.transfer.domain import (
    Batch,
    BatchState,
    Effects,
    Layout,
    Refusal,
    TableDigest,
    batches,
    refusals,
)
from services.exchange.transfer.store import Context, Objects, Work, projections, work
from services.exchange.transfer.store import batches as rows
from services.exchange.transfer.store import sealing as tables
from services.exchange.transfer.store.sealing import EffectSegment, Version

PIECE_ROWS: Final = 16_384
"""Rows that are copied into staging, or hashed, at once: both need several times their size."""
PIECE_BYTES: Final = 4 << 20
"""Bytes of effects that are collected before they are parsed."""
ANALYZE_SHARE: Final = 0.2
"""Share of a table that must have changed for its statistics to be renewed at once."""


async def seal(item: Work, context: Context) -> None:
    """Make the batch of `item` effective, or refuse it.

    Raises:
        LeaseLost: another worker has taken over; nothing has changed.
    """
    async with context.result(item) as tx:
        batch = await tables.lock_sealed(tx, item.subject["batch"])
        if batch is None:  # abandoned entries and the like leave nothing to do
            return
        before = await tables.lock_dataset(tx, batch.entry)
        try:
            if batch.changes and before is not None:
                batches.require_table(batch.layout, before.layout)
        except refusals.LayoutChanged as refusal:
            await refuse(tx, batch, Refusal(refusal.code, refusal.detail), context.clock.now())
            return
        await _stage(tx, batch, context.objects)
        batch = await _quarantine(tx, batch, before)
        refused = batches.refusal_of_faults(batch, batch.quarantined)
        if refused is None:
            refused = await _apply(tx, batch, before, context)
        if refused is not None:
            await refuse(tx, batch, refused, context.clock.now())


async def _stage(tx: Tx, batch: Batch, objects: Objects) -> None:
    chunks = await tables.chunk_objects(tx, batch.id)
    pieces = _pieces(objects, chunks, batch.layout, changes=batch.changes)
    await tables.stage(tx, batch.layout, _ahead(pieces), changes=batch.changes)


async def _quarantine(tx: Tx, batch: Batch, before: Version | None) -> Batch:
    """Take out of staging what only the whole batch and the table show to be wrong."""
    taken = await tables.take_repeated(tx, batch.id, batch.layout)
    if batch.changes:
        table = None if before is None else before.table
        taken += await tables.take_unknown_deletes(tx, batch.id, batch.layout, table)
    return replace(batch, rows=batch.rows - taken, quarantined=batch.quarantined + taken)


async def _apply(tx: Tx, batch: Batch, before: Version | None, context: Context) -> Refusal | None:
    """Merge what is staged; return a refusal, with nothing merged, when it is not as declared."""
    reset = before is not None and not batches.same_table(batch.layout, before.layout)
    kept = None if before is None or reset else before
    savepoint = await tx.begin_nested()
    table = await tables.create_table(tx, batch.layout) if kept is None else kept.table
    taken = _Effects(batch.layout, context.objects)
    await tables.merge(tx, table, batch.layout, taken.take, changes=batch.changes)
    await taken.close()
    digest = taken.digest_after(kept)
    effects = taken.effects(batch, dropped=before.rows if before is not None and reset else 0)
    refused = batches.refusal_of_counts(
        batch,
        {
            "added": effects.added,
            "updated": effects.updated,
            "deleted": effects.deleted,
            "digest": digest.hexdigest(),
        },
    )
    if refused is not None:
        await savepoint.rollback()
        return refused
    await savepoint.commit()
    if kept is None:
        await tables.add_indexes(tx, table, batch.layout)
    if taken.rows >= ANALYZE_SHARE * digest.count:
        await tables.analyze(tx, table)
    made = Version(
        table,
        batch.layout,
        1 if before is None else before.version + 1,
        digest.count,
        digest.hexdigest(),
    )
    if before is not None and reset:
        # It may wait long for those who read it, so it comes before the lock of subscribers.
        await tables.drop_table(tx, before.table)
    await _commit(tx, batch, made, effects, taken.segments, context, reset=reset)
    return None


async def _commit(
    tx: Tx,
    batch: Batch,
    made: Version,
    effects: Effects,
    segments: Sequence[EffectSegment],
    context: Context,
    *,
    reset: bool,
) -> None:
    """Keep what a batch has made, and hand it on to those who receive it."""
    at = context.clock.now()
    await tables.keep_dataset(tx, batch, made, at)
    await tables.add_segments(tx, batch.id, segments)
    await rows.mark_effective(
        tx,
        batch.id,
        at,
        rows=batch.rows,
        quarantined=batch.quarantined,
        added=effects.added,
        updated=effects.updated,
        deleted=effects.deleted,
        unchanged=effects.unchanged,
        version=made.version,
        reset=reset,
        table_rows=made.rows,
        table_digest=made.digest,
    )
    effective = replace(
        batch,
        state=BatchState.EFFECTIVE,
        finished_at=at,
        effects=effects,
        version=made.version,
        table=(made.rows, made.digest),
    )
    await store.tell(tx, f"batch/{batch.id}")
    await outbox.append(tx, events.batch_effective(effective, reset=reset))
    for projection in await projections.active_projections(tx, batch.entry):
        subject = {"projection": projection, "batch": batch.id, "version": made.version}
        await work.add(tx, f"projection/{projection}", "project", subject)


class _Effects:
    """Takes the effects of a merge as they come: counts, digests, objects.

    While one piece is worked on in a thread, the next one is being received.
    """

    def __init__(self, layout: Layout, objects: Objects) -> None:
        self._items = layout.items
        self._objects = objects
        self._reader = domain.CopyReader(domain.effect_names(layout.items))
        self._waiting = bytearray()
        self._working: asyncio.Task[None] | None = None
        self._added = self._updated = self._deleted = 0
        self._before = TableDigest()
        self._after = TableDigest()
        self.segments: list[EffectSegment] = []

    @property
    def rows(self) -> int:
        """How many rows were added, updated or deleted."""
        return self._added + self._updated + self._deleted

    async def take(self, data: bytes) -> None:
        """Take the next bytes of CSV."""
        self._waiting += data
        if len(self._waiting) >= PIECE_BYTES:
            await self._work_off()

    async def close(self) -> None:
        """Work off what is left; afterwards the figures are those of all effects."""
        await self._work_off()
        if self._working is not None:
            await self._working
        await asyncio.to_thread(self._keep, self._reader.close())

    def digest_after(self, before: Version | None) -> TableDigest:
        """Return the digest of the whole table after the merge."""
        if before is None:
            return self._after
        whole = TableDigest.from_hex(before.rows, before.digest)
        return whole.minus(self._before).plus(self._after)

    def effects(self, batch: Batch, *, dropped: int) -> Effects:
        """Return the counts of a batch.

        Args:
            dropped: rows of a table that was replaced as a whole.
        """
        sent_deletes = self._deleted if batch.changes else 0
        unchanged = batch.rows - self._added - self._updated - sent_deletes
        return Effects(self._added, self._updated, self._deleted + dropped, unchanged)

    async def _work_off(self) -> None:
        if self._working is not None:
            await self._working
        piece = bytes(self._waiting)
        self._waiting.clear()
        self._working = asyncio.create_task(asyncio.to_thread(self._read, piece))

    def _read(self, piece: bytes) -> None:
        self._keep(self._reader.feed(piece))

    def _keep(self, effects: Sequence[Any]) -> None:
        for table in effects:
            for start in range(0, table.num_rows, PIECE_ROWS):
                self._count(table.slice(start, PIECE_ROWS))
            stream = domain.to_stream(table)
            name = self._objects.put(stream)
            self.segments.append(EffectSegment(name, len(stream), table.num_rows))

    def _count(self, effects: Any) -> None:
        seen = domain.project(effects, domain.whole(self._items))
        self._added += seen.added
        self._updated += seen.updated
        self._deleted += seen.deleted
        self._before = self._before.plus(seen.before)
        self._after = self._after.plus(seen.after)


def _pieces(
    objects: Objects, chunks: Sequence[tuple[int, str]], layout: Layout, *, changes: bool
) -> Iterator[bytes]:
    """Yield the rows of all chunks as CSV for staging; blocks."""
    names = [*(["_op"] if changes else []), *(item.name for item in layout.items)]
    for number, name in chunks:
        table = domain.from_stream(objects.read(name))
        place = pc.add(table.column("_row"), pa.scalar(number << 32, pa.int64()))
        staged = pa.Table.from_arrays(
            [place, *(table.column(column) for column in names)], ["_place", *names]
        )
        for batch in staged.to_batches(max_chunksize=PIECE_ROWS):
            yield domain.to_copy(batch)


async def _ahead(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what `pieces` yields, made in a thread; the next one while this one is sent."""
    coming = asyncio.create_task(asyncio.to_thread(next, pieces, None))
    try:
        while (piece := await coming) is not None:
            coming = asyncio.create_task(asyncio.to_thread(next, pieces, None))
            yield piece
    finally:
        coming.cancel()
