"""Agencies, people and systems in the database."""

from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlmodel import func, select, update

from kit.db import Tx, constraint_of
from services.identity.domain.subjects import (
    UNKNOWN,
    Agency,
    AgencyExists,
    AgencyUnknown,
    AnySubject,
    Level,
    Person,
    Role,
    Standing,
    Subject,
    System,
)
from services.identity.models import AgencyRow, PersonRow, SystemRow

SubjectRow = AgencyRow | PersonRow | SystemRow


async def find(
    tx: Tx, kind: type[AnySubject], subject_id: str, *, lock: bool = False
) -> AnySubject:
    """Return one subject; with `lock`, its row is locked until `tx` ends.

    Raises:
        AgencyUnknown, HolderUnknown: none has this id.
    """
    row_type: Any = _ROWS[kind]
    query = select(row_type).where(row_type.id == subject_id)
    row = (await tx.exec(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise UNKNOWN[kind.kind](f"No {kind.kind} has the id {subject_id}.")
    subject: AnySubject = subject_of(row)
    return subject


async def add(tx: Tx, subject: Subject) -> None:
    """Add a new subject.

    Raises:
        AgencyExists: its id is taken.
        AgencyUnknown: the competent department does not exist.
    """
    tx.add(_row(subject))
    try:
        await tx.flush()
    except IntegrityError as error:
        constraint = constraint_of(error)
        if constraint == "pk_agency":
            raise AgencyExists(f"The id {subject.id} is taken.", pointer="/id") from error
        if constraint == "fk_agency_competent":
            raise AgencyUnknown(
                "The competent department does not exist.", pointer="/competent"
            ) from error
        raise


async def save(tx: Tx, subject: Subject) -> None:
    """Write what can change of a subject whose row is locked: state, roles, version."""
    row_type: Any = _ROWS[type(subject)]
    values: dict[str, Any] = {"state": subject.state, "version": subject.version}
    if isinstance(subject, Person):
        values["roles"] = sorted(subject.roles)
    await tx.exec(update(row_type).where(row_type.id == subject.id).values(**values))


async def page(
    tx: Tx,
    kind: type[AnySubject],
    *,
    agency: str | None = None,
    after: str | None = None,
    limit: int,
    lock: bool = False,
) -> list[AnySubject]:
    """Return up to `limit` subjects in id order.

    Args:
        agency: of this agency only.
        after: with greater ids only.
        lock: their rows are locked until `tx` ends.
    """
    row_type: Any = _ROWS[kind]
    query = select(row_type).order_by(row_type.id).limit(limit)
    if agency is not None:
        query = query.where(row_type.agency == agency)
    if after is not None:
        query = query.where(row_type.id > after)
    rows = await tx.exec(query.with_for_update() if lock else query)
    return [subject_of(row) for row in rows]


async def has_people(tx: Tx) -> bool:
    """Tell whether a person exists; holds off every other asker until `tx` ends."""
    await tx.exec(select(func.pg_advisory_xact_lock(0x626F6F74)))
    return (await tx.exec(select(PersonRow.id).limit(1))).first() is not None


def subject_of(row: SubjectRow) -> Any:
    """Return the domain object of a row."""
    state = Standing(row.state)
    if isinstance(row, AgencyRow):
        return Agency(
            row.id,
            row.name,
            Level(row.level),
            row.area_code,
            row.line,
            row.competent,
            row.audits,
            state,
            row.version,
        )
    if isinstance(row, PersonRow):
        roles = frozenset(Role(role) for role in row.roles)
        return Person(row.id, row.agency, row.name, roles, state, row.version)
    return System(row.id, row.agency, row.name, state, row.version)


def _row(subject: Subject) -> SubjectRow:
    if isinstance(subject, Agency):
        return AgencyRow(
            id=subject.id,
            name=subject.name,
            level=subject.level,
            area_code=subject.area_code,
            line=subject.line,
            competent=subject.competent,
            audits=subject.audits,
            state=subject.state,
            version=subject.version,
        )
    if isinstance(subject, Person):
        return PersonRow(
            id=subject.id,
            agency=subject.agency,
            name=subject.name,
            roles=sorted(subject.roles),
            state=subject.state,
            version=subject.version,
        )
    return SystemRow(
        id=subject.id,
        agency=subject.agency,
        name=subject.name,
        state=subject.state,
        version=subject.version,
    )


_ROWS: dict[type, type[SubjectRow]] = {Agency: AgencyRow, Person: PersonRow, System: SystemRow}
