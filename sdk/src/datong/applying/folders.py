"""The identity folders that files name: who is there already."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from datong.identity import ABOUT, write_private

CODE = ".code"


@dataclass(frozen=True, slots=True)
class Enrolled:
    """Who an identity folder belongs to."""

    kind: str
    id: str
    agency: str


class Folders:
    """Identity folders by name, below one folder."""

    def __init__(self, directory: Path) -> None:
        """Read nothing yet."""
        self.directory = directory
        self._known: dict[str, Enrolled | None] = {}

    def path(self, name: str) -> Path:
        """Folder of an identity."""
        return self.directory / name

    def find(self, name: str) -> Enrolled | None:
        """Who an identity is; None when it has not been enrolled."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def _read(self, name: str) -> Enrolled | None:
        try:
            about = json.loads((self.path(name) / ABOUT).read_bytes())
            return Enrolled(str(about["kind"]), str(about["id"]), str(about["agency"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def enrolled(self, name: str, kind: str, holder: str, agency: str) -> None:
        """Note that an identity has been enrolled."""
        self._known[name] = Enrolled(kind, holder, agency)

    def keep_code(self, name: str, code: str) -> None:
        """Keep a one-time code until it is used, so that an interrupted run can go on."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_private(self._code(name), code.encode())

    def kept_code(self, name: str) -> str | None:
        """The code that an interrupted run has left for an identity."""
        try:
            return self._code(name).read_text("utf-8").strip()
        except OSError:
            return None

    def drop_code(self, name: str) -> None:
        """Forget a code that was used."""
        self._code(name).unlink(missing_ok=True)

    def _code(self, name: str) -> Path:
        return self.directory / f"{name}{CODE}"
