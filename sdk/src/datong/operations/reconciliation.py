"""Operations on reconciliation: declared, platform's and consumers' figures side by side."""

from __future__ import annotations

from datong.operations.operation import (
    Operation,
    Page,
    get,
    path_of,
    read_page,
    with_query,
)

_RECONCILIATIONS = "/data/v1/{resource}/reconciliations"


def list_reconciliations(
    resource: str,
    *,
    batch: str | None = None,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """Figures per batch and delivery, newest first.

    Args:
        state: `pending`, `agreed` or `differs`.
    """
    path = path_of(_RECONCILIATIONS, resource=resource)
    path = with_query(path, batch=batch, state=state, limit=limit, cursor=cursor)
    return get("list_reconciliations", path, read_page)


def list_reconciliation_days(resource: str, *, from_: str, until: str) -> Operation[Page]:
    """Figures per day.

    Args:
        from_: first day, `YYYY-MM-DD` in Asia/Shanghai.
        until: last day, inclusive.
    """
    path = path_of(_RECONCILIATIONS + "/days", resource=resource)
    return get("list_reconciliation_days", with_query(path, from_=from_, until=until), read_page)
