"""Commands of an owner's system: publish, batches, quarantine, abandon."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from datong.cli.options import Session
from datong.errors import InputInvalid, Refused
from datong.operations.operation import Json
from datong.tables import FORMATS, open_source
from datong.tables.patience import SECONDS, Patience
from datong.tables.publishing import Progress as Step
from datong.tables.publishing import Published, Publisher, Stage

Resource = Annotated[str, typer.Argument(help="Resource of one's own agency.")]
Batch = Annotated[str, typer.Argument(help="Id of the batch.")]
Count = Annotated[int | None, typer.Option(min=0, help="Declare this count; compared.")]
_COLUMNS = ("id", "mode", "state", "rows", "quarantined", "version", "opened_at")
_FAULT_COLUMNS = ("where", "item", "rule", "detail")
_MIB = 1 << 20


def add_commands(application: typer.Typer) -> None:
    """Add the commands of this page."""
    application.command(
        "publish",
        epilog="Examples: datong publish divisions divisions.csv · datong publish divisions "
        "--from postgresql://user@host/town --table divisions --mode changes",
    )(_publish)
    application.command("batches", epilog="Example: datong batches divisions --as publisher")(
        _batches
    )
    application.command("quarantine", epilog="Example: datong quarantine divisions BATCH")(
        _quarantine
    )
    application.command("abandon", epilog="Example: datong abandon divisions BATCH")(_abandon)


def _publish(
    context: typer.Context,
    resource: Resource,
    file: Annotated[
        Path | None, typer.Argument(help=f"File: {', '.join(FORMATS)}; another by --format.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", help="postgresql://… or sqlite:///path; with --table.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="Table or view to publish.")] = None,
    mode: Annotated[
        Literal["snapshot", "changes"],
        typer.Option(help="The whole table, or rows to put and delete (column _op)."),
    ] = "snapshot",
    quarantine_limit: Annotated[
        int, typer.Option(min=0, help="Most rows that may be left out because of faults.")
    ] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload and check, then abandon the batch.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Publish although the same input is effective.")
    ] = False,
    chunk_mib: Annotated[int, typer.Option(min=1, max=16, help="Size of chunks.")] = 8,
    format_: Annotated[
        Literal["csv", "ndjson", "arrow"] | None, typer.Option("--format", help="Of the file.")
    ] = None,
    added: Count = None,
    updated: Count = None,
    deleted: Count = None,
    patience: Annotated[
        float, typer.Option(min=0, help="Seconds that a failure may last.")
    ] = SECONDS,
) -> None:
    """Publish a file or a table as one batch, and wait for its outcome.

    The same command again goes on with a batch that broke. Ends with 0 when the batch is
    effective, with 3 when it was refused.
    """
    session: Session = context.obj
    if (file is None) == (from_ is None) or (from_ is None) != (table is None):
        raise InputInvalid("Name a FILE, or a database by --from and its --table.")
    counts = {"added": added, "updated": updated, "deleted": deleted}
    with (
        _shown(session) as shown,
        open_source(
            from_ or file or "",
            table=table,
            file_format=format_,
            chunk_bytes=chunk_mib * _MIB,
            on_read=shown.read,
        ) as source,
        session.client() as client,
    ):
        published = Publisher(
            client,
            resource,
            source,
            mode=mode,
            declared={name: value for name, value in counts.items() if value is not None},
            quarantine_limit=quarantine_limit,
            is_trial=dry_run,
            again=again,
            patience=Patience(patience, on_retry=shown.retry),
            on_progress=shown.step,
        ).run()
        name = source.name
    _tell(session, published, resource, name)
    if not published.is_effective:
        raise typer.Exit(Refused.exit_code)


class _Shown:
    """Progress on a terminal as a bar, elsewhere as lines."""

    def __init__(self, session: Session, bar: Progress | None) -> None:
        self._session = session
        self._bar = bar
        self._task = None if bar is None else bar.add_task("reading", total=None)
        self._told = 0

    def read(self, done: int, size: int) -> None:
        """The input is looked at."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=size)

    def step(self, step: Step) -> None:
        """The platform has more of it."""
        sentence = {
            Stage.OPENED: f"batch {step.batch}",
            Stage.UPLOADING: f"{step.rows} of {step.total} rows, {step.quarantined} quarantined",
            Stage.SEALED: f"{step.rows} rows sealed",
            Stage.FINISHED: "",
        }[step.stage]
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task, description=sentence, completed=step.rows, total=step.total or 1
            )
        elif sentence and not self._session.output.as_json:
            self._session.output.note(sentence)

    def retry(self, error: Exception, seconds: float) -> None:
        """Something failed that may pass."""
        line = str(error).splitlines()[0]
        self._session.output.note(f"{line} Trying again in {seconds:.1f} s.")


@contextmanager
def _shown(session: Session) -> Iterator[_Shown]:
    console = session.output.messages
    if session.output.as_json or not console.is_terminal:
        yield _Shown(session, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Shown(session, bar)


def _tell(session: Session, published: Published, resource: str, name: str) -> None:
    if session.output.as_json:
        session.output.document(published.as_json())
        return
    batch = published.batch
    session.output.object(_figures(published))
    if published.quarantine:
        faults = (
            {
                "where": f"{name}, {fault.place.readable()}",
                "item": fault.item,
                "rule": fault.rule,
                "detail": fault.detail,
            }
            for fault in published.quarantine
        )
        session.output.items(faults, _FAULT_COLUMNS)
        if not published.is_trial:
            session.output.note(f"all of them: datong quarantine {resource} {batch['id']}")
    session.output.note(_verdict(published, resource))


def _figures(published: Published) -> Json:
    batch = published.batch
    return {
        "batch": batch["id"],
        "state": "checked" if published.is_trial else batch["state"],
        "sent rows": published.sent_rows,
        "taken rows": batch["rows"],
        "quarantined": batch["quarantined"],
        **(batch["effects"] or {}),
        **({"version": batch["version"]} if batch["version"] is not None else {}),
        **{f"table {name}": value for name, value in (batch["table"] or {}).items()},
    }


def _verdict(published: Published, resource: str) -> str:
    batch = published.batch
    if published.was_effective:
        since = f"The very same input became effective at {batch['finished_at']}"
        if published.is_superseded:
            return f"{since}, and other batches came after it. To publish it once more: --again"
        return f"{since}; nothing was sent. To publish it once more all the same: --again"
    if published.is_trial:
        return (
            "Checked and abandoned; nothing was published. Whether keys repeat and whether "
            "deleted keys exist is checked only when a batch is sealed."
        )
    if batch["refusal"]:
        refusal = batch["refusal"]
        return f"Refused ({refusal['code']}): {refusal['detail']} Nothing was changed."
    return {
        "effective": f"Effective: {resource} has version {batch['version']}.",
        "abandoned": "The batch was abandoned; nothing was changed.",
    }.get(batch["state"], str(batch["state"]))


def _batches(
    context: typer.Context,
    resource: Resource,
    state: Annotated[str | None, typer.Option(help="open, sealed, effective, refused, …")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=200, help="Items of a page.")] = None,
    cursor: Annotated[str | None, typer.Option(help="Go on after this page.")] = None,
) -> None:
    """List batches, newest first."""
    session: Session = context.obj
    with session.client() as client:
        page = client.list_batches(resource, state=state, limit=limit, cursor=cursor)
    session.output.items(page.items, _COLUMNS, following=page.next)


def _quarantine(
    context: typer.Context,
    resource: Resource,
    batch: Batch,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write NDJSON to this file.")
    ] = None,
) -> None:
    """Show which rows of a batch are in quarantine, and which rule each breaks.

    Rows count from 1 in their chunk; values are not repeated.
    """
    session: Session = context.obj
    with session.client() as client:
        faults = client.get_quarantine(resource, batch)
    if output is None:
        session.output.items(faults, ("chunk", "row", "item", "rule", "detail"))
        return
    lines = (json.dumps(fault, ensure_ascii=False) + "\n" for fault in faults)
    try:
        output.write_text("".join(lines), "utf-8")
    except OSError as error:
        raise InputInvalid(f"{output} cannot be written: {error.strerror}.") from error
    session.output.done(
        f"{len(faults)} faults written to {output}", {"file": str(output), "faults": len(faults)}
    )


def _abandon(context: typer.Context, resource: Resource, batch: Batch) -> None:
    """Give up an open batch; nothing of it was ever visible."""
    session: Session = context.obj
    with session.client() as client:
        session.output.object(client.abandon_batch(resource, batch))
