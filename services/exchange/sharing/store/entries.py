"""Entries whose withdrawal was handled: nothing is granted of them any more."""

from datetime import datetime

from sqlalchemy import ColumnElement
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import func, select

from kit.db import Tx
from services.exchange.sharing.models import WithdrawnEntryRow


async def hold(tx: Tx, entry_id: str) -> bool:
    """Let the entry's withdrawal wait until `tx` ends; tell whether it is still to come.

    This never waits itself, whatever else `tx` has locked.
    """
    taking = select(func.pg_try_advisory_xact_lock_shared(_number(entry_id)))
    if not (await tx.exec(taking)).one():
        return False
    return await tx.get(WithdrawnEntryRow, entry_id) is None


async def withdraw(tx: Tx, entry_id: str, at: datetime) -> None:
    """Wait for all that hold the entry, then note its withdrawal."""
    await tx.exec(select(func.pg_advisory_xact_lock(_number(entry_id))))
    connection = await tx.connection()
    noted = insert(WithdrawnEntryRow).values(entry=entry_id, handled_at=at)
    await connection.execute(noted.on_conflict_do_nothing())


def _number(entry_id: str) -> ColumnElement[int]:
    """Return what PostgreSQL locks for an entry: advisory locks have numbers."""
    number: ColumnElement[int] = func.hashtextextended(entry_id, 0)
    return number
