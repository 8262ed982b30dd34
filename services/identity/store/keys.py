"""Public keys in the database."""

from sqlmodel import col, select, update

from kit.db import Tx
from services.identity.domain.keys import PublicKey, Stage, Use
from services.identity.models import KeyRow


async def add(tx: Tx, key: PublicKey) -> None:
    """Add a new key."""
    tx.add(
        KeyRow(
            kid=key.kid,
            use=key.use,
            material=key.material,
            stage=key.stage,
            retire_at=key.retire_at,
            version=key.version,
        )
    )
    await tx.flush()


async def save(tx: Tx, key: PublicKey) -> None:
    """Write what can change of a locked key: its stage."""
    await tx.exec(
        update(KeyRow)
        .where(col(KeyRow.kid) == key.kid)
        .values(stage=key.stage, retire_at=key.retire_at, version=key.version)
    )


async def all_keys(
    tx: Tx, use: Use | None = None, *, retired: bool = False, lock: bool = False
) -> list[PublicKey]:
    """Return keys in the order of their ids.

    Args:
        use: for this use only.
        retired: also those that nobody may use any more.
        lock: their rows are locked until `tx` ends.
    """
    query = select(KeyRow).order_by(col(KeyRow.kid))
    if use is not None:
        query = query.where(KeyRow.use == use)
    if not retired:
        query = query.where(KeyRow.stage != Stage.RETIRED)
    rows = await tx.exec(query.with_for_update() if lock else query)
    return [
        PublicKey(row.kid, Use(row.use), row.material, Stage(row.stage), row.retire_at, row.version)
        for row in rows
    ]
