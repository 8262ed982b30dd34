"""What is wrong with files that state what shall be there, each with its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from datong.errors import DatongError, InputInvalid

MAX_KEPT = 1000
"""Problems that are told; more are only counted."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is stated; lines count from 1."""

    file: str
    line: int

    @property
    def text(self) -> str:
        """`file:line`, as editors read it."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something at a place that cannot be applied."""

    place: Place
    detail: str

    @property
    def text(self) -> str:
        """One line."""
        return f"{self.place.text}: {self.detail}"


class FilesInvalid(InputInvalid):
    """Files cannot be applied; nothing was changed.

    Attributes:
        problems: the first `MAX_KEPT`, by file and line.
        count: all of them.
    """

    def __init__(self, problems: list[Problem], count: int) -> None:
        """Take what was found."""
        self.problems = sorted(problems)
        self.count = count
        lines = [problem.text for problem in self.problems]
        if count > len(lines):
            lines.append(f"… and {count - len(lines)} more")
        super().__init__("\n".join(lines), next_step="Correct the files; nothing was changed.")


class StateDiffers(DatongError):
    """Something is there, but not as the files state it."""

    exit_code = 6


class Problems:
    """Collects problems; many of them take no more memory than a thousand."""

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: list[Problem] = []
        self.count = 0

    def add(self, place: Place, detail: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self._kept) < MAX_KEPT:
            self._kept.append(Problem(place, detail))

    def raise_any(self) -> None:
        """End with what was noted.

        Raises:
            FilesInvalid: there is a problem.
        """
        if self.count:
            raise FilesInvalid(self._kept, self.count)


def name_of(file: Path) -> str:
    """How a file is named in places."""
    return str(file)
