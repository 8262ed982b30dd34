"""Loading: rows are copied into a new table that takes the place of the old one at commit."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from kit.db import Tx
from services.exchange.transfer.domain import MAX_ERRORS, Entry, Layout
from services.exchange.transfer.models import DatasetRow
from services.exchange.transfer.store.tables import (
    LINE,
    SCHEMA,
    TYPES,
    column,
    column_name,
    new_table,
    qualified,
    quoted,
    to_json,
)

COPY_SECONDS: Final = 600.0

_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def copy_line(line: int, row: list[str | None]) -> str:
    """Return one row in the text format of PostgreSQL's COPY."""
    fields = ["\\N" if value is None else value.translate(_ESCAPES) for value in row]
    return f"{line}\t" + "\t".join(fields) + "\n"


async def create_table(tx: Tx, layout: Layout) -> str:
    """Create an empty table for rows of `layout`; nobody sees it before the commit."""
    table = new_table()
    columns = [f"{quoted(LINE)} bigint NOT NULL"]
    for item in layout.items:
        null = " NOT NULL" if item.required or item.key else ""
        columns.append(f"{column(item)} {TYPES[item.type]}{null}")
    connection = await tx.connection()
    await connection.exec_driver_sql(f"CREATE TABLE {qualified(table)} ({', '.join(columns)})")
    return table


async def copy_rows(tx: Tx, table: str, layout: Layout, lines: AsyncIterator[bytes]) -> None:
    """Copy `lines`, made of `copy_line`, into `table`; an error of the iterator ends it."""
    connection = await (await tx.connection()).get_raw_connection()
    driver: Any = connection.driver_connection
    await driver.copy_to_table(
        table,
        schema_name=SCHEMA,
        columns=[LINE, *(column_name(item) for item in layout.items)],
        source=lines,
        format="text",
        encoding="utf-8",
        timeout=COPY_SECONDS,
    )


async def add_indexes(tx: Tx, table: str, layout: Layout) -> bool:
    """Make keys unique and filters fast; tell whether every key was there only once.

    After False the table still has all its rows, for `repeated_keys`.
    """
    connection = await tx.connection()
    key = [column(item) for item in layout.key] or [quoted(LINE)]
    try:
        async with connection.begin_nested():
            await connection.exec_driver_sql(
                f"ALTER TABLE {qualified(table)} ADD PRIMARY KEY ({', '.join(key)})"
            )
    except IntegrityError:
        return False
    for item in layout.items:
        if item.filterable and (not item.key or item != layout.key[0]):
            columns = [column(item), *(c for c in key if c != column(item))]
            await connection.exec_driver_sql(
                f"CREATE INDEX ON {qualified(table)} ({', '.join(columns)})"
            )
    await connection.exec_driver_sql(f"ANALYZE {qualified(table)}")
    return True


async def repeated_keys(tx: Tx, table: str, layout: Layout) -> list[tuple[int, int]]:
    """Return line and first line of up to 50 rows whose key came before, in order of lines."""
    key = ", ".join(column(item) for item in layout.key)
    connection = await tx.connection()
    found = await connection.exec_driver_sql(
        f"SELECT line, first FROM (SELECT line, min(line) OVER (PARTITION BY {key}) AS first"  # noqa: S608 - quoted names only
        f" FROM {qualified(table)}) AS t WHERE line <> first ORDER BY line LIMIT {MAX_ERRORS}"
    )
    return [(row.line, row.first) for row in found]


async def replace_rows(
    tx: Tx, entry: Entry, table: str, *, rows: int, digest: str, at: datetime
) -> None:
    """Let `table` hold the rows of the dataset; the table before it is dropped at commit.

    Waits for queries that are reading the old table; they are bounded by their own timeout.
    """
    connection = await tx.connection()
    # Two loads of a dataset that has no row yet must meet somewhere.
    await connection.execute(
        text("SELECT pg_advisory_xact_lock(hashtextextended(:entry, 0))").bindparams(entry=entry.id)
    )
    query = select(DatasetRow.table_name).where(DatasetRow.entry == entry.id).with_for_update()
    before = (await tx.exec(query)).one_or_none()
    if before is not None:
        await connection.exec_driver_sql(f"DROP TABLE {qualified(before)}")
    await tx.merge(
        DatasetRow(
            entry=entry.id,
            resource=entry.resource,
            agency=entry.agency,
            entry_version=entry.version,
            table_name=table,
            items=to_json(entry.layout),
            rows=rows,
            digest=digest,
            version=1,
            updated_at=at,
        )
    )
    await tx.flush()
