"""Columns and keys of a table of PostgreSQL: made, compared, altered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import psycopg

from datong.tables.layout import Item, keys, listed, quoted
from datong.tables.store import differences

TYPES: Final = {
    "text": "text",
    "integer": "bigint",
    "decimal": "numeric",
    "boolean": "boolean",
    "date": "date",
    "datetime": "timestamp with time zone",
}
FITTING: Final = {kind: (column,) for kind, column in TYPES.items()} | {
    "text": ("text", "character varying")
}
"""Types of existing columns that hold every value as well as the ones of `TYPES`."""

Connection = psycopg.Connection[Any]


def typed(items: Sequence[Item]) -> str:
    """Columns of these items as CREATE TABLE wants them."""
    return ", ".join(f"{quoted(item.name)} {TYPES[item.type]}" for item in items)


def create(connection: Connection, table: str, items: Sequence[Item]) -> None:
    """Create the table.

    Args:
        table: quoted name.
    """
    connection.execute(
        f"CREATE TABLE {table} ({typed(items)}, PRIMARY KEY ({listed(keys(items))}))"
    )


def wrong_with(connection: Connection, table: str, items: Sequence[Item]) -> list[str]:
    """What keeps the table from holding exactly these items; empty when it fits."""
    return differences(_columns(connection, table), _unique(connection, table), items, FITTING)


def fit(connection: Connection, table: str, items: Sequence[Item]) -> None:
    """Alter the table, which is empty, when the layout has changed.

    Columns that stay the same are left alone, and so are rights on the table.
    """
    if not wrong_with(connection, table, items):
        return
    wanted = {item.name: item for item in items}
    kept = {
        name
        for name, present in _columns(connection, table).items()
        if name in wanted and present in FITTING[wanted[name].type]
    }
    steps = [
        f"DROP COLUMN {quoted(name)}" for name in _columns(connection, table) if name not in kept
    ]
    primary = connection.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = to_regclass(%s) AND contype = 'p'",
        [table],
    ).fetchone()
    if primary is not None:
        steps.insert(0, f"DROP CONSTRAINT {quoted(primary[0])}")
    steps += [
        f"ADD COLUMN {quoted(item.name)} {TYPES[item.type]}"
        for item in items
        if item.name not in kept
    ]
    steps += [f"ALTER COLUMN {quoted(name)} DROP NOT NULL" for name in kept if not wanted[name].key]
    connection.execute(f"ALTER TABLE {table} {', '.join(steps)}")
    connection.execute(f"ALTER TABLE {table} ADD PRIMARY KEY ({listed(keys(items))})")


def _columns(connection: Connection, table: str) -> dict[str, str]:
    found = connection.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "
        "WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        [table],
    )
    return dict(found.fetchall())


def _unique(connection: Connection, table: str) -> set[frozenset[str]]:
    """Columns of each unique index without conditions."""
    found = connection.execute(
        "SELECT array_agg(a.attname::text) FROM pg_index i JOIN pg_attribute a "
        "ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey) "
        "WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indpred IS NULL "
        "AND i.indexprs IS NULL GROUP BY i.indexrelid",
        [table],
    )
    return {frozenset(columns) for (columns,) in found.fetchall()}
