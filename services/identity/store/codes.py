"""One-time codes in the database."""

from datetime import datetime

from sqlmodel import col, select, update

from kit.db import Tx
from services.identity.domain.codes import OneTimeCode
from services.identity.models import CodeRow


async def add(tx: Tx, code: OneTimeCode, now: datetime) -> None:
    """Keep a new code; unused ones of the same holder expire with it."""
    await tx.exec(
        update(CodeRow)
        .where(
            col(CodeRow.holder) == code.holder,
            col(CodeRow.used_at).is_(None),
            col(CodeRow.expires_at) > now,
        )
        .values(expires_at=now)
    )
    tx.add(
        CodeRow(
            digest=code.digest,
            kind=code.kind,
            holder=code.holder,
            expires_at=code.expires_at,
            used_at=code.used_at,
        )
    )
    await tx.flush()


async def find(tx: Tx, digest: str) -> OneTimeCode | None:
    """Return the code with this digest, its row locked until `tx` ends, or None."""
    query = select(CodeRow).where(CodeRow.digest == digest).with_for_update()
    row = (await tx.exec(query)).one_or_none()
    if row is None:
        return None
    return OneTimeCode(row.digest, row.kind, row.holder, row.expires_at, row.used_at)


async def use(tx: Tx, code: OneTimeCode, now: datetime) -> None:
    """Mark a locked code as used."""
    await tx.exec(update(CodeRow).where(col(CodeRow.digest) == code.digest).values(used_at=now))
