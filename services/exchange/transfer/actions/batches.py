"""Batches as their owner sees them: open, fill, seal or abandon."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import pyarrow as pa

from kit import outbox
from kit.db import Tx
from kit.ids import uuid7
from kit.logging import get_logger
from kit.problems import ServiceUnavailable
from services.exchange.transfer import domain, events, store
from services.exchange.transfer.domain import (
    Batch,
    BatchMode,
    BatchState,
    Chunk,
    ChunkFormat,
    Declared,
    Entry,
    Fault,
    Refusal,
    batches,
    refusals,
)
from services.exchange.transfer.store import Objects, work
from services.exchange.transfer.store import batches as rows

FORGOTTEN: Final = 500

log = get_logger()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `system/<id>` of the owner, in which call; or transfer itself, in none."""

    subject: str
    call: str


@dataclass(frozen=True, slots=True)
class Received:
    """A body that lies in a file.

    Attributes:
        digest: SHA-256, hex.
    """

    path: Path
    digest: str
    bytes: int


async def open_batch(
    tx: Tx,
    entry: Entry,
    *,
    mode: BatchMode,
    declared: Declared | None,
    quarantine_limit: int,
    actor: Actor,
    at: datetime,
) -> Batch:
    """Open a batch for `entry`.

    Raises:
        EntryWithoutKey, LayoutChanged, TooManyOpenBatches: as their names say.
    """
    batches.require_openable(entry, mode, await rows.dataset_layout(tx, entry.id))
    batches.require_room(entry, await rows.count_open(tx, entry.id))
    batch = Batch(
        id=uuid7(),
        resource=entry.resource,
        entry=entry.id,
        entry_version=entry.version,
        agency=entry.agency,
        layout=entry.layout,
        mode=mode,
        state=BatchState.OPEN,
        declared=declared,
        quarantine_limit=quarantine_limit,
        opened_by=actor.subject,
        opened_at=at,
    )
    await rows.add_batch(tx, batch)
    await outbox.append(tx, events.batch_opened(batch, call=actor.call))
    return batch


async def require_batch(tx: Tx, entry: Entry, batch: str) -> Batch:
    """Return a batch of the resource of `entry`.

    Raises:
        BatchUnknown: there is none of this id.
    """
    found = await rows.find_batch(tx, batch, resource=entry.resource, agency=entry.agency)
    return _known(found, batch)


async def lock_batch(tx: Tx, entry: Entry, batch: str, *, shared: bool = False) -> Batch:
    """Return the same, locked against changes of its state."""
    found = await rows.lock_batch(
        tx, batch, resource=entry.resource, agency=entry.agency, shared=shared
    )
    return _known(found, batch)


@asynccontextmanager
async def receive(body: AsyncIterator[bytes], objects: Objects) -> AsyncIterator[Received]:
    """Write a body to a file while hashing it; the file is removed at the end of the block.

    Raises:
        BodyTooLarge: more than 16 MiB.
        ServiceUnavailable: the folder of objects is full or gone.
    """
    with _store_errors():
        path = await asyncio.to_thread(objects.new_file)
        file = await asyncio.to_thread(path.open, "xb")
    hashed, size = sha256(), 0
    try:
        try:
            async for piece in body:
                size += len(piece)
                if size > batches.MAX_CHUNK_BYTES:
                    raise refusals.BodyTooLarge(
                        f"The body has more than {batches.MAX_CHUNK_BYTES} bytes."
                    )
                hashed.update(piece)
                # Pieces are small and go to the page cache: no thread is worth it.
                with _store_errors():
                    file.write(piece)
        finally:
            with _store_errors():
                await asyncio.to_thread(file.close)
        yield Received(path, hashed.hexdigest(), size)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


async def same_chunk(tx: Tx, batch: Batch, number: int, digest: str) -> Chunk | None:
    """Return the chunk `number` if it arrived before with the same bytes, by their SHA-256.

    Raises:
        ChunkDiffers: it arrived with others.
    """
    chunk = await rows.find_chunk(tx, batch.id, number)
    if chunk is not None and chunk.digest != digest:
        raise refusals.ChunkDiffers(
            f"The chunk {number} arrived before with other bytes.",
            facts={"batch": batch.id, "chunk": number, "digest": chunk.digest},
        )
    return chunk


def check_chunk(
    batch: Batch, number: int, received: Received, chunk_format: ChunkFormat, objects: Objects
) -> tuple[Chunk, list[Fault]]:
    """Check a body against the items, and put its good rows; return the chunk and the faults.

    Blocks: it is run in a thread.

    Raises:
        DomainError: of `domain.check_chunk`.
        ServiceUnavailable: the store of objects fails.
    """
    with _store_errors(), pa.memory_map(str(received.path)) as source:
        checked = domain.check_chunk(
            source.read_buffer(), chunk_format, batch.layout, changes=batch.changes
        )
        name = objects.put(domain.to_stream(checked.table))
    taken = checked.rows - checked.quarantined
    chunk = Chunk(number, received.digest, received.bytes, taken, checked.quarantined, name)
    return chunk, checked.faults


async def add_chunk(
    tx: Tx, entry: Entry, batch: str, chunk: Chunk, faults: Sequence[Fault]
) -> tuple[Chunk, bool]:
    """Add a chunk that was checked to its batch; return it and whether it is new.

    Raises:
        BatchNotOpen: the batch was sealed meanwhile.
        ChunkDiffers: the same number arrived meanwhile with other bytes.
    """
    locked = await lock_batch(tx, entry, batch, shared=True)
    batches.require_open(locked)
    if await rows.add_chunk(tx, batch, chunk, faults):
        return chunk, True
    return await same_chunk(tx, locked, chunk.number, chunk.digest) or chunk, False


async def seal(tx: Tx, entry: Entry, batch: str, chunks: int, actor: Actor, at: datetime) -> Batch:
    """Seal a batch that has `chunks` chunks; again, it changes nothing.

    A batch whose entry has other items now is refused: the answer is a batch without `sealed_at`.

    Raises:
        BatchNotOpen, ChunkMissing, BodyInvalid, CountsDiffer: as their names say.
    """
    found = await require_batch(tx, entry, batch)
    if found.state is BatchState.OPEN:
        # Chunks that are arriving now come before the seal, or not at all.
        found = await lock_batch(tx, entry, batch)
    if found.state is not BatchState.OPEN:
        return _sealed_before(found, chunks)
    if found.entry != entry.id or found.layout != entry.layout:
        refused = Refusal("entry-changed", batches.entry_changed(found).detail)
        await refuse(tx, found, refused, at)
        return replace(found, state=BatchState.REFUSED, refusal=refused)
    missing, beyond = await rows.missing_chunks(tx, batch, chunks)
    batches.require_chunks(found, chunks, missing, beyond)
    await rows.mark_sealed(tx, found, at)
    await work.add(tx, f"seal/{found.entry}", "seal", {"batch": batch})
    sealed = replace(found, state=BatchState.SEALED, sealed_at=at)
    await outbox.append(tx, events.batch_sealed(sealed, actor=actor.subject, call=actor.call))
    return sealed


async def refuse(tx: Tx, batch: Batch, refusal: Refusal, at: datetime) -> None:
    """Refuse a batch whole, with what has arrived of it as `batch` says."""
    await rows.mark_refused(
        tx,
        batch.id,
        refusal,
        at,
        rows.Arrived(batch.chunks, batch.rows, batch.quarantined),
    )
    await store.tell(tx, f"batch/{batch.id}")
    await outbox.append(tx, events.batch_refused(batch, refusal))


async def abandon(tx: Tx, entry: Entry, batch: str, actor: Actor, at: datetime) -> Batch:
    """Give an open batch up; again, it changes nothing.

    Raises:
        BatchNotOpen: it was sealed or refused.
    """
    found = await lock_batch(tx, entry, batch)
    if found.state is BatchState.ABANDONED:
        return found
    batches.require_open(found)
    return await _abandon(tx, found, actor, at)


async def abandon_forgotten(tx: Tx, opened_before: datetime, at: datetime) -> int:
    """Give up batches that nobody has sealed for too long, some hundred at once; return how many.

    Args:
        opened_before: when the youngest of them was opened.
    """
    forgotten = await rows.lock_forgotten(tx, opened_before, FORGOTTEN)
    for batch in forgotten:
        await _abandon(tx, batch, Actor(events.TRANSFER, ""), at)
    return len(forgotten)


async def _abandon(tx: Tx, batch: Batch, actor: Actor, at: datetime) -> Batch:
    await rows.abandon(tx, batch.id, at)
    await store.tell(tx, f"batch/{batch.id}")
    abandoned = replace(
        batch, state=BatchState.ABANDONED, finished_at=at, chunks=0, rows=0, quarantined=0
    )
    await outbox.append(tx, events.batch_abandoned(abandoned, actor=actor.subject, call=actor.call))
    return abandoned


def _sealed_before(batch: Batch, chunks: int) -> Batch:
    """Return the answer to a seal of a batch that is not open any more."""
    changed = batch.refusal is not None and batch.refusal.code == "entry-changed"
    if changed or (batch.sealed_at is not None and batch.chunks == chunks):
        return batch
    batches.require_open(batch)
    return batch


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        log.error("objects cannot be kept", error=repr(error))
        raise ServiceUnavailable("The store of objects takes nothing at the moment.") from error


def _known(found: Batch | None, batch: str) -> Batch:
    if found is None:
        raise refusals.BatchUnknown(f"The resource has no batch {batch}.", facts={"batch": batch})
    return found
