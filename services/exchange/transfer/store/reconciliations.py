"""Reconciliation: figures of batches and their deliveries, as far as one who asks may see them."""

from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from kit.db import Tx
from services.exchange.transfer.domain import DeliveryKind, Figures, Start, platform_figures
from services.exchange.transfer.domain.reconciliation import (
    ZONE,
    ReconciledDay,
    ReconciledDelivery,
    Reconciliation,
    ReconciliationState,
    Viewer,
)
from services.exchange.transfer.store.deliveries import projected_version_of

_SEEN: Final = "(:sees_all OR b.agency = :agency OR s.agency = :agency)"
"""Which deliveries `s` of which batches `b` are seen."""

_OWNED: Final = "(:sees_all OR b.agency = :agency)"
"""Of which batches `b` the figures of the whole table are seen."""

_OF_BATCH: Final = (
    "SELECT count(*) AS deliveries,"  # noqa: S608 - constants only
    " count(*) FILTER (WHERE d.receipt_state = 'agreed') AS agreed,"
    " count(*) FILTER (WHERE d.receipt_state = 'differs') AS differs,"
    " count(*) FILTER (WHERE d.receipt_state IS NULL) AS pending"
    " FROM delivery d JOIN subscription s ON s.id = d.subscription"
    f" WHERE d.batch = b.id AND {_SEEN}"
)
_BATCHES: Final = (
    f"FROM batch b CROSS JOIN LATERAL ({_OF_BATCH}) c"
    " WHERE b.resource = :resource AND b.version IS NOT NULL"
    f" AND ({_OWNED} OR c.deliveries > 0)"
)
# A version that is still being projected will have deliveries that nobody has counted.
_STATE: Final = (
    "CASE WHEN c.differs > 0 THEN 'differs'"  # noqa: S608 - constants only
    " WHEN c.pending > 0 THEN 'pending'"
    f" WHEN {_OWNED} AND EXISTS (SELECT 1 FROM work w"
    "  WHERE w.kind = 'project' AND w.subject ->> 'batch' = b.id) THEN 'pending'"
    " ELSE 'agreed' END"
)
_PAGE: Final = text(
    "SELECT * FROM (SELECT b.id, b.version, b.sealed_at, b.declared, b.rows, b.quarantined,"  # noqa: S608 - constants only
    " b.added, b.updated, b.deleted, b.unchanged, b.table_rows, b.table_digest,"
    f" {_OWNED} AS owned, {_STATE} AS state {_BATCHES}"
    " AND (CAST(:batch AS text) IS NULL OR b.id = :batch)"
    " AND (CAST(:before AS timestamptz) IS NULL OR (b.sealed_at, b.id) < (:before, :before_id))"
    ") AS seen WHERE CAST(:state AS text) IS NULL OR state = :state"
    " ORDER BY sealed_at DESC, id DESC LIMIT :limit"
).columns(declared=JSONB)
_OF_BATCHES: Final = text(
    "SELECT d.batch AS of_batch, d.id, d.sequence, d.receipt, d.receipt_state, d.received_at,"  # noqa: S608 - constants only
    " s.id AS subscription, s.agency, s.system, s.starts, p.*"
    " FROM delivery d JOIN subscription s ON s.id = d.subscription JOIN batch b ON b.id = d.batch"
    " JOIN projected p ON p.projection = d.projection AND p.version = d.version"
    "  AND p.kind = d.kind"
    f" WHERE d.batch = ANY(:batches) AND {_SEEN} ORDER BY d.created_at, d.id"
).bindparams(bindparam("batches", type_=ARRAY(TEXT)))
_DELIVERIES: Final = _OF_BATCHES.columns(receipt=JSONB)
_WHOLE: Final = f"FILTER (WHERE {_OWNED})"
_DAYS: Final = text(
    f"SELECT (b.sealed_at AT TIME ZONE '{ZONE}')::date AS day, count(*) AS batches,"
    f" sum(coalesce((b.declared ->> 'rows')::bigint, 0)) {_WHOLE}::bigint AS declared_rows,"
    f" sum(b.rows) {_WHOLE}::bigint AS rows,"
    f" sum(b.quarantined) {_WHOLE}::bigint AS quarantined,"
    f" sum(b.added) {_WHOLE}::bigint AS added, sum(b.updated) {_WHOLE}::bigint AS updated,"
    f" sum(b.deleted) {_WHOLE}::bigint AS deleted, sum(c.deliveries)::bigint AS deliveries,"
    " sum(c.agreed)::bigint AS agreed, sum(c.differs)::bigint AS differs,"
    f" sum(c.pending)::bigint AS pending {_BATCHES}"
    f" AND b.sealed_at >= CAST(:first AS date)::timestamp AT TIME ZONE '{ZONE}'"
    f" AND b.sealed_at < (CAST(:last AS date) + 1)::timestamp AT TIME ZONE '{ZONE}'"
    " GROUP BY day ORDER BY day"
)

Position = tuple[datetime, str]
"""When a batch was sealed, and its id: where a page ends."""


async def list_reconciliations(
    tx: Tx,
    resource: str,
    viewer: Viewer,
    *,
    batch: str | None,
    state: ReconciliationState | None,
    after: Position | None,
    limit: int,
) -> list[Reconciliation]:
    """Return up to `limit` effective batches with what the viewer sees of them, newest first.

    Two statements, however many batches and deliveries there are.
    """
    connection = await tx.connection()
    seen = {"sees_all": viewer.sees_all, "agency": viewer.agency}
    asked = {
        "resource": resource,
        "batch": batch,
        "state": None if state is None else state.value,
        "before": None if after is None else after[0],
        "before_id": "" if after is None else after[1],
        "limit": limit,
    }
    rows = (await connection.execute(_PAGE, seen | asked)).all()
    found: dict[str, list[ReconciledDelivery]] = {row.id: [] for row in rows}
    if found:
        for row in await connection.execute(_DELIVERIES, seen | {"batches": list(found)}):
            found[row.of_batch].append(_delivery(row))
    return [_reconciliation(row, found[row.id]) for row in rows]


async def list_days(
    tx: Tx, resource: str, viewer: Viewer, first: date, last: date
) -> list[ReconciledDay]:
    """Return the days from `first` to `last` on which batches were sealed that the viewer sees."""
    asked = {"resource": resource, "first": first, "last": last}
    seen = {"sees_all": viewer.sees_all, "agency": viewer.agency}
    rows = await (await tx.connection()).execute(_DAYS, seen | asked)
    return [ReconciledDay(**row) for row in rows.mappings()]


def _reconciliation(row: Any, deliveries: list[ReconciledDelivery]) -> Reconciliation:
    return Reconciliation(
        batch=row.id,
        version=row.version,
        sealed_at=row.sealed_at,
        declared=(row.declared or None) if row.owned else None,
        platform=None
        if not row.owned
        else {
            "rows": row.rows,
            "quarantined": row.quarantined,
            "added": row.added,
            "updated": row.updated,
            "deleted": row.deleted,
            "unchanged": row.unchanged,
            "table_rows": row.table_rows,
        },
        digest=row.table_digest if row.owned else None,
        deliveries=deliveries,
        state=ReconciliationState(row.state),
    )


def _delivery(row: Any) -> ReconciledDelivery:
    platform = consumer = None
    if row.receipt is not None:
        # Told before the receipt, the platform's figures could be echoed.
        platform = platform_figures(projected_version_of(row), Start(row.starts))
        consumer = Figures(**row.receipt)
    return ReconciledDelivery(
        delivery=row.id,
        sequence=row.sequence,
        subscription=row.subscription,
        agency=row.agency,
        system=row.system,
        kind=DeliveryKind(row.kind),
        state=ReconciliationState(row.receipt_state or "pending"),
        platform=platform,
        consumer=consumer,
        received_at=row.received_at,
    )
