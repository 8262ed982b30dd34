"""Small things of the kit that an odd input, or an odd moment, must not break."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy
from sqlalchemy.exc import DBAPIError

from kit.auth import DirectoryIdentities, PermissionUnreadable
from kit.clock import parse_rfc3339, rfc3339
from tests.integration.kit.conftest import Part
from tests.support.callers import Identities


@pytest.mark.parametrize("year", [1, 99, 999, 1000, 9999])
def test_an_instant_is_27_characters_in_every_year(year: int) -> None:
    instant = datetime(year, 6, 1, tzinfo=UTC)
    written = rfc3339(instant)
    assert len(written) == 27
    assert parse_rfc3339(written) == instant


def test_an_instant_of_another_offset_is_written_in_utc() -> None:
    east = timezone(timedelta(hours=8))
    assert rfc3339(datetime(2026, 1, 1, tzinfo=east)) == "2025-12-31T16:00:00.000000Z"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_an_instant_outside_the_calendar_is_refused_like_any_bad_text(text: str) -> None:
    with pytest.raises(ValueError, match="calendar"):
        parse_rfc3339(text)


async def test_a_caller_whose_agency_has_not_been_read_yet_is_refused_not_a_fault() -> None:
    known = Identities()
    caller = known.system("health")
    del known.directory.agencies["health"]

    with pytest.raises(PermissionUnreadable):
        await DirectoryIdentities(known.directory).state_of(caller.subject, caller.thumbprint)


async def test_an_error_of_the_database_does_not_repeat_what_was_sent_to_it(part: Part) -> None:
    statement = sqlalchemy.text("SELECT CAST(:secret AS text) || 1 / 0").bindparams(
        secret="one-time-secret"
    )
    async with part.db.begin() as tx:
        connection = await tx.connection()
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(statement)
        await tx.rollback()
    assert "one-time-secret" not in str(refused.value)
