"""A circuit breaker: what failed again and again is left alone for a while, then tried once."""

from typing import Final

FAILURES: Final = 5
"""Failures in a row that open it."""
REST_SECONDS: Final = 5.0


class Breaker:
    """Of one operation of a service. Whoever is admitted reports how it went, or lets go.

    One that is open admits a call each `rest` seconds, also while the one before has not reported
    yet: a caller who is slow on purpose must not keep it open for the others.

    Args:
        rest: seconds for which it stays open before one call may try.
    """

    def __init__(self, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self._failures = 0
        self._until = 0.0

    @property
    def is_open(self) -> bool:
        """Return whether calls are refused, but for the one that tries."""
        return self._failures >= FAILURES

    def admit(self, now: float) -> bool | None:
        """Tell whether a call may go on.

        Args:
            now: monotonic.

        Returns:
            False: as usual. True: as the one that tries whether it goes again. None: no.
        """
        if not self.is_open:
            return False
        if now < self._until:
            return None
        self._until = now + self._rest
        return True

    def seconds_left(self, now: float) -> float:
        """Return seconds until a call may try."""
        return max(0.0, self._until - now)

    def succeeded(self) -> None:
        """Learn that the service answered a call."""
        self._failures = 0

    def failed(self, now: float, tried: bool) -> None:
        """Learn that the service failed a call; `tried` as `admit` said."""
        if not self.is_open or tried:
            self._until = now + self._rest
        self._failures += 1

    def let_go(self, tried: bool) -> None:
        """Learn that a call ended without telling anything about the service."""
        if tried:
            self._until = 0.0
