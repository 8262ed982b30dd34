"""What keeps a table in step: the cursor beside it, and what a database must be able to do.

Everything of one delivery happens in one transaction of the consumer's own database: the rows and
the cursor. Figures are then read back from the table in a second one, kept beside the cursor, and
sent as the receipt. A crash at any point leaves a state from which the next start goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa

from datong.errors import AnswerMalformed, TableUnfit
from datong.operations.operation import Json
from datong.tables.extra import require_extra
from datong.tables.layout import OPERATION, Item, items_text, keys

CURSOR_TABLE: Final = "datong_cursor"
STAGING_TABLE: Final = "datong_staging"
CURSOR_COLUMNS: Final = {
    "table": "text PRIMARY KEY",
    "resource": "text NOT NULL",
    "subscription": "text NOT NULL",
    "sequence": "bigint NOT NULL",
    "delivery": "text",
    "kind": "text",
    "version": "bigint",
    "added": "bigint",
    "updated": "bigint",
    "deleted": "bigint",
    "rows": "bigint",
    "digest": "text",
    "receipted": "boolean NOT NULL",
    "state": "text",
    "items": "text NOT NULL",
}
"""Columns of `datong_cursor` and their types; one row per table that is kept."""


@dataclass(frozen=True)
class Counts:
    """What the statements of one delivery did to rows."""

    added: int
    updated: int
    deleted: int


@dataclass(frozen=True)
class Cursor:
    """How far a table is: the last delivery that was applied, and what came of it.

    Attributes:
        sequence: of that delivery; 0 before the first.
        rows: of what was read back; None until it was.
        digest: of what was read back.
        receipted: the platform has the receipt of this delivery.
        state: `agreed` or `differs`, as the platform answered.
        items: layout of the table.
    """

    table: str
    resource: str
    subscription: str
    sequence: int
    delivery: str | None
    kind: str | None
    version: int | None
    added: int | None
    updated: int | None
    deleted: int | None
    rows: int | None
    digest: str | None
    receipted: bool
    state: str | None
    items: tuple[Item, ...]

    def figures(self) -> Json:
        """The receipt of the last delivery."""
        return {
            "added": self.added,
            "updated": self.updated,
            "deleted": self.deleted,
            "rows": self.rows,
            "digest": self.digest,
        }


@dataclass(frozen=True)
class Arrived:
    """A delivery whose segments lie in the spool.

    Attributes:
        items: layout that a delivery of the kind `table` brings.
        segments: files, in the order of their numbers.
    """

    id: str
    sequence: int
    kind: str
    version: int
    items: tuple[Item, ...]
    segments: tuple[Path, ...]


def cursor_update(
    placeholder: str, table: str, arrived: Arrived, counts: Counts
) -> tuple[str, list[str | int]]:
    """Statement and values that move the cursor of `table` to a delivery; figures come later.

    Args:
        placeholder: how the driver of the database marks a value.
    """
    values: dict[str, str | int] = {
        "sequence": arrived.sequence,
        "delivery": arrived.id,
        "kind": arrived.kind,
        "version": arrived.version,
        "added": counts.added,
        "updated": counts.updated,
        "deleted": counts.deleted,
        "items": items_text(arrived.items),
    }
    settings = ", ".join(f"{name} = {placeholder}" for name in values)
    statement = (
        f"UPDATE {CURSOR_TABLE} SET {settings}, rows = NULL, digest = NULL, receipted = false, "  # noqa: S608
        f'state = NULL WHERE "table" = {placeholder}'
    )
    return statement, [*values.values(), table]


class Store(Protocol):
    """One table of the consumer's database and its cursor. Not to be shared between threads.

    Args of every method that takes a delivery: it was checked against the platform's listing.
    Every method raises `StoreUnavailable` when the database does not answer; call `close` then
    and try again.
    """

    table: str
    """Name of the table, as the cursor names it."""

    def prepare(
        self, resource: str, subscription: str, items: Sequence[Item], *, from_beginning: bool
    ) -> Cursor:
        """Make table and cursor when they are absent; return the cursor.

        A cursor of another subscription, which has ended, begins anew.

        Raises:
            TableUnfit: a table of that name is there and cannot hold the items, or it holds rows
                that do not come from here.
        """

    def cursor(self) -> Cursor | None:
        """The cursor; None before `prepare`."""

    def apply(
        self, arrived: Arrived, *, from_beginning: bool, before_commit: Callable[[], None]
    ) -> bool:
        """Apply a delivery together with its cursor, in one transaction.

        Args:
            before_commit: called when everything is written and nothing is committed.

        Returns:
            False when another receiver has gone on meanwhile; nothing was changed then.
        """

    def read_back(self, arrived: Arrived, *, from_beginning: bool) -> Cursor:
        """Read rows and digest from the table as it is now, and keep them beside the cursor.

        Figures that are kept already are not read again: the receipt of a delivery is one.

        Args:
            from_beginning: whole table; otherwise the added and updated rows of the delivery.
        """

    def note_receipt(self, delivery: str, state: str) -> None:
        """Note that the platform has the receipt of `delivery`; nothing when the cursor is past."""

    def pass_over(self, sequence: int, *, until: int) -> None:
        """Let the delivery `until` be the next; nothing when `sequence` is past."""

    def close(self) -> None:
        """Close the connection; the next call opens another."""


def require_resource(cursor: Cursor | None, resource: str) -> None:
    """Check that a table is not kept for another resource.

    Raises:
        TableUnfit: it is.
    """
    if cursor is not None and cursor.resource != resource:
        raise TableUnfit(
            f"The table {cursor.table} is kept for the resource {cursor.resource}.",
            next_step="Name another one: --table NAME",
        )


def require_fit(table: str, wrong: Sequence[str], *, has_foreign_rows: bool) -> None:
    """Check what was found of a table that is there already.

    Raises:
        TableUnfit: something is wrong with it, or it holds rows that do not come from here.
    """
    if wrong:
        raise TableUnfit(
            f"The table {table} cannot hold the rows: {'; '.join(wrong)}.",
            next_step="Name a table that is not there yet: --table NAME",
        )
    if has_foreign_rows:
        raise TableUnfit(
            f"The table {table} holds rows that do not come from here.",
            next_step="Empty it, or name a table that is not there yet: --table NAME",
        )


def differences(
    columns: Mapping[str, str],
    unique: Collection[frozenset[str]],
    items: Sequence[Item],
    fitting: Mapping[str, Collection[str]],
) -> list[str]:
    """What keeps a table from holding exactly these items; empty when it fits.

    Args:
        columns: types of the columns there are.
        unique: sets of columns that are unique together.
        fitting: types of columns that hold an item's type, the usual one first.
    """
    left, wrong = dict(columns), []
    for item in items:
        present, wanted = left.pop(item.name, None), list(fitting[item.type])
        if present is None:
            wrong.append(f"the column {item.name} is missing")
        elif present not in wanted:
            wrong.append(f"{item.name} is {present}, not {wanted[0]}")
    wrong += [f"the column {name} is not delivered" for name in left]
    if not wrong and frozenset(keys(items)) not in unique:
        wrong.append(f"{', '.join(keys(items))} is not unique")
    return wrong


def open_store(url: str, table: str) -> Store:
    """The table of a database.

    Args:
        url: `postgresql://user:password@host:port/database` or `sqlite:///path/of/file`.
        table: name of the table; `schema.name` in PostgreSQL.

    Raises:
        InputInvalid: another kind of address, or packages are missing.
    """
    from datong.tables import sqlite

    if url.startswith(("postgresql://", "postgres://")):
        require_extra()
        from datong.tables.postgres import PostgresStore

        return PostgresStore(url, table)
    return sqlite.SqliteStore(sqlite.path_of_address(url), table)


def segment_batches(file: Path, items: Sequence[Item]) -> list[Any]:
    """Record batches of a segment: `_op` and the items, all `utf8`.

    At most 65,536 rows, hence in memory.

    Raises:
        AnswerMalformed: it holds other columns.
    """
    with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
        names = [OPERATION, *(item.name for item in items)]
        if set(reader.schema.names) != set(names):
            raise AnswerMalformed(
                f"A segment has the columns {', '.join(reader.schema.names)}; expected were "
                f"{', '.join(names)}.",
                next_step="Ask for the table anew: datong receive … --renew",
            )
        return [batch.select(names) for batch in reader]


def segment_names(file: Path) -> set[str]:
    """Names of the items of a segment."""
    with pa.OSFile(str(file)) as source, pa.ipc.open_stream(source) as reader:
        return set(reader.schema.names) - {OPERATION}


def is_next(cursor: Cursor | None, arrived: Arrived) -> bool:
    """Whether a delivery is the one to apply now: the one before it has its receipt."""
    return cursor is not None and cursor.receipted and cursor.sequence + 1 == arrived.sequence


def counts_of(
    staged: dict[str, int], *, deleted: int, updated: int, inserted: int, from_beginning: bool
) -> Counts:
    """Counts of a receipt, from what the statements report.

    A table from the beginning holds every row, so that an update without its row is an addition
    there, and shows as a difference. A table from now on holds what changed since: rows are put
    there as the delivery calls them.

    Args:
        staged: rows of the delivery per operation.
        deleted: rows that the DELETE removed.
        updated: rows that the UPDATE found.
        inserted: rows that were not there.
    """
    if from_beginning:
        return Counts(added=inserted, updated=updated, deleted=deleted)
    added = staged.get("added", 0)
    return Counts(added=added, updated=inserted + updated - added, deleted=staged.get("deleted", 0))
