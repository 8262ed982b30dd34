"""Legal limits by plain working days, in days of Asia/Shanghai."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.clock import shanghai_day
from services.exchange.sharing.domain.deadlines import WORKING_DAYS, Limit, due


def test_an_answer_is_due_in_ten_working_days() -> None:
    """Decree 809, article 21."""
    assert WORKING_DAYS[Limit.ANSWER] == 10


@pytest.mark.parametrize(
    ("start", "last"),
    [
        (datetime(2026, 11, 23, 9, tzinfo=UTC), date(2026, 12, 7)),  # Monday
        (datetime(2026, 11, 27, 9, tzinfo=UTC), date(2026, 12, 11)),  # Friday
        (datetime(2026, 11, 28, 9, tzinfo=UTC), date(2026, 12, 11)),  # Saturday
        (datetime(2026, 11, 29, 9, tzinfo=UTC), date(2026, 12, 11)),  # Sunday
        (datetime(2026, 11, 29, 15, 59, 59, tzinfo=UTC), date(2026, 12, 11)),  # still Sunday
        (datetime(2026, 11, 29, 16, tzinfo=UTC), date(2026, 12, 14)),  # Monday in Shanghai
        (datetime(2026, 12, 24, 9, tzinfo=UTC), date(2027, 1, 7)),  # across the year
    ],
)
def test_the_day_on_which_it_starts_is_not_counted(start: datetime, last: date) -> None:
    assert due(Limit.ANSWER, start) == last


@given(
    st.timedeltas(timedelta(0), timedelta(days=7000)).map(
        lambda after: datetime(2020, 1, 1, tzinfo=UTC) + after
    )
)
def test_there_are_ten_working_days_after_the_start_and_the_last_is_one(start: datetime) -> None:
    first, last = shanghai_day(start), due(Limit.ANSWER, start)
    days = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]

    assert sum(day.weekday() < 5 for day in days) == 10
    assert last.weekday() < 5
