"""Commits: the one thing whose creation makes records part of the log.

`commits/<n>` exists or does not; whoever creates it first has written commit n. It names the
objects that hold the commit's tiles and bundles, the signed checkpoint, the positions on the bus
up to which everything is in the log, and the epochs that changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from services.audit.domain.epochs import Epoch

FULL_EVERY: Final = 256
"""Every commit of a number divisible by this holds all epochs, not only the changed ones."""

Positions = Mapping[str, Mapping[str, int]]
"""Topic, partition (decimal text), next offset to read."""


class CommitMalformed(ValueError):
    """The object is not a commit of this format."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit.

    Attributes:
        number: 0 for the empty log, then dense.
        size, root: of the tree after it.
        checkpoint: the signed note, text.
        at: time of the commit (RFC 3339).
        positions: bus positions after it.
        epochs: epochs that changed; all of them when `full`.
        files: tlog-tiles path to the staged object that holds its bytes.
        salts: staged object with the salts of its records, or None.
    """

    number: int
    size: int
    root: bytes
    checkpoint: str
    at: str
    positions: Positions
    epochs: tuple[Epoch, ...] = ()
    full: bool = True
    files: Mapping[str, str] = field(default_factory=dict)
    salts: str | None = None

    def as_data(self) -> dict[str, Any]:
        """Return the JSON form (written as RFC 8785)."""
        return {
            "format": "datong-commit/1",
            "number": self.number,
            "size": self.size,
            "root": self.root.hex(),
            "checkpoint": self.checkpoint,
            "at": self.at,
            "positions": {topic: dict(offsets) for topic, offsets in self.positions.items()},
            "epochs": [epoch.as_data() for epoch in self.epochs],
            "full": self.full,
            "files": dict(self.files),
            "salts": self.salts,
        }

    @classmethod
    def from_data(cls, data: Any, number: int) -> "Commit":
        """Return the commit that `as_data` wrote under `number`.

        Raises:
            CommitMalformed: anything else.
        """
        try:
            if data["format"] != "datong-commit/1" or data["number"] != number:
                raise CommitMalformed(f"commit {number} has another format or number")
            return cls(
                number=number,
                size=data["size"],
                root=bytes.fromhex(data["root"]),
                checkpoint=data["checkpoint"],
                at=data["at"],
                positions=data["positions"],
                epochs=tuple(Epoch.from_data(epoch) for epoch in data["epochs"]),
                full=data["full"],
                files=data["files"],
                salts=data["salts"],
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CommitMalformed(f"commit {number}: {error}") from error


def commit_name(number: int) -> str:
    """Return the object name of a commit, such as `commits/x000/x001/234`: 1,000 a folder."""
    return f"commits/x{number // 1_000_000:03d}/x{number // 1000 % 1000:03d}/{number % 1000:03d}"


def staged_name(number: int, digest: str) -> str:
    """Return the name under which bytes with SHA-256 `digest` wait for commit `number`."""
    return f"staged/{number:012d}-{digest}"


def staged_number(name: str) -> int:
    """Return the commit number in a staged object's name."""
    return int(name.rpartition("/")[2].partition("-")[0])
