"""Telling the time. Instants are aware UTC; ages are monotonic; days are Asia/Shanghai days."""

import time
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final, Protocol

SHANGHAI: Final = timezone(timedelta(hours=8), "Asia/Shanghai")


class Clock(Protocol):
    """What rules and actions take instead of reading the time themselves."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean something."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class FixedClock:
    """A clock that stands where it is put; `advance` moves both readings."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._seconds = 0.0

    def now(self) -> datetime:
        """Return the instant at which the clock stands."""
        return self._at

    def monotonic(self) -> float:
        """Return the seconds by which the clock was advanced."""
        return self._seconds

    def advance(self, by: timedelta) -> None:
        """Move the clock by `by`, which is not negative."""
        self._at += by
        self._seconds += by.total_seconds()


def rfc3339(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 text in UTC with microseconds and `Z` (27 characters).

    Raises:
        ValueError: `instant` is naive.
    """
    if instant.tzinfo is None:
        raise ValueError("a naive time is no instant")
    # Not strftime: its %Y is shorter than four digits before the year 1000.
    return instant.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_rfc3339(text: str) -> datetime:
    """Return the aware UTC instant that RFC 3339 `text` names.

    Raises:
        ValueError: not RFC 3339, or without an offset.
    """
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an offset is required")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the instant lies outside the calendar in UTC") from error


def shanghai_day(instant: datetime) -> date:
    """Return the day in Asia/Shanghai (UTC+8, without summer time) on which `instant` lies."""
    return instant.astimezone(SHANGHAI).date()
