"""Checked items on disk, by section, so that large files need little memory."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Any, Self

from datong.applying.problems import Place
from datong.applying.sections import SECTIONS


@dataclass(frozen=True, slots=True)
class Item:
    """One stated object."""

    place: Place
    value: dict[str, Any]


class Spool:
    """One temporary file per section; written once, read as often as needed."""

    def __init__(self) -> None:
        """Open the files; they vanish with the process."""
        self._files: dict[str, IO[bytes]] = {
            name: tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
            for name in SECTIONS
        }
        self.counts = dict.fromkeys(SECTIONS, 0)

    def __enter__(self) -> Self:
        """The spool itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the files."""
        self.close()

    def close(self) -> None:
        """Remove the files."""
        for file in self._files.values():
            file.close()

    def add(self, section: str, item: Item) -> None:
        """Append an item."""
        line = json.dumps([item.place.file, item.place.line, item.value], ensure_ascii=False)
        self._files[section].write(line.encode() + b"\n")
        self.counts[section] += 1

    def items(self, section: str) -> Iterator[Item]:
        """The items of a section in their order; one reader at a time."""
        file = self._files[section]
        file.seek(0)
        for line in file:
            name, number, value = json.loads(line)
            yield Item(Place(sys.intern(name), number), value)
