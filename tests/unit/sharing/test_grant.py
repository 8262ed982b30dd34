"""Grants: who changes them, and that changes only take away or prolong."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.sharing import domain
from services.exchange.sharing.domain import Act, Actor, GrantState, Validity
from services.exchange.sharing.domain import grant as rules
from tests.support.sharing import HEAD, NOON, OFFICER, OWNER, a_grant, some_terms


@given(st.lists(st.sampled_from(list(Act)), max_size=20))
def test_whatever_is_tried_an_ended_grant_stays_ended_and_versions_rise(acts: list[Act]) -> None:
    grant = a_grant()
    for act in acts:
        before = grant
        try:
            grant = rules.change(grant, act, "Because.", NOON)
        except domain.GrantStateConflict:
            assert grant == before
            continue
        assert before.state is not GrantState.ENDED
        assert grant.version == before.version + 1
        assert (grant.reason is None) == (grant.state is GrantState.ACTIVE)
        assert (grant.systems, grant.terms) == (before.systems, before.terms)


WHO: Mapping[str, Actor] = {
    "owner's administrator": OWNER,
    "owner's head": replace(OWNER, roles=frozenset({"sharing_office_head"})),
    "owner's security officer": replace(OWNER, roles=frozenset({"security_officer"})),
    "owner's reviewer": replace(OWNER, roles=frozenset({"reviewer"})),
    "owner's competent officer": replace(OWNER, roles=frozenset({"competent_officer"})),
    "consumer's head": HEAD,
    "consumer's security officer": replace(HEAD, roles=frozenset({"security_officer"})),
    "competent officer": Actor(
        "person/c", "bureau", frozenset({"competent_officer"}), frozenset({"civil-affairs"})
    ),
    "competent department's head": Actor(
        "person/h", "bureau", frozenset({"sharing_office_head"}), frozenset({"civil-affairs"})
    ),
    "another competent officer": Actor(
        "person/o", "other", frozenset({"competent_officer"}), frozenset({"tax-bureau"})
    ),
    "auditor": Actor("person/a", "audit-office", frozenset({"auditor"})),
    "stranger": Actor("person/s", "tax-bureau", frozenset({"sharing_office_head"})),
}

MAY: Mapping[str, str] = {
    # who: what happens on suspend, resume, end, narrow
    "owner's administrator": "yes yes yes yes",
    "owner's head": "yes yes yes role-missing",
    "owner's security officer": "yes yes yes role-missing",
    "owner's reviewer": "role-missing role-missing role-missing role-missing",
    "owner's competent officer": "role-missing role-missing role-missing role-missing",
    "consumer's head": "other-agency other-agency yes other-agency",
    "consumer's security officer": "other-agency other-agency role-missing other-agency",
    "competent officer": "yes yes yes other-agency",
    "competent department's head": "grant-unknown grant-unknown grant-unknown grant-unknown",
    "another competent officer": "grant-unknown grant-unknown grant-unknown grant-unknown",
    "auditor": "other-agency other-agency other-agency other-agency",
    "stranger": "grant-unknown grant-unknown grant-unknown grant-unknown",
}


@pytest.mark.parametrize("who", sorted(WHO))
@pytest.mark.parametrize("act", list(Act))
def test_who_may_change_a_grant(who: str, act: Act) -> None:
    expected = MAY[who].split()[list(Act).index(act)]

    try:
        rules.require_may(act, a_grant(), WHO[who])
        happened = "yes"
    except DomainError as refused:
        happened = refused.code

    assert happened == expected


@pytest.mark.parametrize(
    ("days", "expected"),
    [(-1, Validity.NOT_YET), (0, Validity.VALID), (29, Validity.VALID), (30, Validity.EXPIRED)],
)
def test_where_the_present_lies_in_the_period(days: int, expected: Validity) -> None:
    assert a_grant().validity(NOON + timedelta(days=days)) is expected


def test_a_narrowed_grant_stays_what_it_was_else() -> None:
    less = some_terms(items=("code",))
    for state in (GrantState.ACTIVE, GrantState.SUSPENDED):
        grant = a_grant(state=state, reason="Misuse.")
        changed = rules.narrow(grant, less, NOON)
        assert changed == replace(grant, terms=less, version=2)


def test_an_ended_grant_is_not_narrowed_and_the_same_is_not_less() -> None:
    with pytest.raises(domain.GrantStateConflict):
        rules.narrow(a_grant(state=GrantState.ENDED), some_terms(items=("code",)), NOON)
    with pytest.raises(domain.TermsNotNarrower):
        rules.narrow(a_grant(), some_terms(), NOON)


def test_a_renewal_prolongs_the_period_and_nothing_else() -> None:
    grant = a_grant(state=GrantState.SUSPENDED, reason="Misuse.")
    until = NOON + timedelta(days=60)

    renewed = rules.renew(grant, until, 3, NOON + timedelta(days=29))

    assert renewed == replace(
        grant,
        version=2,
        valid_until=until,
        entry_version=3,
        changed_at=NOON + timedelta(days=29),
    )


def test_a_renewal_of_an_expired_grant_does_not_cover_what_lies_between() -> None:
    at = NOON + timedelta(days=40)

    renewed = rules.renew(a_grant(), NOON + timedelta(days=60), 1, at)

    assert (renewed.valid_from, renewed.valid_until) == (at, NOON + timedelta(days=60))


def test_an_ended_grant_and_one_that_is_valid_as_long_are_not_renewed() -> None:
    grant = a_grant()
    with pytest.raises(domain.GrantStateConflict):
        rules.renew(replace(grant, state=GrantState.ENDED), NOON + timedelta(days=60), 1, NOON)
    with pytest.raises(domain.GrantStateConflict):
        rules.renew(grant, grant.valid_until, 1, NOON)


def test_only_the_consumer_asks_for_a_renewal() -> None:
    rules.require_renewable(a_grant(), OFFICER)
    with pytest.raises(domain.NotThisSide):
        rules.require_renewable(a_grant(), OWNER)
    with pytest.raises(domain.GrantUnknown):
        rules.require_renewable(a_grant(), replace(OFFICER, agency="tax-bureau"))
    with pytest.raises(domain.GrantStateConflict):
        rules.require_renewable(a_grant(state=GrantState.ENDED), OFFICER)
