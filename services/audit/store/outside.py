"""The last checkpoint, kept outside of the object store: what a restore must not fall behind."""

import os
import secrets
from pathlib import Path


class OutsideCheckpoint:
    """One file with the last signed checkpoint, replaced whole and durably.

    It lies on another volume than the objects, so that one restore cannot set both back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        """Return the signed note, or None when none was ever written."""
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return None

    def write(self, note: bytes) -> None:
        """Replace the file by `note`; durable on return."""
        folder = self._path.parent
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{self._path.name}.{secrets.token_hex(6)}"
        with temporary.open("xb") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._path)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
