"""What may be asked for, and what comes of it before anybody answers."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kit.errors import DomainError
from services.exchange.sharing import domain
from services.exchange.sharing.domain import Entry, GrantState, procedure
from services.exchange.sharing.domain import request as rules
from services.exchange.sharing.domain.terms import require_offered
from tests.support.sharing import (
    HEAD,
    LAW,
    NOON,
    OFFICER,
    a_grant,
    an_ask,
    an_entry,
    some_terms,
)


def test_a_grant_covers_what_was_asked_for_and_nothing_else() -> None:
    grant = a_grant()

    assert (grant.version, grant.state) == (1, GrantState.ACTIVE)
    assert (grant.owner, grant.consumer) == ("civil-affairs", "health-commission")
    assert grant.terms == an_ask().terms
    assert (grant.terms.items, grant.terms.operations) == (("code", "name"), ())


@pytest.mark.parametrize(
    ("terms", "pointer"),
    [
        ({"items": ()}, "/items"),
        ({"items": (), "modes": ("batch",)}, "/items"),
        ({"items": ("a", "b", "a")}, "/items/2"),
        ({"modes": ("query", "query")}, "/modes/1"),
        ({"purposes": ("a", "a")}, "/purposes/1"),
        ({"operations": ("company",)}, "/operations"),
        ({"modes": ("call", "query"), "items": (), "operations": ("company",)}, "/modes"),
        ({"modes": ("call",), "operations": ("company",)}, "/items"),
        ({"modes": ("call",), "items": ()}, "/operations"),
        (
            {
                "modes": ("call",),
                "items": (),
                "operations": ("company",),
                "masks": {"name": domain.Mask.NAME},
            },
            "/masks",
        ),
        (
            {
                "modes": ("call",),
                "items": (),
                "operations": ("company",),
                "row_filter": (domain.Condition("code", frozenset({"1"})),),
            },
            "/row_filter",
        ),
    ],
)
def test_a_request_that_contradicts_itself_is_invalid(terms: dict[str, Any], pointer: str) -> None:
    with pytest.raises(domain.RequestInvalid) as refused:
        rules.require_valid(an_ask(terms=some_terms(**terms)), NOON)

    assert refused.value.pointer == pointer


def test_no_system_is_named_twice() -> None:
    with pytest.raises(domain.RequestInvalid) as refused:
        rules.require_valid(an_ask(systems=("a", "b", "a")), NOON)

    assert refused.value.pointer == "/systems/2"


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
        rules.require_valid(ask, NOON)
    else:
        with pytest.raises(domain.PeriodInvalid) as refused:
            rules.require_valid(ask, NOON)
        assert refused.value.pointer == "/valid_until"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        (None, "resource-unknown"),
        (an_entry(state="withdrawn"), "resource-withdrawn"),
        (an_entry(state="paused"), "resource-withdrawn"),
        (an_entry(share_class="a-new-class"), "permission-unreadable"),
    ],
)
def test_an_entry_that_is_not_published_or_not_understood_is_not_shared(
    entry: Entry | None, code: str
) -> None:
    with pytest.raises(DomainError) as refused:
        domain.require_published("divisions", entry, "/resource")

    assert refused.value.code == code


@pytest.mark.parametrize(
    ("terms", "entry", "code", "pointer"),
    [
        ({"items": ("code", "salary")}, {}, "items-unknown", "/items/1"),
        ({"modes": ("query", "batch")}, {}, "mode-not-offered", "/modes/1"),
        ({}, {"modes": ()}, "mode-not-offered", "/modes/0"),
        (
            {"modes": ("call",), "items": (), "operations": ("a", "b")},
            {"modes": ("call",), "operations": ("a",)},
            "operations-unknown",
            "/operations/1",
        ),
    ],
)
def test_more_is_asked_for_than_there_is(
    terms: dict[str, Any], entry: dict[str, Any], code: str, pointer: str
) -> None:
    with pytest.raises(DomainError) as refused:
        require_offered(some_terms(**terms), an_entry(**entry))

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_law_excludes_everybody_but_whom_a_law_names() -> None:
    entry = an_entry(share_class="not_shared", law=LAW, items=(), modes=())

    assert domain.excluded_by(entry, None) == LAW
    assert domain.excluded_by(entry, domain.Law("Another law", "1")) is None
    assert domain.excluded_by(an_entry(share_class="conditional"), None) is None
    assert domain.not_shared(LAW, "/resource").facts == {
        "legal_basis_title": "Law",
        "legal_basis_article": "29",
    }


@pytest.mark.parametrize("share_class", ["unconditional", "conditional"])
def test_a_statutory_recipient_is_only_of_what_is_not_shared(share_class: str) -> None:
    ask = an_ask(statutory=LAW)
    rules.require_statutory_fits(ask, an_entry(share_class="not_shared"))

    with pytest.raises(domain.RequestInvalid) as refused:
        rules.require_statutory_fits(ask, an_entry(share_class=share_class))

    assert refused.value.pointer == "/statutory"


def test_only_a_head_asks_for_what_is_granted_at_once() -> None:
    conditional = an_entry(share_class="conditional")
    entitled = an_ask(statutory=LAW)

    assert procedure.require_asks_at_once(an_ask(), an_entry(), HEAD)
    assert not procedure.require_asks_at_once(an_ask(), conditional, HEAD)
    assert not procedure.require_asks_at_once(an_ask(), conditional, OFFICER)
    assert not procedure.require_asks_at_once(entitled, an_entry(), OFFICER)
    with pytest.raises(domain.ActorRoleMissing) as refused:
        procedure.require_asks_at_once(an_ask(), an_entry(), OFFICER)
    assert refused.value.facts["needed_roles"] == ["sharing_office_head"]


def test_a_statutory_basis_goes_into_the_grant() -> None:
    ask = an_ask(statutory=LAW)
    entry = an_entry(share_class="not_shared", law=domain.Law("Secrets", "1"))
    request = rules.open_request("request", ask, entry, OFFICER, NOON)

    grant = rules.issue("grant", request, ask.terms, ask.valid_until, entry, NOON)

    assert (grant.statutory, grant.share_class) == (LAW, "not_shared")
    assert replace(grant, statutory=None) != grant
