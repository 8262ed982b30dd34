"""Files that only their owner can read, written so that a crash leaves the old or the new."""

import os
from pathlib import Path


def write_private(file: Path, data: bytes) -> None:
    """Write `data` durably to `file` with mode 0600, in place of what was there.

    A folder that is missing is made with mode 0700.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = file.with_name(f".{file.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_private(file: Path) -> bytes:
    """Return the bytes of a file that only its owner can read.

    Raises:
        PermissionError: others can read it.
    """
    if file.stat().st_mode & 0o077:
        raise PermissionError(f"{file} can be read by others; chmod 600, and consider it known")
    return file.read_bytes()
