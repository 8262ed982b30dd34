"""Where the stack keeps things, and the lock under which they are prepared once."""

import fcntl
import hashlib
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
    digest = hashlib.sha256(str(directory).encode()).hexdigest()[:12]
    return Path("/var/lib/datong") / digest
