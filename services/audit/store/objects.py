"""Objects: named bytes that are written once. A local folder now; the interface fits S3."""

import contextlib
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol


class ObjectMissing(LookupError):
    """No object of this name exists."""


class ObjectDiffers(RuntimeError):
    """An object of this name exists with other bytes: the store is damaged or misused."""


class ObjectStore(Protocol):
    """What the log needs of a store. Everything that returns is durable."""

    def create_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object; tell whether it was absent. An existing one is left as it is."""
        ...

    def create_all(self, objects: Mapping[str, bytes]) -> None:
        """Create objects that are named by their content; existing ones are the same."""
        ...

    def copy_all(self, targets: Mapping[str, str]) -> None:
        """Give existing objects further names (target to source).

        Raises:
            ObjectMissing: a source does not exist.
            ObjectDiffers: a target exists with other bytes.
        """
        ...

    def read(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            ObjectMissing: there is none.
        """
        ...

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the names in the folder `prefix`, not in folders below it, in no order."""
        ...

    def remove(self, name: str) -> None:
        """Remove a name that nothing needs any more; no error when it is gone."""
        ...


class FolderStore:
    """Objects as files of one folder.

    An object is written under a temporary name, synchronised, and then linked to its name, which
    fails when the name exists: that is the create-if-absent of the commit protocol. The folder
    is synchronised before anything returns. The file system must know hard links.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._temporary = folder / "writing"
        self._temporary.mkdir(parents=True, exist_ok=True)
        self._known: set[Path] = {self._temporary}

    def create_if_absent(self, name: str, data: bytes) -> bool:
        """Create an object; tell whether it was absent."""
        target = self._target(name)
        temporary = self._write(data)
        _sync(temporary)
        created = _link(temporary, target)
        _sync_folder(target.parent)
        return created

    def create_all(self, objects: Mapping[str, bytes]) -> None:
        """Create objects that are named by their content.

        All are written before the first is synchronised: a journal that is flushed for one file
        takes the others along, so that many cost little more than one.
        """
        written = [(self._write(data), self._target(name)) for name, data in objects.items()]
        for temporary, _ in written:
            _sync(temporary)
        for temporary, target in written:
            _link(temporary, target)
        for folder in {target.parent for _, target in written}:
            _sync_folder(folder)

    def copy_all(self, targets: Mapping[str, str]) -> None:
        """Link existing objects to further names; the bytes need not be written again."""
        folders = set()
        for name, source_name in targets.items():
            target, source = self._target(name), self._folder / source_name
            try:
                os.link(source, target)
            except FileExistsError:
                if not _same(source, target):
                    raise ObjectDiffers(f"{name} exists with other bytes") from None
            except FileNotFoundError:
                raise ObjectMissing(source_name) from None
            folders.add(target.parent)
        for folder in folders:
            _sync_folder(folder)

    def read(self, name: str) -> bytes:
        """Return an object's bytes."""
        try:
            return (self._folder / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ObjectMissing(name) from None

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the names in the folder `prefix`."""
        try:
            with os.scandir(self._folder / prefix) as entries:
                for entry in entries:
                    if entry.is_file():
                        yield f"{prefix}/{entry.name}"
        except FileNotFoundError:
            return

    def remove(self, name: str) -> None:
        """Remove a name."""
        (self._folder / name).unlink(missing_ok=True)

    def remove_leftovers(self, before: float) -> None:
        """Remove half-written files that were last touched before `before` (seconds since 1970).

        Processes that died left them; the bound spares a writer that is still at work.
        """
        for path in self._temporary.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()

    def _target(self, name: str) -> Path:
        target = self._folder / name
        if target.parent not in self._known:
            _make_folders(target.parent, self._folder)
            self._known.add(target.parent)
        return target

    def _write(self, data: bytes) -> Path:
        """Write a new temporary file; it is not durable yet."""
        temporary = self._temporary / secrets.token_hex(12)
        with temporary.open("xb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        return temporary


def _link(temporary: Path, target: Path) -> bool:
    """Give a durable temporary file its name, if that is free; tell whether it was."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        return False
    finally:
        temporary.unlink()
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _same(one: Path, other: Path) -> bool:
    return one.samefile(other) or one.read_bytes() == other.read_bytes()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folders(folder: Path, root: Path) -> None:
    """Create `folder` below `root`; each new name is made durable in its parent."""
    if folder == root or folder.exists():
        return
    _make_folders(folder.parent, root)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)
