"""What may be asked for, what is granted, and who may change a grant."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.sharing import domain
from services.exchange.sharing.domain import Act, Actor, Ask, Entry, Grant, GrantState

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HEAD = Actor("person/head", "health-commission", frozenset({"sharing_office_head"}))
OWNER = Actor("person/owner", "civil-affairs", frozenset({"resource_administrator"}))


def an_ask(**changed: Any) -> Ask:
    return replace(
        Ask(
            basis="Duties",
            scenario="Addresses",
            resource="divisions",
            systems=("system",),
            items=("code", "name"),
            modes=("query",),
            purposes=("health-statistics",),
            valid_from=NOON,
            valid_until=NOON + timedelta(days=30),
        ),
        **changed,
    )


def an_entry(**changed: Any) -> Entry:
    return replace(
        Entry(
            id="entry",
            version=1,
            owner="civil-affairs",
            resource="divisions",
            state="published",
            share_class="unconditional",
            law_title=None,
            law_article=None,
            items=("code", "name", "level"),
            modes=("query",),
        ),
        **changed,
    )


def a_grant(**changed: Any) -> Grant:
    return replace(domain.issue("grant", "request", an_ask(), an_entry(), HEAD, NOON), **changed)


def test_an_unconditional_resource_is_granted_as_asked() -> None:
    assert domain.decide(an_ask(), an_entry()) is None

    grant = a_grant()
    assert (grant.version, grant.state) == (1, GrantState.ACTIVE)
    assert (grant.owner, grant.consumer) == ("civil-affairs", "health-commission")
    assert (grant.items, grant.operations) == (("code", "name"), ())


@pytest.mark.parametrize("modes", [("query",), ("batch",), ("batch", "query")])
def test_a_grant_carries_the_modes_that_were_asked_for(modes: tuple[str, ...]) -> None:
    ask, entry = an_ask(modes=modes), an_entry(modes=("query", "batch"))
    domain.require_valid(ask, NOON)

    assert domain.decide(ask, entry) is None
    assert domain.issue("grant", "request", ask, entry, HEAD, NOON).modes == modes


def test_each_mode_has_to_be_offered() -> None:
    with pytest.raises(domain.ModeNotOffered) as refused:
        domain.decide(an_ask(modes=("query", "batch")), an_entry())

    assert refused.value.pointer == "/modes/1"


def test_a_batch_has_items() -> None:
    with pytest.raises(domain.RequestInvalid) as refused:
        domain.require_valid(an_ask(modes=("batch",), items=()), NOON)

    assert refused.value.pointer == "/items"


def test_a_law_refuses_before_anything_else_is_looked_at() -> None:
    entry = an_entry(
        share_class="not_shared", law_title="Law", law_article="29", items=(), modes=()
    )

    refused = domain.decide(an_ask(), entry)

    assert refused == domain.Refused("class-not-shared", "Law", "29")
    assert domain.refusal(refused).facts == {
        "legal_basis_title": "Law",
        "legal_basis_article": "29",
    }


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (None, "resource-unknown"),
        (an_entry(state="withdrawn"), "resource-withdrawn"),
        (an_entry(state="paused"), "resource-withdrawn"),
        (an_entry(items=("code",)), "items-unknown"),
        (an_entry(modes=()), "mode-not-offered"),
        (an_entry(share_class="conditional"), "class-conditional-closed"),
        (an_entry(share_class="a-new-class"), "class-conditional-closed"),
    ],
)
def test_a_resource_is_not_granted_when(entry: Entry | None, code: str) -> None:
    with pytest.raises(DomainError) as refused:
        domain.decide(an_ask(), domain.require_readable(an_ask(), entry))

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("valid_from", "valid_until", "is_valid"),
    [
        (NOON, NOON + timedelta(microseconds=1), True),
        (NOON, NOON, False),
        (NOON, NOON - timedelta(days=1), False),
        (NOON - timedelta(days=2), NOON, False),
        (NOON - timedelta(days=2), NOON + timedelta(days=1), True),
        (NOON, NOON.replace(year=2029), True),
        (NOON, NOON.replace(year=2029) + timedelta(microseconds=1), False),
        (datetime(2028, 2, 29, tzinfo=UTC), datetime(2031, 3, 1, tzinfo=UTC), True),
        (datetime(2028, 2, 29, tzinfo=UTC), datetime(2031, 3, 2, tzinfo=UTC), False),
    ],
)
def test_a_period_is_valid(valid_from: datetime, valid_until: datetime, is_valid: bool) -> None:
    ask = an_ask(valid_from=valid_from, valid_until=valid_until)

    if is_valid:
        domain.require_valid(ask, NOON)
    else:
        with pytest.raises(domain.PeriodInvalid):
            domain.require_valid(ask, NOON)


@pytest.mark.parametrize("member", ["systems", "items", "modes", "purposes"])
def test_nothing_is_named_twice(member: str) -> None:
    with pytest.raises(domain.RequestInvalid) as refused:
        domain.require_valid(an_ask(**{member: ("a", "b", "a")}), NOON)

    assert refused.value.pointer == f"/{member}/2"


@given(st.lists(st.sampled_from(list(Act)), max_size=20))
def test_whatever_is_tried_an_ended_grant_stays_ended_and_versions_rise(acts: list[Act]) -> None:
    grant = a_grant()
    for act in acts:
        before = grant
        try:
            grant = domain.change(grant, act, "Because.", NOON)
        except domain.GrantStateConflict:
            assert grant == before
            continue
        assert before.state is not GrantState.ENDED
        assert grant.version == before.version + 1
        assert (grant.reason is None) == (grant.state is GrantState.ACTIVE)
        assert (grant.systems, grant.items) == (before.systems, before.items)


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
    # who: what happens on suspend, resume, end
    "owner's administrator": "yes yes yes",
    "owner's head": "yes yes yes",
    "owner's security officer": "yes yes yes",
    "owner's reviewer": "role-missing role-missing role-missing",
    "owner's competent officer": "role-missing role-missing role-missing",
    "consumer's head": "other-agency other-agency yes",
    "consumer's security officer": "other-agency other-agency role-missing",
    "competent officer": "yes yes yes",
    "competent department's head": "grant-unknown grant-unknown grant-unknown",
    "another competent officer": "grant-unknown grant-unknown grant-unknown",
    "auditor": "other-agency other-agency other-agency",
    "stranger": "grant-unknown grant-unknown grant-unknown",
}


@pytest.mark.parametrize("who", sorted(WHO))
@pytest.mark.parametrize("act", list(Act))
def test_who_may_change_a_grant(who: str, act: Act) -> None:
    expected = MAY[who].split()[list(Act).index(act)]

    try:
        domain.require_may(act, a_grant(), WHO[who])
        happened = "yes"
    except DomainError as refused:
        happened = refused.code

    assert happened == expected
