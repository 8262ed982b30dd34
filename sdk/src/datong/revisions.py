"""Read your writes: states that answers named, sent back so that the platform waits for them."""

from __future__ import annotations

import time
from threading import Lock

MAX_AFTER = 16
"""Most states that one call may name in `Datong-After`."""
KEEP_SECONDS = 600.0
"""After that the platform has long got there, or was restored and counts anew."""


class Revisions:
    """States of subjects that this caller has seen; may be shared by several clients.

    Share one between the client of the person who was granted something and the client of the
    system that uses it: no pause is needed between the two.
    """

    def __init__(self) -> None:
        """Begin with no state."""
        self._lock = Lock()
        self._seen: dict[str, tuple[int, float]] = {}

    def note(self, header: str | None) -> None:
        """Take a `Datong-Revision` header, such as `sharing.grant/<id>@7, …`."""
        if not header:
            return
        now = time.monotonic()
        with self._lock:
            for part in header.split(","):
                subject, at, version = part.strip().rpartition("@")
                if not at or not version.isdecimal():
                    continue
                number = max(int(version), self._seen.pop(subject, (0, 0.0))[0])
                self._seen[subject] = (number, now)  # the latest stands last

    def header(self) -> str | None:
        """The value of `Datong-After`: the latest states, or None."""
        oldest = time.monotonic() - KEEP_SECONDS
        with self._lock:
            self._seen = {
                subject: seen for subject, seen in self._seen.items() if seen[1] >= oldest
            }
            latest = list(self._seen.items())[-MAX_AFTER:]
        return ", ".join(f"{subject}@{version}" for subject, (version, _) in latest) or None
