"""The few file operations of the spool, behind an interface so that a test can forget writes."""

import os
from pathlib import Path
from typing import Protocol, runtime_checkable


class SpoolFile(Protocol):
    """One segment that is being written."""

    def write(self, data: bytes) -> None:
        """Append all of `data`.

        Raises:
            OSError: not all of it could be written.
        """
        ...

    def sync(self) -> None:
        """Return when everything written so far is durable (fdatasync).

        Raises:
            OSError: nothing is known about what was written since the last success.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@runtime_checkable
class Disk(Protocol):
    """Where segments are created, made durable and removed."""

    def create(self, path: Path) -> SpoolFile:
        """Create a file of mode 0600 that does not exist yet.

        Raises:
            OSError: it exists, or cannot be created.
        """
        ...

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a folder are durable.

        Raises:
            OSError: they may not be.
        """
        ...

    def remove(self, path: Path) -> None:
        """Remove a file.

        Raises:
            OSError: it could not be removed.
        """
        ...


class LocalFile:
    """A file of the operating system, append only."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600
        )

    def write(self, data: bytes) -> None:
        """Append all of `data`; a short write is continued."""
        written = os.write(self._descriptor, data)
        while written < len(data):
            written += os.write(self._descriptor, data[written:])

    def sync(self) -> None:
        """Make the contents durable; the length of the file is part of them."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


class LocalDisk:
    """The file system."""

    def create(self, path: Path) -> SpoolFile:
        """Create a new segment."""
        return LocalFile(path)

    def sync_directory(self, path: Path) -> None:
        """Make the names in `path` durable."""
        sync_path(path)

    def remove(self, path: Path) -> None:
        """Remove a segment; its name may come back after a power cut, which does no harm."""
        path.unlink()


def sync_path(path: Path) -> None:
    """Make a file or a folder durable through a descriptor of its own.

    Raises:
        OSError: it may not be durable.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
