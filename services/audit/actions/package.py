"""Evidence packages (`contracts/package.md`): the log, whole or a part, as a ZIP file."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Final

from kit.canonical import canonical
from kit.db import Db
from services.audit.domain.tiles import WIDTH, Tile, width_at
from services.audit.store import index
from services.audit.store.log import LogView

FORMAT: Final = "datong-evidence-package/1"
EPOCH_OF_ZIP: Final = (1980, 1, 1, 0, 0, 0)
"""Members carry no time: the same log gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which leaves a package holds as records: [first, last), and what was asked for."""

    first: int
    last: int
    from_at: str | None = None
    until: str | None = None

    @property
    def is_whole(self) -> bool:
        """Tell whether the whole log was asked for."""
        return self.from_at is None and self.until is None


async def select(db: Db, view: LogView, from_at: str | None, until: str | None) -> Selection:
    """Return the smallest range of whole bundles that a package for [from_at, until) needs.

    It holds every record of that time and, for each epoch in it, all numbers between the lowest
    and the highest one. The index has reached `view`.
    """
    size = view.size
    if from_at is None and until is None:
        return Selection(0, size)
    async with db.begin() as tx:
        found = await index.leaves_between(tx, from_at, until, size)
        if found is None:
            return Selection(0, 0, from_at, until)
        reached = (0, 0)
        while found != reached:
            first, last = found
            reached = (first - first % WIDTH, min(size, -(-last // WIDTH) * WIDTH))
            found = await index.widen(tx, *reached, size)
    return Selection(*reached, from_at, until)


def write_package(
    target: IO[bytes], view: LogView, selection: Selection, *, origin: str, made_at: str
) -> None:
    """Write the package of `view` to `target`; constant memory, blocking."""
    claim: dict[str, Any] = {
        "format": FORMAT,
        "origin": origin,
        "size": view.size,
        "selection": "whole" if selection.is_whole else "time",
        "first": selection.first,
        "last": selection.last,
        "made_at": made_at,
    }
    if selection.from_at is not None:
        claim["from"] = selection.from_at
    if selection.until is not None:
        claim["until"] = selection.until
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED, allowZip64=True) as package:
        add = _adder(package)
        add("package.json", canonical(claim))
        add("checkpoint", view.commit.checkpoint.encode())
        for number in range(-(-view.size // WIDTH)):
            selected = selection.first <= number * WIDTH < selection.last
            tile = Tile(None if selected else 0, number, width_at(0, number, view.size))
            add(tile.path, view.tile(tile))


def _adder(package: zipfile.ZipFile) -> Callable[[str, bytes], None]:
    def add(name: str, data: bytes) -> None:
        package.writestr(zipfile.ZipInfo(name, EPOCH_OF_ZIP), data)

    return add
