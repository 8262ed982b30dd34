"""`datong apply`: bring a platform to what YAML files state."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from datong import applying
from datong.applying import FilesInvalid, Outcome, Report, StateDiffers
from datong.applying.report import described
from datong.calls import CallLog
from datong.cli.options import Session
from datong.errors import DatongError

MAX_PRINTED = 20
_COLUMNS = ("section", "stated", "there", "made", "differs", "failed")


class SomeRefused(DatongError):
    """Some of what files state was refused; the rest was made."""

    exit_code = 3


def add_commands(application: typer.Typer) -> None:
    """Add the command of this page."""
    application.command("apply", epilog="Example: datong apply town.yaml --identities identities")(
        _apply
    )


def _apply(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="YAML files; they may refer to each other.")],
    identities: Annotated[
        Path | None,
        typer.Option(help="Folder of the identities that the files name; ~/.config/datong."),
    ] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Check the files; send nothing.")
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=64, help="Objects to make at the same time.")
    ] = applying.AT_ONCE,
) -> None:
    """Make what files state and the platform does not have: agencies, people, entries, grants.

    Everything is checked first; one problem, and nothing is sent. Each step is taken by the
    identity that the file names for it (`by`, `approved_by`, …). What is there already stays as
    it is: where it differs from the files, that is told, and the command ends with 6.
    """
    session: Session = context.obj
    folder = identities or session.settings.identities
    try:
        if only_check:
            counts = applying.check_files(files, identities=folder)
            session.output.done(
                "nothing wrong: " + ", ".join(f"{count} {name}" for name, count in counts.items()),
                {"stated": counts, "problems": []},
            )
            return
        report = _run(session, files, folder, at_once)
    except FilesInvalid as invalid:
        if session.output.as_json:
            found = {"problems": described(invalid.problems), "count": invalid.count}
            session.output.document(found)
        raise
    _tell(session, report)


def _run(session: Session, files: list[Path], folder: Path, at_once: int) -> Report:
    log = None if session.call_log is None else CallLog(session.call_log)
    columns = (TextColumn("{task.description:10}"), BarColumn(), MofNCompleteColumn())
    console = session.output.messages
    is_shown = console.is_terminal and not session.output.as_json
    with Progress(*columns, console=console, disable=not is_shown) as bars:
        try:
            return asyncio.run(
                applying.apply(
                    files,
                    identities=folder,
                    gateway=session.gateway,
                    server_ca=session.server_ca,
                    call_log=log,
                    at_once=at_once,
                    progress=_shown(bars),
                )
            )
        finally:
            if log is not None:
                log.close()


def _shown(bars: Progress) -> Callable[[str, int, int], None]:
    tasks: dict[str, TaskID] = {}

    def progress(section: str, done: int, stated: int) -> None:
        if section not in tasks:
            tasks[section] = bars.add_task(section, total=stated)
        bars.update(tasks[section], completed=done)

    return progress


def _tell(session: Session, report: Report) -> None:
    output = session.output
    if output.as_json:
        output.document(report.as_json())
    else:
        rows = report.as_json()["sections"].items()
        output.items(
            ({"section": name, **count} for name, count in rows if count["stated"]), _COLUMNS
        )
        for what, problems in (("differs", report.differences), ("failed", report.failures)):
            for problem in problems[:MAX_PRINTED]:
                output.note(f"{what}: {problem.text}")
            if len(problems) > MAX_PRINTED:
                output.note(f"{what}: … and more (--json shows up to a thousand)")
        output.note(f"{report.seconds:.1f} s")
    failed, differs = report.total(Outcome.FAILED), report.total(Outcome.DIFFERS)
    if failed:
        raise SomeRefused(
            f"{failed} of the stated objects were refused.",
            next_step="Correct what is told above and run the command again; it goes on.",
        )
    if differs:
        raise StateDiffers(
            f"{differs} objects are there, but not as stated; they were left as they are.",
            next_step="Correct the files, or change the objects with their own commands.",
        )
    if not output.as_json and not report.total(Outcome.MADE):
        output.line("nothing to do: everything is there as stated")
