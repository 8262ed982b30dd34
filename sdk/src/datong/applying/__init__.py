"""Brings a platform to what YAML files state: agencies, people, systems, entries, requests.

Everything is checked before anything is sent. What is there stays as it is; what is missing is
made, by the identities that the files name for each step. A second run changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datong.applying.checking import Wanted, check
from datong.applying.folders import Folders
from datong.applying.making import Making, Progress
from datong.applying.people import People
from datong.applying.problems import FilesInvalid, Place, Problem, Problems, StateDiffers
from datong.applying.report import Count, Outcome, Report
from datong.applying.spool import Spool
from datong.applying.stating import Stated, read_files
from datong.applying.surveying import survey
from datong.calls import CallLog
from datong.errors import ServerNotTrusted, Unreachable

__all__ = [
    "AT_ONCE",
    "Count",
    "FilesInvalid",
    "Outcome",
    "Place",
    "Problem",
    "Report",
    "StateDiffers",
    "apply",
    "check_files",
]

AT_ONCE = 32
"""Objects that are made at the same time."""

PAUSE_SECONDS = 1.0
"""Before a run whose connection broke goes on."""


def check_files(files: Sequence[Path], *, identities: Path) -> dict[str, int]:
    """Check files without sending anything.

    Returns:
        How many objects each section states.

    Raises:
        FilesInvalid: with every problem and its place.
        InputInvalid: a file cannot be opened.
    """
    problems = Problems()
    with Spool() as spool:
        stated = read_files(files, spool, problems)
        check(stated, Folders(identities), problems)
        problems.raise_any()
        return dict(spool.counts)


async def apply(
    files: Sequence[Path],
    *,
    identities: Path,
    gateway: str | None = None,
    server_ca: Path | None = None,
    call_log: CallLog | None = None,
    at_once: int = AT_ONCE,
    progress: Progress = lambda section, done, stated: None,
) -> Report:
    """Make what files state and the platform does not have.

    Args:
        files: YAML; they may refer to each other.
        identities: folder of identity folders; new ones are made in it.
        gateway, server_ca: as the acting identities know them when None.
        at_once: objects that are made at the same time.

    Raises:
        FilesInvalid: with every problem and its place; nothing was changed.
        Refused: an identity may not even read what it shall make; nothing was changed.
        Unreachable: no answer, again and again; what was made so far stays, another run goes on.
    """
    begun, problems, report = time.monotonic(), Problems(), Report()
    folders = Folders(identities)
    people = People(folders, gateway=gateway, server_ca=server_ca, call_log=call_log)
    with Spool() as spool:
        stated = read_files(files, spool, problems)
        wanted = check(stated, folders, problems)
        problems.raise_any()
        work = _Work(stated, wanted, people, report, at_once, progress)
        try:
            await work.run(problems)
        finally:
            await people.close()
    report.seconds = time.monotonic() - begun
    return report


@dataclass
class _Work:
    """Looks at what is there and makes the rest; goes on by itself when a connection breaks."""

    stated: Stated
    wanted: Wanted
    people: People
    report: Report
    at_once: int
    progress: Progress

    async def run(self, problems: Problems) -> None:
        """Make everything, in as many passes as it takes, while each makes something.

        What a call did whose answer was lost is seen by the next pass.
        """
        broken: Unreachable | None = None
        while True:
            made = self.report.total(Outcome.MADE)
            try:
                found = await survey(
                    self.stated, self.wanted, self.people, problems, at_once=self.at_once
                )
                if broken is not None and problems.count:
                    raise broken  # the files are right; what was lost is for another run to tell
                problems.raise_any()
                await Making(
                    self.stated, found, self.people, self.report, self.at_once, self.progress
                ).run()
            except ServerNotTrusted:
                raise
            except Unreachable as error:
                if error is broken or self.report.total(Outcome.MADE) == made:
                    raise
                broken = error
                self.report.begin_again()
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return
