"""Keeps a table of SQLite (3.33 or later) in step, in chunks of rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from datong.errors import InputInvalid, StoreUnavailable, TableUnfit
from datong.tables.digest import TableDigest
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
from datong.tables.store import (
    CURSOR_COLUMNS,
    CURSOR_TABLE,
    STAGING_TABLE,
    Arrived,
    Counts,
    Cursor,
    counts_of,
    cursor_update,
    differences,
    is_next,
    require_fit,
    require_resource,
    segment_batches,
)

TYPES: Final = {
    "text": "TEXT",
    "integer": "INTEGER",
    "decimal": "TEXT",
    "boolean": "INTEGER",
    "date": "TEXT",
    "datetime": "TEXT",
}
"""Decimals, dates and instants are kept as their canonical text, booleans as 0 and 1."""
_FITTING: Final = {kind: (column,) for kind, column in TYPES.items()}
SCHEME: Final = "sqlite:///"
READ_ROWS: Final = 16_384
"""Rows that are read back at once: memory stays flat."""
_BUSY_SECONDS: Final = 30.0


def path_of_address(url: str) -> Path:
    """The file of `sqlite:///path`; `sqlite:////path` is absolute.

    Raises:
        InputInvalid: another address.
    """
    if not url.startswith(SCHEME) or url == SCHEME:
        raise InputInvalid(
            "This is not the address of a database.",
            next_step="It reads postgresql://user:password@host:port/database, or "
            "sqlite:///path/of/file.",
        )
    return Path(url.removeprefix(SCHEME)).expanduser()


def canonical_expression(item: Item, prefix: str = "") -> str:
    """SQL that gives the canonical text of a column (`contracts/rows.md`, section 3)."""
    column = prefix + quoted(item.name)
    text = f"CAST({column} AS TEXT)"
    if item.type == "boolean":
        return f"CASE {column} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE {text} END"
    return text


def connect(file: Path) -> sqlite3.Connection:
    """A connection without transactions of its own making.

    Raises:
        StoreUnavailable: the file cannot be opened.
    """
    try:
        connection = sqlite3.connect(file, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{file} cannot be opened: {error}.") from error
    # What somebody wrote behind our back must show as a difference, not as an error.
    connection.text_factory = lambda data: data.decode(errors="replace")
    return connection


class SqliteStore:
    """A table of SQLite and its cursor."""

    def __init__(self, file: Path, table: str) -> None:
        """Open the file with the first call; it is created when absent."""
        self.table = table
        self._file = file
        self._name = quoted(table)
        self._connection: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that nobody else writes in; errors of the driver become ours."""
        try:
            if self._connection is None:
                self._connection = connect(self._file)
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "locked" in str(error) or "busy" in str(error):
                raise StoreUnavailable(f"{self._file} is busy: {error}.") from error
            raise self._refused(error) from error
        except sqlite3.Error as error:
            raise self._refused(error) from error

    def _refused(self, error: sqlite3.Error) -> TableUnfit:
        return TableUnfit(
            f"SQLite refused: {error}.",
            next_step=f"Check the file {self._file}, its disk, and the table {self.table}.",
        )

    def prepare(
        self, resource: str, subscription: str, items: Sequence[Item], *, from_beginning: bool
    ) -> Cursor:
        """Make table and cursor when they are absent; return the cursor."""
        with self._transaction() as connection:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in CURSOR_COLUMNS.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS {CURSOR_TABLE} ({columns})")
            present = self._read(connection)
            require_resource(present, resource)
            layout = self._make_table(connection, items, present, from_beginning=from_beginning)
            if present is None or present.subscription != subscription:
                connection.execute(
                    f'INSERT OR REPLACE INTO {CURSOR_TABLE} ("table", resource, subscription, '  # noqa: S608
                    "sequence, receipted, items) VALUES (?, ?, ?, 0, 1, ?)",
                    [self.table, resource, subscription, items_text(layout)],
                )
            cursor = self._read(connection)
        if cursor is None:
            raise TableUnfit(f"The cursor of {self.table} is gone.")
        return cursor

    def cursor(self) -> Cursor | None:
        """The cursor; None before `prepare`."""
        with self._transaction() as connection:
            found = connection.execute(
                "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", [CURSOR_TABLE]
            ).fetchone()
            return None if found is None else self._read(connection)

    def apply(
        self, arrived: Arrived, *, from_beginning: bool, before_commit: Callable[[], None]
    ) -> bool:
        """Apply a delivery together with its cursor, in one transaction."""
        with self._transaction() as connection:
            if not is_next(self._read(connection), arrived):
                return False
            counts = self._write(connection, arrived, from_beginning=from_beginning)
            self._advance(connection, arrived, counts)
            before_commit()
        return True

    def _write(
        self, connection: sqlite3.Connection, arrived: Arrived, *, from_beginning: bool
    ) -> Counts:
        """Write the rows of a delivery."""
        if arrived.kind == "table":
            return self._replace(connection, arrived)
        return self._change(connection, arrived, from_beginning=from_beginning)

    def _advance(self, connection: sqlite3.Connection, arrived: Arrived, counts: Counts) -> None:
        """Write the cursor of a delivery."""
        connection.execute(*cursor_update("?", self.table, arrived, counts))

    def read_back(self, arrived: Arrived, *, from_beginning: bool) -> Cursor:
        """Read rows and digest from the table as it is now, and keep them beside the cursor."""
        with self._transaction() as connection:
            cursor = self._read(connection)
            if cursor is None:
                raise TableUnfit(f"The cursor of {self.table} is gone.")
            if cursor.delivery != arrived.id or cursor.digest is not None:
                return cursor
            chosen = ", ".join(canonical_expression(item, "t.") for item in arrived.items)
            query = f"SELECT {chosen} FROM {self._name} AS t"  # noqa: S608
            if not from_beginning and arrived.kind != "table":
                self._stage(connection, arrived)
                equal = matched(keys(arrived.items), "t", "s")
                query += f" JOIN {STAGING_TABLE} AS s ON {equal} AND s.{OPERATION} <> 'deleted'"
            digest = _digest(connection, query, arrived.items)
            connection.execute(f"DROP TABLE IF EXISTS temp.{STAGING_TABLE}")
            connection.execute(
                f'UPDATE {CURSOR_TABLE} SET "rows" = ?, digest = ? WHERE "table" = ?',  # noqa: S608
                [digest.rows, digest.hexdigest(), self.table],
            )
            return self._read(connection) or cursor

    def note_receipt(self, delivery: str, state: str) -> None:
        """Note that the platform has the receipt of `delivery`; nothing when the cursor is past."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE {CURSOR_TABLE} SET receipted = 1, state = ? "  # noqa: S608
                'WHERE "table" = ? AND delivery = ?',
                [state, self.table, delivery],
            )

    def pass_over(self, sequence: int, *, until: int) -> None:
        """Let the delivery `until` be the next; nothing when `sequence` is past."""
        with self._transaction() as connection:
            connection.execute(
                f"UPDATE {CURSOR_TABLE} SET sequence = ?, delivery = NULL, kind = NULL, "  # noqa: S608
                'version = NULL, added = NULL, updated = NULL, deleted = NULL, "rows" = NULL, '
                "digest = NULL, state = 'passed over' "
                'WHERE "table" = ? AND sequence = ? AND receipted',
                [until - 1, self.table, sequence - 1],
            )

    def _read(self, connection: sqlite3.Connection) -> Cursor | None:
        row = connection.execute(
            f'SELECT {listed(CURSOR_COLUMNS)} FROM {CURSOR_TABLE} WHERE "table" = ?',  # noqa: S608
            [self.table],
        ).fetchone()
        if row is None:
            return None
        named = dict(zip(CURSOR_COLUMNS, row, strict=True))
        named["receipted"] = bool(named["receipted"])
        named["items"] = items_of_text(named["items"])
        return Cursor(**named)

    def _replace(self, connection: sqlite3.Connection, arrived: Arrived) -> Counts:
        if self._wrong_with(connection, arrived.items):
            connection.execute(f"DROP TABLE {self._name}")
            self._create(connection, arrived.items)
        else:
            connection.execute(f"DELETE FROM {self._name}")  # noqa: S608
        return Counts(self._insert(connection, self._name, arrived), 0, 0)

    def _change(
        self, connection: sqlite3.Connection, arrived: Arrived, *, from_beginning: bool
    ) -> Counts:
        staged = self._stage(connection, arrived)
        names, key = [item.name for item in arrived.items], keys(arrived.items)
        equal = matched(key, "t", "s")
        settings = ", ".join(
            f"{quoted(name)} = s.{quoted(name)}"
            for name in [name for name in names if name not in key] or key[:1]
        )
        deleted = connection.execute(
            f"DELETE FROM {self._name} WHERE ({listed(key)}) IN (SELECT {listed(key)} "  # noqa: S608
            f"FROM {STAGING_TABLE} WHERE {OPERATION} = 'deleted')"
        ).rowcount
        updated = connection.execute(
            f"UPDATE {self._name} AS t SET {settings} FROM {STAGING_TABLE} AS s "  # noqa: S608
            f"WHERE s.{OPERATION} <> 'deleted' AND {equal}"
        ).rowcount
        inserted = connection.execute(
            f"INSERT INTO {self._name} ({listed(names)}) SELECT {listed(names)} "  # noqa: S608
            f"FROM {STAGING_TABLE} AS s WHERE s.{OPERATION} <> 'deleted' "
            f"AND NOT EXISTS (SELECT 1 FROM {self._name} AS t WHERE {equal})"
        ).rowcount
        connection.execute(f"DROP TABLE temp.{STAGING_TABLE}")
        return counts_of(
            staged,
            deleted=deleted,
            updated=updated,
            inserted=inserted,
            from_beginning=from_beginning,
        )

    def _stage(self, connection: sqlite3.Connection, arrived: Arrived) -> dict[str, int]:
        """Put a delivery into a temporary table; return its rows per operation."""
        columns = ", ".join(f"{quoted(item.name)} {TYPES[item.type]}" for item in arrived.items)
        connection.execute(f"DROP TABLE IF EXISTS temp.{STAGING_TABLE}")
        connection.execute(f"CREATE TEMP TABLE {STAGING_TABLE} ({OPERATION} TEXT, {columns})")
        self._insert(connection, f"temp.{STAGING_TABLE}", arrived, with_operation=True)
        counted = connection.execute(
            f"SELECT {OPERATION}, count(*) FROM {STAGING_TABLE} GROUP BY 1"  # noqa: S608
        )
        return dict(counted.fetchall())

    @staticmethod
    def _insert(
        connection: sqlite3.Connection,
        target: str,
        arrived: Arrived,
        *,
        with_operation: bool = False,
    ) -> int:
        """Insert the rows of a delivery; return how many the statements inserted."""
        names = [OPERATION] * with_operation + [item.name for item in arrived.items]
        places = ", ".join("?" * len(names))
        insert = f"INSERT INTO {target} ({listed(names)}) VALUES ({places})"  # noqa: S608
        booleans = {item.name for item in arrived.items if item.type == "boolean"}
        inserted = 0
        for segment in arrived.segments:
            for batch in segment_batches(segment, arrived.items):
                columns = [
                    pc.equal(batch.column(name), "true").cast(pa.int8()).to_pylist()
                    if name in booleans
                    else batch.column(name).to_pylist()
                    for name in names
                ]
                # The driver takes nothing but tuples; one batch of them lives at a time.
                inserted += connection.executemany(insert, zip(*columns, strict=True)).rowcount
        return inserted

    def _make_table(
        self,
        connection: sqlite3.Connection,
        items: Sequence[Item],
        cursor: Cursor | None,
        *,
        from_beginning: bool,
    ) -> Sequence[Item]:
        """Make the table, or check the one there; return its layout, which a delivery changes."""
        kind = connection.execute(
            "SELECT type FROM sqlite_master WHERE name = ?", [self.table]
        ).fetchone()
        if kind is None:
            self._create(connection, items)
            return items
        if kind[0] != "table":
            require_fit(self.table, ["it is no table"], has_foreign_rows=False)
        layout = items if cursor is None else cursor.items
        query = f"SELECT EXISTS (SELECT 1 FROM {self._name})"  # noqa: S608
        is_foreign = (
            cursor is None and from_beginning and bool(connection.execute(query).fetchone()[0])
        )
        wrong = self._wrong_with(connection, layout)
        require_fit(self.table, wrong, has_foreign_rows=is_foreign)
        return layout

    def _create(self, connection: sqlite3.Connection, items: Sequence[Item]) -> None:
        columns = ", ".join(f"{quoted(item.name)} {TYPES[item.type]}" for item in items)
        key = listed(keys(items))
        connection.execute(f"CREATE TABLE {self._name} ({columns}, PRIMARY KEY ({key}))")

    def _wrong_with(self, connection: sqlite3.Connection, items: Sequence[Item]) -> list[str]:
        """What keeps the table from holding exactly these items; empty when it fits."""
        found = connection.execute(f"PRAGMA table_info({self._name})").fetchall()
        columns = {name: str(kind).upper() for _, name, kind, _, _, _ in found}
        key = frozenset(name for _, name, _, _, _, place in found if place)
        return differences(columns, [key], items, _FITTING)


def _digest(connection: sqlite3.Connection, query: str, items: Sequence[Item]) -> TableDigest:
    """Count and digest of a query whose columns are the canonical texts of `items`."""
    digest = TableDigest(items)
    names = [item.name for item in items]
    found = connection.execute(query)
    while rows := found.fetchmany(READ_ROWS):
        columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
        digest.add(pa.RecordBatch.from_arrays(columns, names=names))
    return digest
