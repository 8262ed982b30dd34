"""Legal limits in working days (Decree 809), counted by plain weeks: Monday to Friday.

Public holidays and the working days that make up for them are not known here. Everything that
shows or orders by a day asks `due`, so a calendar and rules of other jurisdictions change
nothing but this file.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from kit.clock import shanghai_day

_FRIDAY: Final = 4


class Limit(StrEnum):
    """What the law sets a limit for."""

    ANSWER = "answer"
    """The owner agrees or does not, its head's consent included (article 21)."""


WORKING_DAYS: Final[Mapping[Limit, int]] = {Limit.ANSWER: 10}
"""Of a resource shared under conditions. An unconditional one is granted at once, which the law
allows one working day for. For submitting and for supplements it sets no limit."""


def due(limit: Limit, start: datetime) -> date:
    """Return the last day, in Asia/Shanghai, for what `limit` is set to.

    The day of `start` is not counted; the limit ends with the returned day.
    """
    day, left = shanghai_day(start), WORKING_DAYS[limit]
    while left:
        day += timedelta(days=1)
        if day.weekday() <= _FRIDAY:
            left -= 1
    return day
