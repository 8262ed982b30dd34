"""The folder of a process's search index: which index is the valid one, and how far it is.

    lock            held by the one process that works here
    state.json      written anew, whole, after each commit
    entries-<id>/   the index that state.json names; others are left-overs

An index whose commit is newer than its state is safe: what comes again changes nothing.
"""

import fcntl
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from kit.ids import uuid7
from services.catalog.store.index import FORMAT, Index, IndexDamaged

_PREFIX: Final = "entries-"
_STATE: Final = "state.json"
_MUTABLE: Final = frozenset({"meta.json", ".managed.json"})
_MAGIC: Final = (1337).to_bytes(4, "little")


class FolderBusy(Exception):
    """Another process keeps its index in this folder."""


@dataclass(frozen=True, slots=True)
class State:
    """How far an index is.

    Attributes:
        incarnation, position: of the database (`store.changes`).
        agencies: names of agencies as they were indexed, by id.
    """

    incarnation: int
    position: int
    agencies: Mapping[str, str]


class IndexFolder:
    """Keeps one valid index in a folder. Everything here blocks.

    Args:
        path: made when absent; for this process alone.

    Raises:
        FolderBusy: it is another process's.
        OSError: it cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = _locked(path / "lock")

    def open(self) -> tuple[Index, State]:
        """Open the valid index.

        Raises:
            IndexDamaged: there is none, or of another format, or its files are not whole.
        """
        try:
            kept = json.loads((self._path / _STATE).read_bytes())
            if kept["format"] != FORMAT:
                raise IndexDamaged(f"the index is of format {kept['format']}")
            folder = self._path / kept["folder"]
            state = State(kept["incarnation"], kept["position"], kept["agencies"])
            _require_whole(folder)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IndexDamaged(repr(error)) from error
        return Index(folder, new=False), state

    def create(self) -> Index:
        """Return a new index beside the valid one, which stays until `keep` names the new one."""
        return Index(self._path / (_PREFIX + uuid7()), new=True)

    def keep(self, index: Index, state: State) -> None:
        """Write that `index`, as it was committed last, is the valid one and how far it is."""
        body = {"format": FORMAT, "folder": index.folder.name, **asdict(state)}
        draft = self._path / (_STATE + ".new")
        with draft.open("w", encoding="utf-8") as file:
            json.dump(body, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path / _STATE)

    def holds(self, index: Index) -> bool:
        """Tell whether the index and its state are still there."""
        return (self._path / _STATE).exists() and (index.folder / "meta.json").exists()

    def clean(self, kept: Index | None) -> None:
        """Delete all indexes but `kept`."""
        for folder in self._path.glob(_PREFIX + "*"):
            if kept is None or folder != kept.folder:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Leave the folder to another process."""
        self._lock.close()


def _locked(file: Path) -> IO[bytes]:
    lock = file.open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise FolderBusy(f"another process keeps its index in {file.parent}") from error
    return lock


def _require_whole(folder: Path) -> None:
    """Compare every file of an index with the sum that its writer has put at its end.

    Raises:
        IndexDamaged: a file was changed or cut.
        OSError: there is no such folder.
    """
    if not (folder / "meta.json").exists():
        raise IndexDamaged("the index is gone")
    for file in folder.iterdir():
        if file.name not in _MUTABLE and file.suffix != ".lock" and not _is_whole(file):
            raise IndexDamaged(f"{file.name} is damaged")


def _is_whole(file: Path) -> bool:
    """Tell whether the content fits its foot: content, JSON with `crc`, its length, a mark."""
    with file.open("rb") as opened:
        size = os.fstat(opened.fileno()).st_size
        if size < 8:
            return False
        opened.seek(size - 8)
        length, mark = int.from_bytes(opened.read(4), "little"), opened.read(4)
        content = size - 8 - length
        if mark != _MAGIC or content < 0:
            return False
        opened.seek(content)
        try:
            stated = json.loads(opened.read(length))["crc"]
        except (ValueError, KeyError, TypeError):
            return False
        opened.seek(0)
        return bool(stated == _sum(opened, content))


def _sum(opened: IO[bytes], length: int) -> int:
    found = 0
    for piece in _pieces(opened, length):
        found = zlib.crc32(piece, found)
    return found


def _pieces(opened: IO[bytes], length: int) -> Iterator[bytes]:
    while length > 0:
        piece = opened.read(min(length, 1 << 20))
        if not piece:
            return
        length -= len(piece)
        yield piece
