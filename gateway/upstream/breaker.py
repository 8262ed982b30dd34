"""A circuit breaker: what failed again and again is left alone for a while, then tried once."""

from typing import Final

FAILURES: Final = 5
"""Failures in a row that open it."""
REST_SECONDS: Final = 5.0


class Breaker:
    """Of one service of an owner. Whoever is admitted reports how it went, or lets go.

    Args:
        rest: seconds for which it stays open before one call may try.
    """

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._failures = 0
        self._until = 0.0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Return whether calls are refused, but for the one that tries."""
        return self._failures >= FAILURES

    def admit(self, now: float) -> bool | None:
        """Tell whether a call may go on.

        Args:
            now: monotonic.

        Returns:
            False: as usual. True: as the only one that tries whether it goes again. None: no.
        """
        if not self.is_open:
            return False
        if self._trying or now < self._until:
            return None
        self._trying = True
        return True

    def seconds_left(self, now: float) -> float:
        """Return seconds until a call may try; 0 while one does."""
        return max(0.0, self._until - now)

    def succeeded(self) -> None:
        """Learn that the service answered a call."""
        self._failures = 0
        self._trying = False

    def failed(self, now: float, tried: bool) -> None:
        """Learn that the service failed a call; `tried` as `admit` said."""
        if not self.is_open or tried:
            self._until = now + self._rest
        self._failures += 1
        if tried:
            self._trying = False

    def let_go(self, tried: bool) -> None:
        """Learn that a call ended without telling anything about the service."""
        if tried:
            self._trying = False
