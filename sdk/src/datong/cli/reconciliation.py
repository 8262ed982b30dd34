"""`datong reconcile`: declared, platform's and consumers' figures side by side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

import typer

from datong.cli.options import Session
from datong.errors import InputInvalid, ReconciliationDiffers
from datong.operations.operation import Json

_SHANGHAI = timezone(timedelta(hours=8))
_CHANGES = ("added", "updated", "deleted")
_COLUMNS = ("batch", "who", "sent", "quarantined", *_CHANGES, "rows", "digest", "state")
_LAST_DAYS = 7


def add_commands(application: typer.Typer) -> None:
    """Add the command of this page."""
    application.command(
        "reconcile",
        epilog="Examples: datong reconcile divisions · datong reconcile divisions --days",
    )(_reconcile)


def _reconcile(
    context: typer.Context,
    resource: Annotated[str, typer.Argument(help="Resource.")],
    days: Annotated[bool, typer.Option("--days", help="One line per day.")] = False,
    batch: Annotated[str | None, typer.Option(help="Of this batch.")] = None,
    state: Annotated[str | None, typer.Option(help="pending, agreed or differs.")] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="First day, YYYY-MM-DD; with --days.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Last day, inclusive; with --days.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on after this page.")] = None,
) -> None:
    """Show what was declared, what the platform did and what consumers found, side by side.

    Ends with 6 when a receipt among what is shown differs.
    """
    session: Session = context.obj
    with session.client() as client:
        if days:
            page = client.list_reconciliation_days(resource, **_period(from_, until))
        else:
            page = client.list_reconciliations(
                resource, batch=batch, state=state, limit=limit, cursor=cursor
            )
    if session.output.as_json or days:
        session.output.items(page.items, tuple(page.items[0]) if page.items else (),
                             following=page.next)  # fmt: skip
    else:
        lines = (line for item in page.items for line in _lines(item))
        session.output.items(lines, _COLUMNS, following=page.next)
    if any(item.get("differs") or item.get("state") == "differs" for item in page.items):
        raise ReconciliationDiffers(
            "There are receipts that differ from the platform's figures.",
            next_step="Ask the consumer's technical officer what else writes to the table; "
            "`datong receive … --renew` replaces it.",
        )


def _period(from_: str | None, until: str | None) -> dict[str, str]:
    """The days asked for; the last seven otherwise."""
    last = _day(until) if until else datetime.fromtimestamp(time.time(), _SHANGHAI)
    first = _day(from_) if from_ else last - timedelta(days=_LAST_DAYS - 1)
    return {"from_": f"{first:%Y-%m-%d}", "until": f"{last:%Y-%m-%d}"}


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=_SHANGHAI)
    except ValueError as error:
        raise InputInvalid(f"{text} is not a day: it reads YYYY-MM-DD.") from error


def _lines(item: Json) -> Iterator[Json]:
    """A batch as lines: what was declared, what the platform did, what each consumer found."""
    platform: dict[str, Any] = item["platform"] or {}  # the owner's alone
    declared: dict[str, Any] = item["declared"] or {}
    if declared:
        sent = {"sent": declared.get("rows"), "rows": None}
        yield {**declared, **sent, "batch": item["batch"], "who": "declared"}
    yield {
        **platform,
        "batch": item["batch"],
        "who": f"platform, version {item['version']}",
        "sent": platform["rows"] + platform["quarantined"] if platform else None,
        "rows": platform.get("table_rows"),
        "state": item["state"],
    }
    for delivery in item["deliveries"]:
        yield {
            **(delivery["consumer"] or {}),
            "batch": item["batch"],
            "who": f"{delivery['agency']}, delivery {delivery['sequence']}",
            "state": delivery["state"],
        }
        if delivery["state"] == "differs":
            yield {
                **delivery["platform"],
                "batch": item["batch"],
                "who": "  the platform's figures of it",
            }
