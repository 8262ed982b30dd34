"""`datong verify`: proves an evidence package offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from datong.cli.options import Session, text_or_file
from datong.cli.output import plain
from datong.errors import ProofFailed
from datong.verifier.report import Report, Verdict
from datong.verifier.verification import verify
from datong.watch import read_checkpoints

MAX_PRINTED = 20


def add_commands(application: typer.Typer) -> None:
    """Add the command of this page."""
    application.command(
        "verify",
        epilog="Example: datong verify evidence.zip --key log.vkey --checkpoint checkpoints.ndjson "
        "--calls calls.ndjson",
    )(_verify)


def _verify(
    context: typer.Context,
    package: Annotated[Path, typer.Argument(help="The evidence package.")],
    key: Annotated[str, typer.Option(help="The log's verifier key as you noted it, or its file.")],
    checkpoint: Annotated[
        list[Path],
        typer.Option(help="Checkpoints that you kept: of `audit watch`, or one note; repeatable."),
    ],
    calls: Annotated[
        list[Path] | None, typer.Option(help="Call log of a client; repeatable.")
    ] = None,
) -> None:
    """Prove an evidence package, without network and without trust in the platform.

    Key and checkpoints are your own, never the package's. Ends with 5 unless everything is proved.
    """
    session: Session = context.obj
    kept = [note for file in checkpoint for note in read_checkpoints(file)]
    report = verify(package, vkey=text_or_file(key), checkpoints=kept, call_logs=calls or [])
    if session.output.as_json:
        session.output.document(report.as_json())
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(ProofFailed.exit_code)


def _print(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table(title=plain(report.package), show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(report):
        table.add_row(name, plain(value))
    console.print(table)
    for problem in report.problems[:MAX_PRINTED]:
        console.print(f"[red]{problem.what}[/red]: {plain(_sentence(problem.as_json()))}")
    if len(report.problems) > MAX_PRINTED:
        console.print(f"… and {len(report.problems) - MAX_PRINTED} more (--json shows all)")
    for note in report.notes:
        console.print(f"note: {plain(note)}")
    colour = "green" if report.verdict is Verdict.VERIFIED else "red"
    console.print(f"[bold {colour}]{report.verdict.value}[/bold {colour}]")


def _rows(report: Report) -> list[tuple[str, str]]:
    rows = [
        ("log", report.origin or "unknown"),
        ("signed size", str(report.size)),
        ("root", report.root or "not signed"),
        ("compared with your checkpoints of", ", ".join(map(str, report.noted)) or "none"),
        ("records verified", f"{report.verified} of {report.records}"),
        ("kinds", ", ".join(f"{name} {count}" for name, count in report.types.items())),
        ("epochs", f"{report.epochs}, of which {report.open} open"),
        ("gaps", str(report.gaps)),
        ("conflicts", str(report.conflicts)),
    ]
    if report.calls is not None and report.calls.total:
        calls = report.calls
        rows.append(
            (
                "calls",
                f"{calls.total}: {calls.matched} of {calls.answered} answered ones match their "
                f"record, {calls.uncertified} owe none, {calls.later} came too late, "
                f"{calls.unseen} with unseen outcome ({calls.unseen_recorded} on record)",
            )
        )
    return rows


def _sentence(problem: dict[str, object]) -> str:
    named = ("index", "record", "instance", "epoch", "sequence", "call")
    where = ", ".join(f"{name} {problem[name]}" for name in named if name in problem)
    return f"{problem['detail']}" + (f" [{where}]" if where else "")
