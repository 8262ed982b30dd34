"""All SQL of audit: filling the index by COPY, searching it by keyset, salts."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, func, literal_column, or_, text, update
from sqlmodel import col, select

from kit.db import Tx
from services.audit.domain.search import Found, Query
from services.audit.models import ProgressRow, RecordRow, SaltRow

MAX_TEXT: Final = 256

_TEXTS: Final[Mapping[str, tuple[str, ...]]] = {
    "record": ("record",),
    "type": ("type",),
    "instance": ("instance",),
    "epoch": ("epoch",),
    "at": ("at",),
    "call": ("call",),
    "caller": ("caller",),
    "caller_agency": ("caller_agency", "agency"),
    "owner_agency": ("owner_agency",),
    "resource": ("resource",),
    "grant_id": ("grant",),
    "purpose": ("purpose",),
    "case_number": ("case",),
    "route": ("route",),
    "mode": ("mode",),
    "operation": ("operation",),
    "decision": ("decision",),
    "reason": ("reason",),
    "event": ("event",),
    "subject": ("subject",),
    "actor": ("actor",),
}
"""Text columns and the record's fields they come from; the first that is present counts."""

COLUMNS: Final = ("leaf", "sequence", "status", "rows", *_TEXTS)
_FIELDS: Final = tuple(_TEXTS.values())


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the log is indexed: commit number (-1 for none) and size."""

    commit: int
    size: int


def index_row(leaf: int, record: bytes) -> tuple[Any, ...]:
    """Return the values of `COLUMNS` for one record of the log."""
    fields = orjson.loads(record)
    return (
        leaf,
        fields["sequence"],
        _number(fields.get("status"), 1 << 15),
        _number(fields.get("rows"), 1 << 62),
        *[_text(fields, names) for names in _FIELDS],
    )


def _text(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first present text, in a form that a column and its index can hold."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, str):
            return value[:MAX_TEXT].replace("\0", "�")
    return None


def _number(value: Any, bound: int) -> int | None:
    return value if type(value) is int and 0 <= value < bound else None


async def progress(tx: Tx) -> Progress:
    """Return how far the log is indexed."""
    row = (await tx.exec(select(ProgressRow))).one()
    return Progress(row.commit, row.size)


async def lock_progress(tx: Tx) -> Progress:
    """Return how far the log is indexed, and keep other indexers out until `tx` ends."""
    row = (await tx.exec(select(ProgressRow).with_for_update())).one()
    return Progress(row.commit, row.size)


async def set_progress(tx: Tx, reached: Progress) -> None:
    """Enter how far the log is indexed."""
    await tx.exec(update(ProgressRow).values(commit=reached.commit, size=reached.size))


async def add_records(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Append rows of `index_row` by COPY; the transaction has begun with `lock_progress`."""
    connection = await (await tx.connection()).get_raw_connection()
    driver = connection.driver_connection
    if driver is None:
        raise RuntimeError("the connection has no driver")
    await driver.copy_records_to_table("record", records=rows, columns=COLUMNS)


async def add_salts(tx: Tx, salts: Iterable[tuple[str, bytes]]) -> None:
    """Keep salts; one that is there already stays."""
    pairs = list(salts)
    if pairs:
        statement = text(
            "INSERT INTO salt SELECT * FROM"
            " unnest(CAST(:records AS text[]), CAST(:salts AS bytea[])) ON CONFLICT DO NOTHING"
        ).bindparams(records=[record for record, _ in pairs], salts=[salt for _, salt in pairs])
        await (await tx.connection()).execute(statement)


async def clear(tx: Tx) -> None:
    """Empty the index, but not the salts, before it is rebuilt."""
    await lock_progress(tx)
    await (await tx.connection()).execute(text("TRUNCATE record"))
    await set_progress(tx, Progress(-1, 0))


async def salt(tx: Tx, record: str) -> bytes | None:
    """Return the salt of a record, or None when there is none or it was erased."""
    row = (await tx.exec(select(SaltRow).where(col(SaltRow.record) == record))).one_or_none()
    return None if row is None else row.salt


async def find(tx: Tx, record: str) -> list[Found]:
    """Return the records with this id: one, but for conflicts."""
    query = select(RecordRow).where(col(RecordRow.record) == record).order_by(col(RecordRow.leaf))
    return [_found(row) for row in (await tx.exec(query.limit(10))).all()]


async def search(tx: Tx, query: Query, after: tuple[str, int] | None, limit: int) -> list[Found]:
    """Return up to `limit` records, newest first, behind the position `after` (at, leaf)."""
    conditions = _conditions(query)
    if after is not None:
        at, leaf = after
        conditions.append(
            or_(
                col(RecordRow.at) < at,
                (col(RecordRow.at) == at) & (col(RecordRow.leaf) < leaf),
            )
        )
        conditions.append(col(RecordRow.at) <= at)
    found: dict[int, Found] = {}
    for scan in _scans(query):
        statement = (
            select(RecordRow)
            .where(*conditions, *scan)
            .order_by(col(RecordRow.at).desc(), col(RecordRow.leaf).desc())
            .limit(limit)
        )
        found.update({row.leaf: _found(row) for row in (await tx.exec(statement)).all()})
    return sorted(found.values(), key=lambda item: (item.at, item.leaf), reverse=True)[:limit]


def _scans(query: Query) -> list[list[ColumnElement[bool]]]:
    """Return alternatives that together find what concerns the agencies asked for.

    Calling and owning are a scan of their own index each: an OR of both would be read whole and
    sorted before the first record is known.
    """
    mine, other = query.visible_to or query.agency, query.agency
    if mine is None:
        return [[]]
    calls, owns = col(RecordRow.caller_agency), col(RecordRow.owner_agency)
    if other in (None, mine):
        return [[calls == mine], [owns == mine]]
    return [[calls == mine, owns == other], [owns == mine, calls == other]]


def _conditions(query: Query) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [
        col(getattr(RecordRow, name)) == value for name, value in query.equal.items()
    ]
    if query.equal.get("decision") == "denied":
        # Written out, so that the partial index of denials is seen to fit.
        conditions.append(col(RecordRow.decision) == literal_column("'denied'"))
    if query.refused:
        # Other types have reasons as well: alarms, and answers that were withheld.
        conditions.append(col(RecordRow.reason).is_not(None))
        conditions.append(col(RecordRow.type).in_(("call", "closed")))
    if query.from_at is not None:
        conditions.append(col(RecordRow.at) >= query.from_at)
    if query.until is not None:
        conditions.append(col(RecordRow.at) < query.until)
    return conditions


async def leaves_between(
    tx: Tx, from_at: str | None, until: str | None, size: int
) -> tuple[int, int] | None:
    """Return the first leaf and one past the last whose `at` is in [from_at, until), or None."""
    conditions: list[ColumnElement[bool]] = [col(RecordRow.leaf) < size]
    if from_at is not None:
        conditions.append(col(RecordRow.at) >= from_at)
    if until is not None:
        conditions.append(col(RecordRow.at) < until)
    query = select(func.min(RecordRow.leaf), func.max(RecordRow.leaf)).where(*conditions)
    found: tuple[int | None, int | None] = (await tx.exec(query)).one()
    first, last = found
    return None if first is None or last is None else (first, last + 1)


_WIDEN: Final = text(
    "SELECT min(r.leaf), max(r.leaf) FROM record r JOIN"
    " (SELECT instance, epoch, min(sequence) AS low, max(sequence) AS high FROM record"
    "  WHERE leaf >= :first AND leaf < :last GROUP BY instance, epoch) s"
    " ON r.instance = s.instance AND r.epoch = s.epoch AND r.sequence BETWEEN s.low AND s.high"
    " WHERE r.leaf < :size"
)


async def widen(tx: Tx, first: int, last: int, size: int) -> tuple[int, int]:
    """Widen a leaf range so that it holds each epoch's numbers between its lowest and highest."""
    statement = _WIDEN.bindparams(first=first, last=last, size=size)
    low, high = (await (await tx.connection()).execute(statement)).one()
    return (first, last) if low is None else (min(first, low), max(last, high + 1))


def _found(row: RecordRow) -> Found:
    return Found(**{name: getattr(row, name) for name in Found.__dataclass_fields__})
