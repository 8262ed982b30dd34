"""One table of PostgreSQL (13 or later) and its cursor: COPY in, statements on sets, COPY out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg

from datong.errors import StoreUnavailable, TableUnfit
from datong.tables.layout import (
    OPERATION,
    Item,
    items_of_text,
    items_text,
    keys,
    listed,
    matched,
    quoted,
)
from datong.tables.postgres import columns
from datong.tables.postgres.connection import connect, said
from datong.tables.postgres.copying import canonical_expression, copy_in, digest_of
from datong.tables.store import (
    CURSOR_COLUMNS,
    CURSOR_TABLE,
    STAGING_TABLE,
    Arrived,
    Counts,
    Cursor,
    counts_of,
    cursor_update,
    is_next,
    require_fit,
    require_resource,
)


class PostgresStore:
    """A table of PostgreSQL and its cursor."""

    def __init__(self, url: str, table: str) -> None:
        """Connect with the first call.

        Args:
            table: its name, or `schema.name`.
        """
        self.table = table
        self._url = url
        self._name = ".".join(map(quoted, table.split(".", 1)))
        self._connection: psycopg.Connection[Any] | None = None

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        """One transaction; errors of the driver become ours."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = connect(self._url)
            with self._connection.transaction():
                yield self._connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise StoreUnavailable(f"PostgreSQL did not answer: {said(error)}.") from error
        except psycopg.Error as error:
            raise TableUnfit(
                f"PostgreSQL refused: {said(error)}.",
                next_step=f"Check the table {self.table} and the rights of the database user.",
            ) from error

    def prepare(
        self, resource: str, subscription: str, items: Sequence[Item], *, from_beginning: bool
    ) -> Cursor:
        """Make table and cursor when they are absent; return the cursor."""
        with self._transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [CURSOR_TABLE])
            described = ", ".join(f'"{name}" {kind}' for name, kind in CURSOR_COLUMNS.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS {CURSOR_TABLE} ({described})")
            present = self._lock(connection)
            require_resource(present, resource)
            layout = self._make_table(connection, items, present, from_beginning=from_beginning)
            if present is None or present.subscription != subscription:
                connection.execute(
                    f'INSERT INTO {CURSOR_TABLE} ("table", resource, subscription, sequence, '  # noqa: S608
                    "receipted, items) VALUES (%s, %s, %s, 0, true, %s) "
                    'ON CONFLICT ("table") DO UPDATE SET subscription = excluded.subscription, '
                    "sequence = 0, receipted = true, items = excluded.items, delivery = NULL, "
                    "kind = NULL, version = NULL, added = NULL, updated = NULL, deleted = NULL, "
                    "rows = NULL, digest = NULL, state = NULL",
                    [self.table, resource, subscription, items_text(layout)],
                )
            cursor = self._lock(connection)
        if cursor is None:
            raise TableUnfit(f"The cursor of {self.table} is gone.")
        return cursor

    def cursor(self) -> Cursor | None:
        """The cursor; None before `prepare`."""
        with self._transaction() as connection:
            found = connection.execute("SELECT to_regclass(%s)", [CURSOR_TABLE]).fetchone()
            if found is None or found[0] is None:
                return None
            return self._lock(connection)

    def apply(
        self, arrived: Arrived, *, from_beginning: bool, before_commit: Callable[[], None]
    ) -> bool:
        """Apply a delivery together with its cursor, in one transaction."""
        with self._transaction() as connection:
            cursor = self._lock(connection)
            if not is_next(cursor, arrived):
                return False
            counts = self._write(connection, arrived, from_beginning=from_beginning)
            self._advance(connection, arrived, counts)
            before_commit()
        return True

    def _write(
        self, connection: psycopg.Connection[Any], arrived: Arrived, *, from_beginning: bool
    ) -> Counts:
        """Write the rows of a delivery."""
        if arrived.kind == "table":
            return self._replace(connection, arrived)
        return self._change(connection, arrived, from_beginning=from_beginning)

    def _advance(
        self, connection: psycopg.Connection[Any], arrived: Arrived, counts: Counts
    ) -> None:
        """Write the cursor of a delivery."""
        connection.execute(*cursor_update("%s", self.table, arrived, counts))

    def read_back(self, arrived: Arrived, *, from_beginning: bool) -> Cursor:
        """Read rows and digest from the table as it is now, and keep them beside the cursor."""
        with self._transaction() as connection:
            cursor = self._lock(connection)
            if cursor is None:
                raise TableUnfit(f"The cursor of {self.table} is gone.")
            if cursor.delivery != arrived.id or cursor.digest is not None:
                return cursor
            chosen = ", ".join(canonical_expression(item, "t.") for item in arrived.items)
            query = f"SELECT {chosen} FROM {self._name} t"  # noqa: S608
            if not from_beginning and arrived.kind != "table":
                self._stage(connection, arrived, only_keys=True)
                equal = matched(keys(arrived.items), "t", "s")
                query += f" JOIN {STAGING_TABLE} s ON {equal} AND s.{OPERATION} <> 'deleted'"
            digest = digest_of(connection, query, arrived.items)
            connection.execute(
                f'UPDATE {CURSOR_TABLE} SET rows = %s, digest = %s WHERE "table" = %s',  # noqa: S608
                [digest.rows, digest.hexdigest(), self.table],
            )
            return self._lock(connection) or cursor

    def note_receipt(self, delivery: str, state: str) -> None:
        """Note that the platform has the receipt of `delivery`; nothing when the cursor is past."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE {CURSOR_TABLE} SET receipted = true, state = %s "  # noqa: S608
                'WHERE "table" = %s AND delivery = %s',
                [state, self.table, delivery],
            )

    def pass_over(self, sequence: int, *, until: int) -> None:
        """Let the delivery `until` be the next; nothing when `sequence` is past."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE {CURSOR_TABLE} SET sequence = %s, delivery = NULL, kind = NULL, "  # noqa: S608
                'version = NULL, added = NULL, updated = NULL, deleted = NULL, "rows" = NULL, '
                "digest = NULL, state = 'passed over' "
                'WHERE "table" = %s AND sequence = %s AND receipted',
                [until - 1, self.table, sequence - 1],
            )

    def _lock(self, connection: psycopg.Connection[Any]) -> Cursor | None:
        """Read the cursor and hold it until the transaction ends: one receiver at a time."""
        row = connection.execute(
            f'SELECT {listed(CURSOR_COLUMNS)} FROM {CURSOR_TABLE} WHERE "table" = %s FOR UPDATE',  # noqa: S608
            [self.table],
        ).fetchone()
        if row is None:
            return None
        named = dict(zip(CURSOR_COLUMNS, row, strict=True))
        return Cursor(**{**named, "items": items_of_text(named["items"])})

    def _replace(self, connection: psycopg.Connection[Any], arrived: Arrived) -> Counts:
        connection.execute(f"TRUNCATE {self._name}")
        columns.fit(connection, self._name, arrived.items)
        names = [item.name for item in arrived.items]
        command = f"COPY {self._name} ({listed(names)}) FROM STDIN (FORMAT csv)"
        added = copy_in(connection, command, arrived, names)
        return Counts(added=added, updated=0, deleted=0)

    def _change(
        self, connection: psycopg.Connection[Any], arrived: Arrived, *, from_beginning: bool
    ) -> Counts:
        staged = self._stage(connection, arrived)
        names, key = [item.name for item in arrived.items], keys(arrived.items)
        equal = matched(key, "t", "s")
        settings = ", ".join(
            f"{quoted(name)} = s.{quoted(name)}"
            for name in [name for name in names if name not in key] or key[:1]
        )
        deleted = connection.execute(
            f"DELETE FROM {self._name} t USING {STAGING_TABLE} s "  # noqa: S608
            f"WHERE s.{OPERATION} = 'deleted' AND {equal}"
        ).rowcount
        updated = connection.execute(
            f"UPDATE {self._name} t SET {settings} FROM {STAGING_TABLE} s "  # noqa: S608
            f"WHERE s.{OPERATION} <> 'deleted' AND {equal}"
        ).rowcount
        inserted = connection.execute(
            f"INSERT INTO {self._name} ({listed(names)}) "  # noqa: S608
            f"SELECT {listed(names, 's.')} FROM {STAGING_TABLE} s WHERE s.{OPERATION} <> 'deleted' "
            f"AND NOT EXISTS (SELECT 1 FROM {self._name} t WHERE {equal})"
        ).rowcount
        return counts_of(
            staged,
            deleted=deleted,
            updated=updated,
            inserted=inserted,
            from_beginning=from_beginning,
        )

    def _stage(
        self, connection: psycopg.Connection[Any], arrived: Arrived, *, only_keys: bool = False
    ) -> dict[str, int]:
        """Put a delivery into a temporary table; return its rows per operation."""
        items = [item for item in arrived.items if item.key or not only_keys]
        connection.execute(
            f"CREATE TEMPORARY TABLE {STAGING_TABLE} ({OPERATION} text, {columns.typed(items)}) "
            "ON COMMIT DROP"
        )
        names = [OPERATION, *(item.name for item in items)]
        copy_in(connection, f"COPY {STAGING_TABLE} FROM STDIN (FORMAT csv)", arrived, names)
        connection.execute(f"ANALYZE {STAGING_TABLE}")
        counted = connection.execute(
            f"SELECT {OPERATION}, count(*) FROM {STAGING_TABLE} GROUP BY {OPERATION}"  # noqa: S608
        )
        return dict(counted.fetchall())

    def _make_table(
        self,
        connection: psycopg.Connection[Any],
        items: Sequence[Item],
        cursor: Cursor | None,
        *,
        from_beginning: bool,
    ) -> Sequence[Item]:
        """Make the table, or check the one there; return its layout, which a delivery changes."""
        kind = connection.execute(
            "SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", [self._name]
        ).fetchone()
        if kind is None:
            columns.create(connection, self._name, items)
            return items
        if kind[0] not in ("r", "p"):
            require_fit(self.table, ["it is no table"], has_foreign_rows=False)
        layout = items if cursor is None else cursor.items
        is_foreign = cursor is None and from_beginning and self._has_rows(connection)
        wrong = columns.wrong_with(connection, self._name, layout)
        require_fit(self.table, wrong, has_foreign_rows=is_foreign)
        return layout

    def _has_rows(self, connection: psycopg.Connection[Any]) -> bool:
        found = connection.execute(f"SELECT EXISTS (SELECT 1 FROM {self._name})")  # noqa: S608
        row = found.fetchone()
        return row is not None and bool(row[0])
