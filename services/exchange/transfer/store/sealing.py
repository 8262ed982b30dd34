"""Sealing in SQL: rows are staged, one statement merges them and tells what it did to each row."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, text
from sqlmodel import col, select

from kit.db import Tx
from services.exchange.transfer.domain import Batch, BatchState, Item, Layout
from services.exchange.transfer.models import BatchRow, ChunkRow, DatasetRow, EffectSegmentRow
from services.exchange.transfer.store.batches import faults_left, locked_batch
from services.exchange.transfer.store.tables import (
    TYPES,
    canonical_text,
    column,
    column_name,
    from_json,
    new_table,
    qualified,
    to_json,
)

PLACE: Final = "_place"
OPERATION: Final = "_op"
STAGING: Final = "staging"

_SETTINGS: Final = (
    "SET LOCAL work_mem = '64MB'",
    "SET LOCAL maintenance_work_mem = '128MB'",
    # Rows are wide: compiling their expressions costs more than it saves.
    "SET LOCAL jit = off",
)


@dataclass(frozen=True, slots=True)
class Version:
    """A dataset as it is before a batch."""

    table: str
    layout: Layout
    version: int
    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class EffectSegment:
    """An object that holds effects of a batch."""

    object: str
    bytes: int
    rows: int


async def lock_sealed(tx: Tx, batch: str) -> Batch | None:
    """Lock a batch and return it, or None when it is not sealed, or no more."""
    connection = await tx.connection()
    for setting in _SETTINGS:
        await connection.exec_driver_sql(setting)
    query = select(BatchRow).where(BatchRow.id == batch, BatchRow.state == BatchState.SEALED.value)
    return await locked_batch(tx, query)


async def lock_dataset(tx: Tx, entry: str) -> Version | None:
    """Keep others from changing the dataset of an entry until the end; return how it is."""
    connection = await tx.connection()
    # Two first batches of an entry must meet somewhere.
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))").bindparams(
            name=f"dataset/{entry}"
        )
    )
    row = (
        await tx.exec(select(DatasetRow).where(DatasetRow.entry == entry).with_for_update())
    ).one_or_none()
    if row is None:
        return None
    return Version(row.table_name, from_json(row.items), row.version, row.rows, row.digest)


async def chunk_objects(tx: Tx, batch: str) -> list[tuple[int, str]]:
    """Return number and object of each chunk, in order."""
    query = (
        select(ChunkRow.number, ChunkRow.object)
        .where(ChunkRow.batch == batch)
        .order_by(col(ChunkRow.number))
    )
    return [(number, name) for number, name in (await tx.exec(query)).all()]


async def stage(tx: Tx, layout: Layout, rows: AsyncIterator[bytes], *, changes: bool) -> None:
    """Copy rows into a staging table that lasts as long as the transaction.

    Args:
        rows: CSV of `_place` (2^32 × chunk + row), then `_op` when there are `changes`, then the
            items in order.
    """
    columns = [f"{PLACE} bigint", *([f"{OPERATION} text"] if changes else [])]
    columns += [f"{column(item)} {TYPES[item.type]}" for item in layout.items]
    connection = await tx.connection()
    await connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {STAGING} ({', '.join(columns)}) ON COMMIT DROP"
    )
    driver = await _driver(tx)
    await driver.copy_to_table(
        STAGING,
        columns=[
            PLACE,
            *([OPERATION] if changes else []),
            *(column_name(item) for item in layout.items),
        ],
        source=rows,
        format="csv",
        encoding="utf-8",
    )
    # Keys alone decide how the merge is planned.
    await connection.exec_driver_sql(f"ANALYZE {STAGING} ({_keys(layout)})")


async def take_repeated(tx: Tx, batch: str, layout: Layout) -> int:
    """Quarantine all staged rows whose key is there more than once; return how many."""
    keys = _keys(layout)
    return await _quarantine(
        tx,
        batch,
        layout,
        f"DELETE FROM {STAGING} AS s USING (SELECT {keys} FROM {STAGING} GROUP BY {keys}"  # noqa: S608 - quoted names only
        f" HAVING count(*) > 1) AS r WHERE {_same_key(layout, 's', 'r')}",
        rule="unique",
        detail="The key comes more than once in the batch.",
    )


async def take_unknown_deletes(tx: Tx, batch: str, layout: Layout, table: str | None) -> int:
    """Quarantine all staged deletes of keys that the table does not have; return how many.

    Args:
        table: None when there are no rows at all.
    """
    unknown = (
        ""
        if table is None
        else f" AND NOT EXISTS (SELECT 1 FROM {qualified(table)} AS t"  # noqa: S608 - quoted names only
        f" WHERE {_same_key(layout, 't', 's')})"
    )
    return await _quarantine(
        tx,
        batch,
        layout,
        f"DELETE FROM {STAGING} AS s WHERE s.{OPERATION} = 'delete'{unknown}",  # noqa: S608 - likewise
        rule="key-unknown",
        detail="No row has this key, so it cannot be deleted.",
    )


async def create_table(tx: Tx, layout: Layout) -> str:
    """Create an empty table for rows of `layout`, yet without key and indexes; return its name."""
    table = new_table()
    columns = [
        f"{column(item)} {TYPES[item.type]}{' NOT NULL' if item.required or item.key else ''}"
        for item in layout.items
    ]
    connection = await tx.connection()
    await connection.exec_driver_sql(f"CREATE TABLE {qualified(table)} ({', '.join(columns)})")
    return table


async def merge(
    tx: Tx,
    table: str,
    layout: Layout,
    take: Callable[[bytes], Awaitable[None]],
    *,
    changes: bool,
) -> None:
    """Merge the staged rows into `table`, whose rows not staged are deleted unless `changes`.

    One statement changes the table and tells what it did: nothing of rows that stay as they are.

    Args:
        take: is given CSV: `added`, `updated` or `deleted`, all items before, all items after.
    """
    driver = await _driver(tx)
    await driver.copy_from_query(
        _merge(table, layout, changes=changes), output=take, format="csv", force_quote=True
    )


async def add_indexes(tx: Tx, table: str, layout: Layout) -> None:
    """Give a table that was just filled its key, and an index per filterable item."""
    connection = await tx.connection()
    await connection.exec_driver_sql(
        f"ALTER TABLE {qualified(table)} ADD PRIMARY KEY ({_keys(layout)})"
    )
    key = [column(item) for item in layout.key]
    for item in layout.items:
        if item.filterable and item != layout.key[0]:
            columns = [column(item), *(c for c in key if c != column(item))]
            await connection.exec_driver_sql(
                f"CREATE INDEX ON {qualified(table)} ({', '.join(columns)})"
            )


async def analyze(tx: Tx, table: str) -> None:
    """Let the planner know the rows of `table`."""
    connection = await tx.connection()
    await connection.exec_driver_sql(f"ANALYZE {qualified(table)}")


async def drop_table(tx: Tx, table: str) -> None:
    """Drop a table that another one has replaced.

    Waits for queries that are reading it; who looks for it after the commit looks the dataset up
    again.
    """
    connection = await tx.connection()
    await connection.exec_driver_sql(f"DROP TABLE {qualified(table)}")


async def keep_dataset(tx: Tx, batch: Batch, made: Version, at: datetime) -> None:
    """Keep a dataset as a batch has made it."""
    await tx.merge(
        DatasetRow(
            entry=batch.entry,
            resource=batch.resource,
            agency=batch.agency,
            entry_version=batch.entry_version,
            table_name=made.table,
            items=to_json(made.layout),
            version=made.version,
            rows=made.rows,
            digest=made.digest,
            updated_at=at,
        )
    )
    await tx.flush()


async def add_segments(tx: Tx, batch: str, segments: Sequence[EffectSegment]) -> None:
    """Keep which objects hold the effects of a batch, in order."""
    if segments:
        rows = [
            {
                "batch": batch,
                "number": number,
                "object": segment.object,
                "bytes": segment.bytes,
                "rows": segment.rows,
            }
            for number, segment in enumerate(segments)
        ]
        await (await tx.connection()).execute(insert(EffectSegmentRow), rows)


async def _quarantine(
    tx: Tx, batch: str, layout: Layout, removal: str, *, rule: str, detail: str
) -> int:
    """Remove staged rows and keep their places as faults, as far as there is room."""
    connection = await tx.connection()
    found = await connection.execute(
        text(
            f"WITH removed AS ({removal} RETURNING s.{PLACE} AS place),"  # noqa: S608 - quoted names only
            " kept AS (INSERT INTO quarantined_row (batch, chunk, row, item, rule, detail)"
            " SELECT :batch, place >> 32, place & 4294967295, :item, :rule, :detail"
            " FROM removed ORDER BY place LIMIT :room)"
            " SELECT count(*) FROM removed"
        ).bindparams(
            batch=batch,
            item=layout.key[0].name if len(layout.key) == 1 else "",
            rule=rule,
            detail=detail,
            room=await faults_left(tx, batch),
        )
    )
    return int(found.scalar_one())


def _merge(table: str, layout: Layout, *, changes: bool) -> str:
    others = [item for item in layout.items if not item.key]
    values = ", ".join(f"s.{column(item)}" for item in layout.items)
    upserted = f" AND s.{OPERATION} = 'upsert'" if changes else ""
    clauses = []
    if changes:
        clauses.append(f"WHEN MATCHED AND s.{OPERATION} = 'delete' THEN DELETE")
    if others:
        settings = ", ".join(f"{column(item)} = s.{column(item)}" for item in others)
        clauses.append(f"WHEN MATCHED AND {_differs(others)} THEN UPDATE SET {settings}")
    clauses.append(
        f"WHEN NOT MATCHED{upserted} THEN INSERT ({', '.join(map(column, layout.items))})"  # noqa: S608 - quoted names only
        f" VALUES ({values})"
    )
    if not changes:
        clauses.append("WHEN NOT MATCHED BY SOURCE THEN DELETE")
    told = [canonical_text(item, of) for of in ("old", "new") for item in layout.items]
    operation = (
        "CASE merge_action() WHEN 'INSERT' THEN 'added' WHEN 'UPDATE' THEN 'updated'"
        " ELSE 'deleted' END"
    )
    return (
        f"MERGE INTO {qualified(table)} AS t USING {STAGING} AS s"
        f" ON {_same_key(layout, 't', 's')} {' '.join(clauses)}"
        f" RETURNING {', '.join([operation, *told])}"
    )


def _differs(items: Sequence[Item]) -> str:
    ours = ", ".join(f"t.{column(item)}" for item in items)
    theirs = ", ".join(f"s.{column(item)}" for item in items)
    return f"ROW({ours}) IS DISTINCT FROM ROW({theirs})"


def _same_key(layout: Layout, one: str, other: str) -> str:
    return " AND ".join(f"{one}.{column(item)} = {other}.{column(item)}" for item in layout.key)


def _keys(layout: Layout) -> str:
    return ", ".join(column(item) for item in layout.key)


async def _driver(tx: Tx) -> Any:
    """Return asyncpg's connection of a transaction, which alone can COPY."""
    return (await (await tx.connection()).get_raw_connection()).driver_connection
