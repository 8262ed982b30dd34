"""Commands of a consumer's system: receive, deliveries."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from datong.cli.options import Session
from datong.errors import InputInvalid, ReconciliationDiffers
from datong.operations.operation import Json
from datong.tables import open_receiver
from datong.tables.patience import SECONDS, Patience

if TYPE_CHECKING:
    from datong.tables.receiving import Received, Receiver, Step

Resource = Annotated[str, typer.Argument(help="A granted resource.")]
Purpose = Annotated[str | None, typer.Option(help="Purpose code; goes on record.")]
Grant = Annotated[str | None, typer.Option(help="Id of the grant to use.")]
_FIGURES = ("added", "updated", "deleted", "rows", "digest")
_COLUMNS = ("subscription", "sequence", "kind", "version", "rows", "bytes", "receipt", "created_at")


def add_commands(application: typer.Typer) -> None:
    """Add the commands of this page."""
    application.command(
        "receive",
        epilog="Example: datong receive divisions --into postgresql://user@host/health "
        "--purpose registration --follow",
    )(_receive)
    application.command(
        "deliveries", epilog="Example: datong deliveries divisions --purpose registration"
    )(_deliveries)


def _receive(
    context: typer.Context,
    resource: Resource,
    into: Annotated[
        str,
        typer.Option(
            help="postgresql://user:password@host:port/database, sqlite:///path, or a "
            "file that holds it (which keeps passwords from `ps`)."
        ),
    ],
    table: Annotated[
        str | None, typer.Option(help="Its name; the resource's with _ for - otherwise.")
    ] = None,
    from_: Annotated[
        Literal["beginning", "now"],
        typer.Option("--from", help="The table and its changes, or changes only."),
    ] = "beginning",
    purpose: Purpose = None,
    grant: Grant = None,
    follow: Annotated[
        bool, typer.Option("--follow/--once", help="Go on for ever, or end when up to date.")
    ] = False,
    wait: Annotated[
        float, typer.Option(min=0, help="With --once: seconds to wait for a delivery.")
    ] = 0.0,
    renew: Annotated[
        bool, typer.Option("--renew", help="Ask for the whole table anew: repairs the table.")
    ] = False,
    spool: Annotated[
        Path | None, typer.Option(help="Folder for what is on its way; in ~/.cache otherwise.")
    ] = None,
    patience: Annotated[
        float | None, typer.Option(min=0, help="Seconds that a failure may last.")
    ] = None,
) -> None:
    """Keep a table of one's own in step with a resource, and send receipts.

    Each delivery is applied in one transaction together with its cursor (table datong_cursor).
    Counts and digest are read back from the table after the commit. Ends with 6 when they are
    not the platform's.
    """
    session: Session = context.obj
    limit = patience if patience is not None else (None if follow else SECONDS)
    shown = _Shown(session, follow=follow)
    with (
        session.client() as client,
        open_receiver(
            client,
            resource,
            into=_address(into),
            table=table,
            from_=from_,
            purpose=purpose,
            grant=grant,
            spool=spool,
            patience=Patience(limit, on_retry=shown.retry),
            on_step=shown.step,
        ) as receiver,
    ):
        try:
            deliveries = (
                receiver.follow(renew=renew)
                if follow
                else receiver.catch_up(renew=renew, seconds=wait)
            )
            for received in deliveries:
                shown.received(received)
        finally:
            shown.end(receiver)
    if shown.differing:
        raise ReconciliationDiffers(
            f"{shown.differing} of {shown.count} receipts differ from the platform's figures.",
            next_step=f"Find out who else writes to the table. datong receive {resource} … "
            "--renew replaces it.",
        )


def _address(value: str) -> str:
    if "://" in value:
        return value
    try:
        return Path(value).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputInvalid(
            f"{value} is neither the address of a database nor a file that holds one.",
            next_step="It reads postgresql://user:password@host:port/database or sqlite:///path.",
        ) from error


class _Shown:
    """What people and programs see of a run."""

    def __init__(self, session: Session, *, follow: bool) -> None:
        self._output = session.output
        self._follow = follow
        self._received: list[Json] = []
        self.count = 0
        self.differing = 0

    def step(self, step: Step, about: Json) -> None:
        """Something happened to a delivery."""
        if self._output.as_json:
            return
        if step == "subscribed":
            self._output.note(f"subscription {about['id']}, from {about['from']}")
        elif step == "found":
            rows = sum(segment["rows"] for segment in about["segments"])
            self._output.note(f"delivery {about['sequence']}: {about['kind']} of {rows} rows")
        elif step == "passed over":
            self._output.note(
                f"delivery {about['sequence']} cannot be applied; a later one brings the table"
            )

    def retry(self, error: Exception, seconds: float) -> None:
        """Something failed that may pass."""
        line = str(error).splitlines()[0]
        self._output.note(f"{line} Trying again in {seconds:.1f} s.")

    def received(self, received: Received) -> None:
        """A delivery has its receipt."""
        self.count += 1
        self.differing += received.state != "agreed"
        if self._output.as_json and self._follow:
            sys.stdout.write(json.dumps(received.as_json(), ensure_ascii=False) + "\n")
            sys.stdout.flush()
        elif self._output.as_json:
            self._received.append(received.as_json())
        elif received.state == "agreed":
            own = received.consumer
            self._output.line(
                f"delivery {received.sequence}: version {received.version}, {own['added']} added, "
                f"{own['updated']} updated, {own['deleted']} deleted; {own['rows']} rows, digest "
                f"{own['digest']}: both sides agree"
            )
        else:
            self._show_difference(received)

    def _show_difference(self, received: Received) -> None:
        self._output.line(f"delivery {received.sequence}: BOTH SIDES DIFFER")
        platform = received.platform or {}
        self._output.items(
            (
                {
                    "figure": name,
                    "own table": received.consumer[name],
                    "platform": platform.get(name, "has another receipt"),
                    "differs": received.consumer[name] != platform.get(name),
                }
                for name in _FIGURES
            ),
            ("figure", "own table", "platform", "differs"),
        )

    def end(self, receiver: Receiver) -> None:
        """The run is over."""
        if self._follow:
            return
        if self._output.as_json:
            self._output.document(
                {
                    "subscription": receiver.subscription.get("id"),
                    "table": receiver.store.table,
                    "agreed": self.differing == 0,
                    "deliveries": self._received,
                }
            )
        elif not self.count:
            self._output.note("nothing new")


def _deliveries(
    context: typer.Context,
    resource: Resource,
    subscription: Annotated[
        str | None, typer.Option(help="Of this subscription; of all otherwise.")
    ] = None,
    purpose: Purpose = None,
    grant: Grant = None,
    after: Annotated[int, typer.Option("--since", min=0, help="After this sequence.")] = 0,
) -> None:
    """List the deliveries of one's subscriptions."""
    session: Session = context.obj
    listed: list[Json] = []
    with session.client() as client:
        ids = [subscription] if subscription is not None else []
        if subscription is None:
            page = client.list_subscriptions(resource, purpose=purpose, grant=grant)
            ids = [found["id"] for found in page.items]
        for name in ids:
            last: int | None = after
            while last is not None:
                answer = client.list_deliveries(
                    resource, name, after=last, limit=100, purpose=purpose, grant=grant
                )
                listed += [{"subscription": name, **found} for found in answer["items"]]
                last = answer["next"]
    if session.output.as_json:
        session.output.items(listed)
        return
    sums = (
        {
            **found,
            "rows": sum(segment["rows"] for segment in found["segments"]),
            "bytes": sum(segment["bytes"] for segment in found["segments"]),
            "receipt": found["receipt"] or "pending",
        }
        for found in listed
    )
    session.output.items(sums, _COLUMNS)
