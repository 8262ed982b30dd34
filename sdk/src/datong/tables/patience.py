"""Waiting out what passes: restarts, failovers, a busy database. Everything tried is repeatable."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from datong.errors import DatongError, Refused, ServerNotTrusted, StoreUnavailable, Unreachable

T = TypeVar("T")

SECONDS: Final = 60.0
"""How long a failure may last by default."""
FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
_PASSING: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses of refusals that say nothing about the call itself."""


def is_passing(error: DatongError) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, Refused):
        return error.status in _PASSING
    if isinstance(error, ServerNotTrusted):
        return False
    return isinstance(error, (Unreachable, StoreUnavailable))


class Patience:
    """How long one goes on trying; each success begins anew."""

    def __init__(
        self,
        seconds: float | None = SECONDS,
        *,
        on_retry: Callable[[DatongError, float], None] | None = None,
    ) -> None:
        """Begin with all of it.

        Args:
            seconds: longest time without a success; None: for ever.
            on_retry: told of each failure and the seconds until the next attempt.
        """
        self._seconds = seconds
        self._on_retry = on_retry
        self._since: float | None = None
        self._pause = FIRST_PAUSE

    def pause_after(self, error: DatongError) -> float:
        """Seconds to wait before another attempt.

        Raises:
            DatongError: `error` itself, when it will not pass or patience is over.
        """
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        is_over = self._seconds is not None and now - self._since >= self._seconds
        if is_over or not is_passing(error):
            raise error
        pause, self._pause = self._pause, min(self._pause * 2, LONGEST_PAUSE)
        if self._on_retry is not None:
            self._on_retry(error, pause)
        return pause

    def succeeded(self) -> None:
        """Begin with all of it again."""
        self._since, self._pause = None, FIRST_PAUSE

    async def keep_sending(self, send: Callable[[], Awaitable[T]]) -> T:
        """Do something until it succeeds, among other things; see `keep`."""
        while True:
            try:
                done = await send()
            except DatongError as error:
                pause = self.pause_after(error)
            else:
                self.succeeded()
                return done
            await asyncio.sleep(pause)

    def keep(self, work: Callable[[], T], *, between: Callable[[], None] | None = None) -> T:
        """Do something until it succeeds.

        Args:
            between: called before each further attempt.

        Raises:
            DatongError: the last failure, when it will not pass or patience is over.
        """
        while True:
            try:
                done = work()
            except DatongError as error:
                pause = self.pause_after(error)
            else:
                self.succeeded()
                return done
            time.sleep(pause)
            if between is not None:
                between()
