"""Report what all sides counted."""

from datetime import date

from kit.clock import parse_rfc3339, rfc3339
from kit.db import Tx
from kit.http import ParameterInvalid, decode_cursor, encode_cursor
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.reconciliation import (
    MAX_DAYS,
    ReconciledDay,
    Reconciliation,
    ReconciliationState,
    Viewer,
    is_period,
    read_day,
)
from services.exchange.transfer.store import reconciliations


async def list_reconciliations(
    tx: Tx,
    resource: str,
    viewer: Viewer,
    *,
    batch: str | None,
    state: ReconciliationState | None,
    cursor: str | None,
    limit: int,
) -> tuple[list[Reconciliation], str | None]:
    """Return one page of batches, newest first, and the cursor of the next one, if any.

    Raises:
        CursorInvalid: the cursor is not one of this list.
    """
    found = await reconciliations.list_reconciliations(
        tx,
        resource,
        viewer,
        batch=batch,
        state=state,
        after=None if cursor is None else _position(cursor),
        limit=limit + 1,
    )
    page = found[:limit]
    more = len(found) > limit
    following = encode_cursor([rfc3339(page[-1].sealed_at), page[-1].batch]) if more else None
    return page, following


async def list_days(
    tx: Tx, resource: str, viewer: Viewer, first: str, last: str
) -> list[ReconciledDay]:
    """Return the days from `first` to `last`, both included, on which something was sealed.

    Args:
        first, last: `YYYY-MM-DD`, days in Asia/Shanghai, at most 366 of them.

    Raises:
        ParameterInvalid: with a pointer to the one that is wrong.
    """
    days = _day(first, "from"), _day(last, "until")
    if not is_period(*days):
        raise ParameterInvalid(
            f"The period ends on or after the day on which it begins, and has at most {MAX_DAYS} "
            "days.",
            pointer="/query/until",
        )
    return await reconciliations.list_days(tx, resource, viewer, *days)


def _day(text: str, name: str) -> date:
    day = read_day(text)
    if day is None:
        raise ParameterInvalid("A day YYYY-MM-DD is expected.", pointer=f"/query/{name}")
    return day


def _position(cursor: str) -> reconciliations.Position:
    sealed_at, batch = decode_cursor(cursor, (str, str))
    try:
        return parse_rfc3339(str(sealed_at)), str(batch)
    except ValueError as error:
        raise refusals.CursorInvalid(
            "The cursor is not one that this list gave out.", pointer="/query/cursor"
        ) from error
