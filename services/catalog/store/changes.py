"""What has changed since a reader last looked, none left out, in whatever order it commits.

Each entry names the transaction that changed it last. Numbers of transactions are given at their
first change and become visible at their commit, so a greater number may be seen before a smaller
one. A reader therefore keeps no greatest number but a *position*: the least number that was still
open when it looked (`pg_snapshot_xmin`). Whatever it did not see then has that number or a greater
one. What it has seen may come again; readers know it by its revision.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import BigInteger, Text, bindparam, cast, func
from sqlalchemy import select as select_columns
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col, select

from kit.db import Tx
from kit.outbox import INCARNATION
from services.catalog.domain import Entry, Version, VersionState
from services.catalog.models import EntryRow, VersionRow
from services.catalog.store.entries import read_entry

Published = tuple[Entry, Version]

_PUBLISHED: Final = (
    select(EntryRow, VersionRow)
    .join(VersionRow, col(VersionRow.entry) == col(EntryRow.id))
    .where(VersionRow.state == VersionState.PUBLISHED.value)
)


@dataclass(frozen=True, slots=True)
class Horizon:
    """Where a reader stands.

    Attributes:
        incarnation: of the database; positions of another one mean nothing.
        position: whoever looks now sees all changes of transactions before it.
        end: no transaction from it on had begun.
    """

    incarnation: int
    position: int
    end: int


@dataclass(frozen=True, slots=True)
class Change:
    """An entry, the revision it has now, and the transaction that changed it last."""

    entry: str
    revision: int
    changed_in: int


async def horizon(tx: Tx) -> Horizon:
    """Return where a reader stands that now begins to read: the horizon comes before the rows."""
    snapshot = func.pg_current_snapshot()
    query = select_columns(
        INCARNATION.c.value,
        cast(cast(func.pg_snapshot_xmin(snapshot), Text), BigInteger),
        cast(cast(func.pg_snapshot_xmax(snapshot), Text), BigInteger),
    )
    incarnation, position, end = (await (await tx.connection()).execute(query)).one()
    return Horizon(incarnation, position, end)


async def changes_since(tx: Tx, position: int, end: int) -> list[Change]:
    """Return the entries that transactions from `position` to before `end` changed last.

    `end` leaves out numbers of another server, which came with a copy of its tables.
    """
    query = select_columns(
        col(EntryRow.id), col(EntryRow.revision), col(EntryRow.changed_in)
    ).where(col(EntryRow.changed_in) >= position, col(EntryRow.changed_in) < end)
    rows = await (await tx.connection()).execute(query)
    return [Change(entry, revision, changed_in or 0) for entry, revision, changed_in in rows]


async def published(tx: Tx, entries: Sequence[str]) -> list[Published]:
    """Return those of `entries` that are published, with that version."""
    among = bindparam("entries", list(entries), type_=ARRAY(Text))
    query = _PUBLISHED.where(col(EntryRow.id) == func.any(among))
    return [read_entry(*row) for row in await tx.exec(query)]


async def published_after(tx: Tx, after: str, limit: int) -> list[Published]:
    """Return up to `limit` published entries with an id greater than `after`, in id order."""
    query = _PUBLISHED.where(EntryRow.id > after).order_by(col(EntryRow.id)).limit(limit)
    return [read_entry(*row) for row in await tx.exec(query)]


async def published_by(tx: Tx, agencies: Sequence[str]) -> list[str]:
    """Return the ids of the published entries of some agencies."""
    among = bindparam("agencies", list(agencies), type_=ARRAY(Text))
    query = (
        select(EntryRow.id)
        .join(VersionRow, col(VersionRow.entry) == col(EntryRow.id))
        .where(
            VersionRow.state == VersionState.PUBLISHED.value,
            col(EntryRow.agency) == func.any(among),
        )
    )
    return list(await tx.exec(query))
