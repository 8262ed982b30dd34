"""Brings a platform to what YAML files state: agencies, people, systems, entries, requests.

Everything is checked before anything is sent. What is there stays as it is; what is missing is
made, by the identities that the files name for each step. A second run changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from datong.applying.checking import check
from datong.applying.folders import Folders
from datong.applying.making import Making, Progress
from datong.applying.people import People
from datong.applying.problems import FilesInvalid, Place, Problem, Problems, StateDiffers
from datong.applying.report import Count, Outcome, Report
from datong.applying.spool import Spool
from datong.applying.stating import read_files
from datong.applying.surveying import survey
from datong.calls import CallLog

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

AT_ONCE = 16
"""Objects that are made at the same time."""


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
        Unreachable: no answer; what was made so far stays, and another run goes on.
    """
    begun, problems, report = time.monotonic(), Problems(), Report()
    folders = Folders(identities)
    people = People(folders, gateway=gateway, server_ca=server_ca, call_log=call_log)
    with Spool() as spool:
        stated = read_files(files, spool, problems)
        wanted = check(stated, folders, problems)
        problems.raise_any()
        try:
            found = await survey(stated, wanted, people, problems, at_once=at_once)
            problems.raise_any()
            await Making(stated, found, people, report, at_once, progress).run()
        finally:
            await people.close()
    report.seconds = time.monotonic() - begun
    return report
