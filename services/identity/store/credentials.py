"""Certificates in the database."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Text, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import col, func, select, update

from kit.db import Tx
from services.identity.domain.credentials import Credential, CredentialUnknown, Presented
from services.identity.domain.keys import Stage, Use
from services.identity.models import AgencyRow, CredentialRow, KeyRow, PersonRow, SystemRow
from services.identity.store.subjects import subject_of

_ORDER: Final = 0x63657274
"""Advisory lock of transactions that lock more than one certificate."""


async def add(tx: Tx, credential: Credential) -> None:
    """Add a certificate that was just issued."""
    tx.add(
        CredentialRow(
            thumbprint=credential.thumbprint,
            kind=credential.kind,
            holder=credential.holder,
            agency=credential.agency,
            serial=credential.serial,
            not_before=credential.not_before,
            not_after=credential.not_after,
            revoked_at=credential.revoked_at,
            version=credential.version,
            renewed_from=credential.renewed_from,
        )
    )
    await tx.flush()


async def lock_order(tx: Tx) -> None:
    """Wait until no other transaction locks several certificates, until `tx` ends.

    A revocation locks a certificate before those renewed from it, a page in the order of
    thumbprints: without this, two of them could wait for each other.
    """
    await tx.exec(select(func.pg_advisory_xact_lock(_ORDER)))


async def lock(tx: Tx, thumbprint: str) -> Credential:
    """Return a certificate, its row locked until `tx` ends.

    Raises:
        CredentialUnknown: none has this thumbprint.
    """
    query = select(CredentialRow).where(CredentialRow.thumbprint == thumbprint).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        raise CredentialUnknown("No certificate has this thumbprint.")
    return _credential(row)


async def lock_renewals(tx: Tx, thumbprints: Iterable[str]) -> list[Credential]:
    """Return all certificates renewed from these, directly or through others; locks their rows.

    A renewal that had its certificate locked before this came may have committed meanwhile, so
    call again with what was returned, until nothing is.
    """
    origins = bindparam("origins", list(thumbprints), type_=ARRAY(Text))
    renewals = (
        select(col(CredentialRow.thumbprint).label("thumbprint"))
        .where(col(CredentialRow.renewed_from) == func.any(origins))
        .cte("renewals", recursive=True)
    )
    renewals = renewals.union(
        select(col(CredentialRow.thumbprint)).join(
            renewals, col(CredentialRow.renewed_from) == renewals.c.thumbprint
        )
    )
    query = (
        select(CredentialRow)
        .where(col(CredentialRow.thumbprint).in_(select(renewals.c.thumbprint)))
        .order_by(col(CredentialRow.thumbprint))
        .with_for_update()
    )
    return [_credential(row) for row in await tx.exec(query)]


async def save(tx: Tx, credentials: Iterable[Credential]) -> None:
    """Write what can change of locked certificates: their revocation."""
    changes = [
        {"shown": each.thumbprint, "revoked": each.revoked_at, "next": each.version}
        for each in credentials
    ]
    if changes:
        connection = await tx.connection()
        await connection.execute(
            update(CredentialRow.__table__)  # type: ignore[attr-defined]  # SQLModel hides it
            .where(col(CredentialRow.thumbprint) == bindparam("shown"))
            .values(revoked_at=bindparam("revoked"), version=bindparam("next")),
            changes,
        )


async def page(
    tx: Tx,
    *,
    agency: str | None = None,
    holder: str | None = None,
    after: str | None = None,
    limit: int,
    lock: bool = False,
) -> list[Credential]:
    """Return up to `limit` certificates in the order of their thumbprints.

    Args:
        agency, holder: of these only.
        after: with greater thumbprints only.
        lock: their rows are locked until `tx` ends.
    """
    query = select(CredentialRow).order_by(col(CredentialRow.thumbprint)).limit(limit)
    if agency is not None:
        query = query.where(CredentialRow.agency == agency)
    if holder is not None:
        query = query.where(CredentialRow.holder == holder)
    if after is not None:
        query = query.where(col(CredentialRow.thumbprint) > after)
    rows = await tx.exec(query.with_for_update() if lock else query)
    return [_credential(row) for row in rows]


async def present(
    tx: Tx, thumbprint: str, *, lock: bool = False
) -> tuple[Presented, str | None] | None:
    """Return, in one statement, all that decides about a presented certificate.

    Also the `kid` of the key that signs tokens now; None when nobody knows the certificate.

    Args:
        lock: its row is locked until `tx` ends, so that no revocation happens meanwhile.
    """
    signing = (
        select(KeyRow.kid)
        .where(KeyRow.use == Use.TOKEN, KeyRow.stage == Stage.CURRENT)
        .scalar_subquery()
    )
    query: Any = (
        select(CredentialRow, AgencyRow, PersonRow, SystemRow, signing)  # type: ignore[call-overload]  # more than four
        .join(AgencyRow, col(AgencyRow.id) == CredentialRow.agency)
        .outerjoin(
            PersonRow,
            (col(CredentialRow.kind) == "person") & (col(PersonRow.id) == CredentialRow.holder),
        )
        .outerjoin(
            SystemRow,
            (col(CredentialRow.kind) == "system") & (col(SystemRow.id) == CredentialRow.holder),
        )
        .where(CredentialRow.thumbprint == thumbprint)
    )
    if lock:
        query = query.with_for_update(of=CredentialRow)
    found = (await tx.exec(query)).one_or_none()
    if found is None:
        return None
    credential, agency, person, system, kid = found
    holder = subject_of(person if person is not None else system)
    return Presented(_credential(credential), holder, subject_of(agency)), kid


async def revocations(tx: Tx, now: datetime) -> list[Credential]:
    """Return the revoked certificates that would otherwise still be valid at `now`."""
    query = (
        select(CredentialRow)
        .where(col(CredentialRow.revoked_at).is_not(None), CredentialRow.not_after >= now)
        .order_by(col(CredentialRow.revoked_at))
    )
    return [_credential(row) for row in await tx.exec(query)]


async def revocation_mark(tx: Tx, now: datetime) -> tuple[int, datetime | None]:
    """Return how many revocations count at `now` and when the last was; changes with the list."""
    query = select(func.count(), func.max(CredentialRow.revoked_at)).where(
        col(CredentialRow.revoked_at).is_not(None), CredentialRow.not_after >= now
    )
    return (await tx.exec(query)).one()


def _credential(row: CredentialRow) -> Credential:
    return Credential(
        row.thumbprint,
        row.kind,
        row.holder,
        row.agency,
        row.serial,
        row.not_before,
        row.not_after,
        row.revoked_at,
        row.version,
        row.renewed_from,
    )
