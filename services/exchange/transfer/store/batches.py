"""Batches and their chunks: what has arrived, and where each batch stands."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, func, insert, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from kit.db import Tx
from services.exchange.transfer.domain import (
    Batch,
    BatchMode,
    BatchState,
    Chunk,
    Declared,
    Effects,
    Fault,
    Layout,
    QuarantinedFault,
    Refusal,
)
from services.exchange.transfer.domain.batches import MAX_LISTED_FAULTS
from services.exchange.transfer.models import BatchRow, ChunkRow, DatasetRow, QuarantinedRow
from services.exchange.transfer.store.tables import from_json, to_json


@dataclass(frozen=True, slots=True)
class Arrived:
    """What has arrived of a batch: chunks, rows that were taken, rows that were not."""

    chunks: int = 0
    rows: int = 0
    quarantined: int = 0


async def dataset_layout(tx: Tx, entry: str) -> Layout | None:
    """Return the layout of the rows that are in force, or None when there are none."""
    found = (await tx.exec(select(DatasetRow.items).where(DatasetRow.entry == entry))).one_or_none()
    return None if found is None else from_json(list(found))


async def add_batch(tx: Tx, batch: Batch) -> None:
    """Keep a batch that was just opened."""
    row = BatchRow(
        id=batch.id,
        entry=batch.entry,
        entry_version=batch.entry_version,
        resource=batch.resource,
        agency=batch.agency,
        mode=batch.mode.value,
        state=batch.state.value,
        items=to_json(batch.layout),
        quarantine_limit=batch.quarantine_limit,
        opened_by=batch.opened_by,
        opened_at=batch.opened_at,
    )
    if batch.declared is not None:  # an explicit None would become the JSON value null
        row.declared = batch.declared.as_json()
    tx.add(row)
    await tx.flush()


async def count_open(tx: Tx, entry: str) -> int:
    """Return how many batches of `entry` are open; until the end of `tx` nobody else opens one."""
    connection = await tx.connection()
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended('batches/' || :entry, 0))")
    await connection.execute(lock.bindparams(entry=entry))
    query = select(func.count()).where(
        BatchRow.entry == entry, BatchRow.state == BatchState.OPEN.value
    )
    return (await tx.exec(query)).one()


async def find_batch(tx: Tx, batch: str, *, resource: str, agency: str) -> Batch | None:
    """Return a batch of a resource and its owner, or None."""
    row = await tx.get(BatchRow, batch, populate_existing=True)
    if row is None or (row.resource, row.agency) != (resource, agency):
        return None
    return (await _with_chunks(tx, [row]))[0]


async def lock_batch(
    tx: Tx, batch: str, *, resource: str, agency: str, shared: bool = False
) -> Batch | None:
    """Lock a batch of a resource and its owner against changes of its state, and return it.

    Args:
        shared: others may hold the same lock: chunks arrive side by side.
    """
    query = select(BatchRow).where(
        BatchRow.id == batch, BatchRow.resource == resource, BatchRow.agency == agency
    )
    return await locked_batch(tx, query, shared=shared)


async def locked_batch(
    tx: Tx, query: SelectOfScalar[BatchRow], *, shared: bool = False
) -> Batch | None:
    """Lock the batch that `query` finds and return it, or None."""
    locking = query.with_for_update(read=shared).execution_options(populate_existing=True)
    row = (await tx.exec(locking)).one_or_none()
    return None if row is None else (await _with_chunks(tx, [row]))[0]


async def list_batches(
    tx: Tx,
    *,
    resource: str,
    agency: str,
    state: BatchState | None,
    before: tuple[datetime, str] | None,
    limit: int,
) -> list[Batch]:
    """Return batches of a resource and its owner, newest first.

    Args:
        before: when the last one of the page before was opened, and its id.
    """
    query = select(BatchRow).where(BatchRow.resource == resource, BatchRow.agency == agency)
    if state is not None:
        query = query.where(BatchRow.state == state.value)
    if before is not None:
        query = query.where(tuple_(col(BatchRow.opened_at), col(BatchRow.id)) < before)
    query = query.order_by(col(BatchRow.opened_at).desc(), col(BatchRow.id).desc()).limit(limit)
    return await _with_chunks(tx, list((await tx.exec(query)).all()))


async def lock_forgotten(tx: Tx, opened_before: datetime, limit: int) -> list[Batch]:
    """Lock and return batches that are open since long ago, but those in use right now."""
    query = (
        select(BatchRow)
        .where(BatchRow.state == BatchState.OPEN.value, BatchRow.opened_at < opened_before)
        .order_by(col(BatchRow.opened_at))
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return await _with_chunks(tx, list((await tx.exec(query)).all()))


async def find_chunk(tx: Tx, batch: str, number: int) -> Chunk | None:
    """Return a chunk that has arrived, or None."""
    row = await tx.get(ChunkRow, (batch, number), populate_existing=True)
    return None if row is None else _chunk(row)


async def list_chunks(tx: Tx, batch: str, *, after: int, limit: int) -> list[Chunk]:
    """Return chunks that have arrived, by number, beyond the number `after`."""
    query = (
        select(ChunkRow)
        .where(ChunkRow.batch == batch, ChunkRow.number > after)
        .order_by(col(ChunkRow.number))
        .limit(limit)
    )
    return [_chunk(row) for row in (await tx.exec(query)).all()]


async def add_chunk(tx: Tx, batch: str, chunk: Chunk, faults: Sequence[Fault]) -> bool:
    """Keep a chunk and the faults of its rows; tell whether there was none of its number yet.

    Faults are kept up to 10,000 of a batch.
    """
    added = await (await tx.connection()).execute(
        postgres_insert(ChunkRow)
        .values(
            batch=batch,
            number=chunk.number,
            digest=chunk.digest,
            bytes=chunk.bytes,
            rows=chunk.rows,
            quarantined=chunk.quarantined,
            object=chunk.object,
        )
        .on_conflict_do_nothing()
    )
    if added.rowcount != 1:
        return False
    if faults:
        room = await faults_left(tx, batch)
        rows = [
            {
                "batch": batch,
                "chunk": chunk.number,
                "row": fault.row,
                "item": fault.item or "",
                "rule": fault.rule,
                "detail": fault.detail,
            }
            for fault in faults[:room]
        ]
        if rows:
            await (await tx.connection()).execute(insert(QuarantinedRow), rows)
    return True


async def faults_left(tx: Tx, batch: str) -> int:
    """Return how many more faults of a batch are kept."""
    listed = select(QuarantinedRow.batch).where(QuarantinedRow.batch == batch)
    counted = select(func.count()).select_from(listed.limit(MAX_LISTED_FAULTS).subquery())
    return MAX_LISTED_FAULTS - (await tx.exec(counted)).one()


async def missing_chunks(tx: Tx, batch: str, chunks: int) -> tuple[list[int], int | None]:
    """Return some numbers below `chunks` that have not arrived, and one that lies beyond it."""
    connection = await tx.connection()
    missing = await connection.execute(
        text(
            "SELECT n FROM generate_series(0, :chunks - 1) AS n WHERE NOT EXISTS"
            " (SELECT 1 FROM chunk WHERE batch = :batch AND number = n) ORDER BY n LIMIT 20"
        ).bindparams(chunks=chunks, batch=batch)
    )
    beyond = select(func.max(ChunkRow.number)).where(
        ChunkRow.batch == batch, ChunkRow.number >= chunks
    )
    return list(missing.scalars()), (await tx.exec(beyond)).one()


async def mark_sealed(tx: Tx, batch: Batch, at: datetime) -> None:
    """Note that a batch is sealed, and what it has."""
    await _update(
        tx,
        batch.id,
        state=BatchState.SEALED.value,
        sealed_at=at,
        chunks=batch.chunks,
        rows=batch.rows,
        quarantined=batch.quarantined,
    )


async def mark_refused(
    tx: Tx, batch: str, refusal: Refusal, at: datetime, arrived: Arrived
) -> None:
    """Note that a batch was refused whole."""
    await _update(
        tx,
        batch,
        state=BatchState.REFUSED.value,
        finished_at=at,
        refusal_code=refusal.code,
        refusal_detail=refusal.detail,
        chunks=arrived.chunks,
        rows=arrived.rows,
        quarantined=arrived.quarantined,
    )


async def mark_effective(tx: Tx, batch: str, at: datetime, **figures: Any) -> None:
    """Note that a batch is effective, with its figures by the names of their columns."""
    await _update(tx, batch, state=BatchState.EFFECTIVE.value, finished_at=at, **figures)


async def abandon(tx: Tx, batch: str, at: datetime) -> None:
    """Note that a batch was given up, and forget what had arrived; its objects are swept."""
    connection = await tx.connection()
    await connection.execute(delete(ChunkRow).where(col(ChunkRow.batch) == batch))
    await connection.execute(delete(QuarantinedRow).where(col(QuarantinedRow.batch) == batch))
    await _update(tx, batch, state=BatchState.ABANDONED.value, finished_at=at)


async def list_faults(tx: Tx, batch: str) -> list[QuarantinedFault]:
    """Return the faults of a batch that are kept, in the order of chunks and rows."""
    query = (
        select(QuarantinedRow)
        .where(QuarantinedRow.batch == batch)
        .order_by(col(QuarantinedRow.chunk), col(QuarantinedRow.row), col(QuarantinedRow.item))
        .limit(MAX_LISTED_FAULTS)
    )
    return [
        QuarantinedFault(row.chunk, row.row, row.item or None, row.rule, row.detail)
        for row in (await tx.exec(query)).all()
    ]


async def _update(tx: Tx, batch: str, **values: Any) -> None:
    await (await tx.connection()).execute(
        update(BatchRow).where(col(BatchRow.id) == batch).values(**values)
    )


async def _with_chunks(tx: Tx, rows: Sequence[BatchRow]) -> list[Batch]:
    """Return batches with what has arrived; of open ones that is counted."""
    counted = [row.id for row in rows if row.chunks is None]
    arrived: dict[str, Arrived] = {}
    if counted:
        query = (
            select(
                ChunkRow.batch,
                func.count(),
                func.sum(ChunkRow.rows),
                func.sum(ChunkRow.quarantined),
            )
            .where(col(ChunkRow.batch).in_(counted))
            .group_by(ChunkRow.batch)
        )
        for batch, chunks, taken, quarantined in (await tx.exec(query)).all():
            arrived[batch] = Arrived(chunks, int(taken), int(quarantined))
    return [_batch(row, arrived.get(row.id, Arrived())) for row in rows]


def _batch(row: BatchRow, arrived: Arrived) -> Batch:
    return Batch(
        id=row.id,
        resource=row.resource,
        entry=row.entry,
        entry_version=row.entry_version,
        agency=row.agency,
        layout=from_json(row.items),
        mode=BatchMode(row.mode),
        state=BatchState(row.state),
        declared=None if row.declared is None else Declared(**row.declared),
        quarantine_limit=row.quarantine_limit,
        opened_by=row.opened_by,
        opened_at=row.opened_at,
        sealed_at=row.sealed_at,
        finished_at=row.finished_at,
        chunks=arrived.chunks if row.chunks is None else row.chunks,
        rows=arrived.rows if row.rows is None else row.rows,
        quarantined=arrived.quarantined if row.quarantined is None else row.quarantined,
        effects=_effects(row),
        version=row.version,
        table=None if row.table_rows is None else (row.table_rows, row.table_digest or ""),
        refusal=None
        if row.refusal_code is None
        else Refusal(row.refusal_code, row.refusal_detail or ""),
    )


def _effects(row: BatchRow) -> Effects | None:
    if row.version is None:
        return None
    return Effects(row.added or 0, row.updated or 0, row.deleted or 0, row.unchanged or 0)


def _chunk(row: ChunkRow) -> Chunk:
    return Chunk(row.number, row.digest, row.bytes, row.rows, row.quarantined, row.object)
