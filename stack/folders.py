"""Where the stack keeps things, and the lock under which they are prepared once."""

import fcntl
import hashlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
DATONG = CHECKOUT / ".datong"
CACHE = DATONG / "cache"


@contextmanager
def prepared_once(name: str) -> Iterator[None]:
    """Hold the lock `name`: other processes of this checkout wait here, however many start."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def folder_of_root(directory: Path) -> Path:
    """Return the place outside the checkout for files of an unprivileged user.

    Only used by root, when the checkout lies where that user cannot go. Only root can write to
    `/var/lib`, so nobody else can have put anything there.
    """
    return _outside() / _digest(directory)


def remove_platform(directory: Path) -> None:
    """Delete all data of one platform, wherever it lies; it must be stopped."""
    shutil.rmtree(directory, ignore_errors=True)
    _remove_outside(folder_of_root(directory))


def remove_all() -> None:
    """Delete everything that the stack ever made for this checkout, downloads included."""
    shutil.rmtree(DATONG, ignore_errors=True)
    _remove_outside(_outside())


def _remove_outside(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
        for parent in (_outside(), _outside().parent):
            if parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


def _outside() -> Path:
    return Path("/var/lib/datong") / _digest(CHECKOUT)


def _digest(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:12]
