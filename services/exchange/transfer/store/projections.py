"""Projections: what all subscriptions with the same view share, version by version."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

import asyncpg
from sqlalchemy import insert, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlmodel import col, select

from kit.canonical import canonical
from kit.db import Db, Tx
from kit.ids import uuid7
from services.exchange.transfer.domain import (
    DeliveryKind,
    Layout,
    ProjectedVersion,
    Segment,
    Sight,
    TableDigest,
    View,
)
from services.exchange.transfer.models import (
    BatchRow,
    DatasetRow,
    EffectSegmentRow,
    ProjectedRow,
    ProjectedSegmentRow,
    ProjectionRow,
)
from services.exchange.transfer.store.conditions import arguments, conditions, hidden
from services.exchange.transfer.store.deliveries import projected_version_of
from services.exchange.transfer.store.subscriptions import lock_entry
from services.exchange.transfer.store.tables import canonical_text, column, from_json, qualified

Take = Callable[[bytes], Awaitable[None]]
"""What takes the bytes of a COPY, in pieces of any size."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Which view of which entry."""

    id: str
    entry: str
    view: View


@dataclass(frozen=True)
class EffectiveBatch:
    """A batch that made a version, and where its effects lie.

    Attributes:
        reset: the layout changed with it, so its effects carry nothing on.
        effects: names of objects, in order.
    """

    id: str
    version: int
    layout: Layout
    reset: bool
    effects: tuple[str, ...]


@dataclass(frozen=True)
class Snapshot:
    """A dataset as it was at one version.

    Attributes:
        layout, table, rows, digest: None, None, 0 and 64 zeros before the first batch.
        batch: that made the version, when it is known.
    """

    version: int
    layout: Layout | None
    table: str | None
    rows: int
    digest: str
    batch: str | None


class TableReplaced(Exception):
    """The table of a snapshot is gone: a newer batch replaced it. Read again."""


async def active_projections(tx: Tx, entry: str) -> list[str]:
    """Return the projections of `entry` that somebody receives.

    To be asked in the transaction that makes a new version of the dataset, shortly before its
    end: from here to there nobody else subscribes to the entry.
    """
    await lock_entry(tx, entry)
    statement = text(
        "SELECT p.id FROM projection p WHERE p.entry = :entry AND EXISTS"
        " (SELECT 1 FROM subscription s WHERE s.projection = p.id AND s.state = 'active')"
        " ORDER BY p.id"
    )
    found = await (await tx.connection()).execute(statement.bindparams(entry=entry))
    return [row.id for row in found]


async def projection_of(tx: Tx, entry: str, view: View) -> str:
    """Return the projection of `entry` to `view`, made when there is none."""
    kept = view.as_json()
    digest = sha256(canonical(kept)).hexdigest()
    made = (
        postgres_insert(ProjectionRow)
        .values(id=uuid7(), entry=entry, view=kept, view_digest=digest)
        .on_conflict_do_nothing(index_elements=["entry", "view_digest"])
    )
    await (await tx.connection()).execute(made)
    query = select(ProjectionRow.id).where(
        ProjectionRow.entry == entry, ProjectionRow.view_digest == digest
    )
    return (await tx.exec(query)).one()


async def find_projection(tx: Tx, projection: str) -> Projection | None:
    """Return a projection, or None."""
    row = await tx.get(ProjectionRow, projection)
    return None if row is None else Projection(row.id, row.entry, View.from_json(row.view))


async def effective_batch(tx: Tx, batch: str) -> EffectiveBatch | None:
    """Return a batch that is effective, with its effects; None for any other."""
    row = await tx.get(BatchRow, batch)
    if row is None or row.version is None:
        return None
    query = (
        select(EffectSegmentRow.object)
        .where(EffectSegmentRow.batch == batch)
        .order_by(col(EffectSegmentRow.number))
    )
    effects = tuple((await tx.exec(query)).all())
    return EffectiveBatch(row.id, row.version, from_json(row.items), row.reset, effects)


async def projected_version(
    tx: Tx, projection: str, version: int, kind: DeliveryKind
) -> ProjectedVersion | None:
    """Return what is known of a projected version, or None when it was not made."""
    row = await tx.get(ProjectedRow, (projection, version, kind.value))
    return None if row is None else projected_version_of(row)


async def table_digest(tx: Tx, projection: str, version: int) -> TableDigest | None:
    """Return count and digest of a projected table at a version, or None when nobody knows."""
    if version == 0:
        return TableDigest()
    query = (
        select(ProjectedRow.rows, ProjectedRow.digest)
        .where(
            ProjectedRow.projection == projection,
            ProjectedRow.version == version,
            col(ProjectedRow.digest).is_not(None),
        )
        .limit(1)
    )
    found = (await tx.exec(query)).one_or_none()
    return None if found is None else TableDigest.from_hex(found[0] or 0, found[1] or "")


async def add_projected(
    tx: Tx,
    projection: str,
    projected: ProjectedVersion,
    segments: Sequence[Segment],
    at: datetime,
) -> None:
    """Write a projected version with its segments; the projection has come as far as that."""
    tx.add(
        ProjectedRow(
            projection=projection,
            version=projected.version,
            kind=projected.kind.value,
            batch=projected.batch,
            added=projected.added,
            updated=projected.updated,
            deleted=projected.deleted,
            rows=projected.rows,
            digest=projected.digest,
            delivered_digest=projected.delivered_digest,
            made_at=at,
        )
    )
    await tx.flush()
    connection = await tx.connection()
    if segments:
        rows = [
            {
                "projection": projection,
                "version": projected.version,
                "kind": projected.kind.value,
                "number": segment.number,
                "object": segment.digest,
                "bytes": segment.bytes,
                "rows": segment.rows,
            }
            for segment in segments
        ]
        await connection.execute(insert(ProjectedSegmentRow), rows)
    await connection.execute(
        update(ProjectionRow)
        .where(
            col(ProjectionRow.id) == projection,
            (col(ProjectionRow.version).is_(None))
            | (col(ProjectionRow.version) <= projected.version),
        )
        .values(version=projected.version, rows=projected.rows, digest=projected.digest)
    )


@asynccontextmanager
async def snapshot_of(db: Db, entry: str) -> AsyncIterator[tuple[Tx, Snapshot]]:
    """Open a transaction that sees the dataset of `entry` at one version, whatever is sealed.

    It is for reading: nothing is written in it.
    """
    async with db.begin() as tx:
        await tx.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        row = await tx.get(DatasetRow, entry)
        if row is None:
            yield tx, Snapshot(0, None, None, 0, TableDigest().hexdigest(), None)
            return
        query = select(BatchRow.id).where(BatchRow.entry == entry, BatchRow.version == row.version)
        batch = (await tx.exec(query)).one_or_none()
        yield (
            tx,
            Snapshot(
                row.version, from_json(row.items), row.table_name, row.rows, row.digest, batch
            ),
        )


async def copy_out(
    tx: Tx, snapshot: Snapshot, sight: Sight, order: tuple[bytes, bytes] | None, take: Take
) -> None:
    """Hand the rows of a snapshot that `sight` covers out, as they lie.

    They come in the order of their key; where it is masked, in one that tells nothing of it.

    Args:
        tx: the transaction of the snapshot.
        sight: which rows and columns.
        order: the key that hides the order; None when `sight` hides no key.
        take: takes CSV of COPY, every value quoted.

    Raises:
        TableReplaced: a newer batch replaced the table before it was read; begin again.
    """
    if snapshot.layout is None or snapshot.table is None or sight.tests is None:
        return
    connection = await tx.connection()
    if order is not None:  # COPY has no parameters: they would stand in its text
        await connection.execute(
            text(
                "SELECT set_config('datong.outer', :outer, true),"
                " set_config('datong.inner', :inner, true)"
            ).bindparams(outer=order[0].hex(), inner=order[1].hex())
        )
    columns = ", ".join(canonical_text(item, "t") for item in sight.items)
    places = ", ".join(
        hidden([item], _block("outer"), _block("inner"), "t")
        if order is not None and item.name in sight.masks
        else f"t.{column(item)}"
        for item in snapshot.layout.key
    )
    tested = conditions(sight.tests, 1, "t")
    where = f" WHERE {' AND '.join(tested)}" if tested else ""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        await driver.copy_from_query(
            f"SELECT {columns} FROM {qualified(snapshot.table)} AS t{where} ORDER BY {places}",  # noqa: S608 - quoted names only
            *arguments(sight.tests),
            output=take,
            format="csv",
            force_quote=True,
        )
    except asyncpg.UndefinedTableError as error:
        raise TableReplaced(snapshot.table) from error


def _block(name: str) -> str:
    return f"(SELECT decode(current_setting('datong.{name}'), 'hex'))"
