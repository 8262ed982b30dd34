"""Objects: immutable files named by their SHA-256, in one folder that all processes share.

The interface is small, so that an object store can stand behind it. An object whose name no row
holds is garbage once it is old enough: whoever puts one names it in a row soon after.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO, Final, Protocol

from kit.ids import uuid7

_ASIDE: Final = ".removed"
"""Suffix of an object that is about to be removed."""


class ObjectDamaged(Exception):
    """The bytes of an object are not those that it is named for."""


class Objects(Protocol):
    """Where objects are kept. All methods block, and raise `OSError` when the store fails."""

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name; what is there already counts as new."""
        ...

    def new_file(self) -> Path:
        """Return a path for a file beside the objects; whoever makes the file removes it."""
        ...

    def open(self, name: str) -> IO[bytes]:
        """Open an object for reading.

        Raises:
            FileNotFoundError: there is none of this name.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return the bytes of an object, compared with its name.

        Raises:
            FileNotFoundError: there is none of this name.
            ObjectDamaged: as its name says.
        """
        ...

    def names(self, *, older_than: float = 0.0) -> Iterator[str]:
        """Yield the names of all objects that were last put at least so many seconds ago."""
        ...

    def remove(self, name: str, *, older_than: float = 0.0) -> bool:
        """Remove an object unless it was put again meanwhile; tell whether it was removed."""
        ...

    def remove_leftovers(self, *, older_than: float) -> int:
        """Remove files that were left behind, last written so many seconds ago."""
        ...


class FolderObjects:
    """Objects as files `segments/<first two digits>/<sha256>` of one folder.

    A file is written under another name, forced to disk and then linked to its own: nobody sees
    half of one.
    """

    def __init__(self, folder: Path) -> None:
        """Keep objects in `folder`; it is made here, and never later when it has got lost."""
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = folder / "segments"
        self._incoming = folder / "incoming"

    def put(self, data: bytes) -> str:
        """Keep `data` durably and return its name."""
        name = sha256(data).hexdigest()
        if not self._touch(name):
            path = self.new_file()
            with path.open("xb") as file:
                file.write(data)
                _force(file)
            self._link(path, name)
        return name

    def new_file(self) -> Path:
        """Return a path in the same file system as the objects."""
        self._incoming.mkdir(exist_ok=True)
        return self._incoming / uuid7()

    def open(self, name: str) -> IO[bytes]:
        """Open an object for reading."""
        return self._path(name).open("rb")

    def read(self, name: str) -> bytes:
        """Return the bytes of an object, compared with its name."""
        data = self._path(name).read_bytes()
        if sha256(data).hexdigest() != name:
            raise ObjectDamaged(f"the object {name} has other bytes")
        return data

    def names(self, *, older_than: float = 0.0) -> Iterator[str]:
        """Yield the names of all objects that were last put at least so many seconds ago."""
        for path in self._segments.glob("*/*"):
            # A file set aside by a removal that was killed carries a suffix.
            name = path.name.partition(".")[0]
            if _age(path) >= older_than:
                yield name

    def remove(self, name: str, *, older_than: float = 0.0) -> bool:
        """Remove an object unless it was put again meanwhile."""
        path = self._path(name)
        aside = path.with_suffix(_ASIDE)
        with contextlib.suppress(FileNotFoundError):
            # From here on it is put anew, or was touched before and is kept.
            path.rename(aside)
        if not aside.exists():
            return False
        if _age(aside) < older_than:
            self._put_back(aside)
            return False
        aside.unlink(missing_ok=True)
        return True

    def remove_leftovers(self, *, older_than: float) -> int:
        """Remove files that were left behind; what a removal set aside is put back first."""
        for aside in self._segments.glob(f"*/*{_ASIDE}"):
            self._put_back(aside)
        removed = 0
        for path in self._incoming.glob("*"):
            if _age(path) >= older_than:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def _put_back(self, aside: Path) -> None:
        # Put anew, or put back by another, it is there already.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
            os.link(aside, aside.with_suffix(""))
        aside.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._segments / name[:2] / name

    def _touch(self, name: str) -> bool:
        """Make an object young again, so that no sweep takes it; tell whether it is there."""
        try:
            os.utime(self._path(name))
        except FileNotFoundError:
            return False
        # Whoever linked it may have been killed before it was certain to stay.
        _force_folders(self._path(name).parent, self._segments)
        return True

    def _link(self, path: Path, name: str) -> None:
        target = self._path(name)
        for folder in (self._segments, target.parent):
            folder.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):  # put by another at the same time
            os.link(path, target)
        path.unlink()
        _force_folders(target.parent, self._segments)


def _force(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _force_folders(*folders: Path) -> None:
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _age(path: Path) -> float:
    """Return the seconds since a file was written or touched; minus one when it is gone."""
    try:
        # Compared with the file system's own clock, which is that of the machine.
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return -1.0
