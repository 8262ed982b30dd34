"""Rules about certificates."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.identity.domain.credentials import (
    AgencySuspended,
    CallerSuspended,
    CertificateInvalid,
    CertificateRevoked,
    ClientMismatch,
    Credential,
    CredentialState,
    Presented,
    require_active,
    require_client,
    require_valid,
    revoked,
    spiffe_id,
)
from services.identity.domain.subjects import Agency, Level, Standing, System

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SYSTEM = System("s-1", "civil-affairs", "门户")
AGENCY = Agency("civil-affairs", "民政局", Level.CITY, "330100", None, None, audits=False)


def presented(**changed: Any) -> Presented:
    values: dict[str, Any] = {
        "thumbprint": "A" * 43,
        "kind": "system",
        "holder": "s-1",
        "agency": "civil-affairs",
        "serial": "0" * 32,
        "not_before": NOON,
        "not_after": NOON + timedelta(days=90),
    }
    return Presented(Credential(**values | changed), SYSTEM, AGENCY)


def test_the_name_in_a_certificate_says_agency_kind_and_id() -> None:
    assert (
        spiffe_id("datong.test", SYSTEM)
        == "spiffe://datong.test/department/civil-affairs/system/s-1"
    )


def test_a_certificate_counts_from_its_first_to_its_last_instant() -> None:
    one = presented()
    second = timedelta(seconds=1)

    assert require_valid(one, NOON) is one
    assert require_valid(one, NOON + timedelta(days=90)) is one
    for instant in (NOON - second, NOON + timedelta(days=90) + second):
        with pytest.raises(CertificateInvalid):
            require_valid(one, instant)


def test_an_unknown_certificate_is_invalid() -> None:
    with pytest.raises(CertificateInvalid):
        require_valid(None, NOON)


def test_a_revoked_certificate_is_refused_as_revoked() -> None:
    with pytest.raises(CertificateRevoked):
        require_valid(presented(revoked_at=NOON), NOON)


def test_an_expired_certificate_is_refused_as_invalid_even_if_revoked() -> None:
    with pytest.raises(CertificateInvalid):
        require_valid(presented(revoked_at=NOON), NOON + timedelta(days=91))


def test_a_suspended_agency_is_named_before_a_suspended_holder() -> None:
    away = {"state": Standing.SUSPENDED}
    system = System("s-1", "civil-affairs", "门户", **away)
    agency = Agency(
        "civil-affairs", "民政局", Level.CITY, "330100", None, None, audits=False, **away
    )

    require_active(SYSTEM, AGENCY)
    with pytest.raises(CallerSuspended):
        require_active(system, AGENCY)
    with pytest.raises(AgencySuspended):
        require_active(system, agency)


def test_the_client_id_is_the_holder() -> None:
    require_client(presented(), "s-1")
    with pytest.raises(ClientMismatch):
        require_client(presented(), "s-2")


def test_a_revocation_is_final_and_counted_once() -> None:
    once = revoked(presented().credential, NOON)

    assert (once.state, once.version) == (CredentialState.REVOKED, 2)
    assert revoked(once, NOON + timedelta(days=1)) is once
