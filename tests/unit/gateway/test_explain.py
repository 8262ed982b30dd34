"""`explain` walks the checks of `decide`, every one with its fact."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import Allowed, Call, Denied, decide, explain
from tests.support.permissions import (
    CLAIMS,
    DAY,
    ENTRY,
    GRANT,
    NOW,
    OTHER_SYSTEM,
    PUBLISH,
    QUERY,
    READ_DIVISIONS,
    RECEIVE,
    SYSTEM,
    THUMBPRINT,
    PlainTable,
    a_table,
)

ORDER = [
    "certificate-missing",
    "certificate-invalid",
    "certificate-revoked",
    "token-missing",
    "token-invalid",
    "token-not-bound",
    "agency-suspended",
    "caller-suspended",
    "resource-unknown",
    "resource-withdrawn",
    "class-not-shared",
    "not-the-owner",
    "entry-not-published",
    "grant-missing",
    "grant-not-yet-valid",
    "grant-expired",
    "grant-suspended",
    "grant-ended",
    "mode-not-granted",
    "operation-not-granted",
    "purpose-missing",
    "purpose-not-granted",
    "items-not-granted",
]


@pytest.mark.parametrize("call", [QUERY, RECEIVE, PUBLISH])
def test_checks_come_in_the_order_of_the_design(call: Call) -> None:
    names = [check.name for check in explain(a_table(), call, NOW) if check.name in ORDER]

    assert names == [name for name in ORDER if name in names]


def test_together_the_data_routes_make_every_check_of_the_design() -> None:
    names = {check.name for call in (QUERY, PUBLISH) for check in explain(a_table(), call, NOW)}

    assert set(ORDER) <= names


def test_every_check_of_an_allowed_call_passes_and_states_its_fact() -> None:
    checks = explain(a_table(), QUERY, NOW)

    assert all(check.passed for check in checks)
    assert all(check.fact.endswith(".") for check in checks)
    assert "The purpose public-health is granted." in [check.fact for check in checks]


def test_a_mode_that_is_not_granted_is_named() -> None:
    failed = [check for check in explain(a_table(), RECEIVE, NOW) if check.passed is False]

    assert [check.name for check in failed] == ["mode-not-granted"]
    assert "does not cover the mode batch" in failed[0].fact


def test_checks_after_a_refusal_are_still_told() -> None:
    checks = explain(a_table(grant={"state": "suspended"}), replace(QUERY, purpose="x"), NOW)

    failed = [check.name for check in checks if check.passed is False]
    assert failed == ["grant-suspended", "purpose-not-granted"]


def test_what_has_no_subject_is_left_open() -> None:
    checks = explain(a_table(grants=[]), QUERY, NOW)

    assert [c.passed for c in checks if c.name == "grant-missing"] == [False]
    assert [c.passed for c in checks if c.name == "grant-expired"] == [None]


def test_an_explanation_for_a_system_leaves_the_connection_open() -> None:
    call = Call("query", "caller", "transfer", "query", "xzqh-divisions", purpose="statistics")

    checks = explain(a_table(), call, NOW, caller=f"system/{SYSTEM}")

    open_checks = {check.name for check in checks if check.passed is None}
    assert {"certificate-missing", "token-missing", "token-not-bound"} <= open_checks
    assert not [check for check in checks if check.passed is False]
    assert next(c for c in checks if c.name == "purpose-not-granted").passed


def test_an_explanation_for_an_unknown_system_says_so() -> None:
    call = Call("query", "caller", "transfer", "query", "xzqh-divisions")

    checks = explain(a_table(), call, NOW, caller=f"system/{OTHER_SYSTEM}")

    assert [c.passed for c in checks if c.name == "caller-suspended"] == [False]


def test_a_public_route_has_nothing_to_explain() -> None:
    assert explain(PlainTable(), Call("get_ca", "public", "identity"), NOW) == []


def times() -> st.SearchStrategy[float]:
    return st.sampled_from([NOW - DAY, NOW - 61, NOW - 59, NOW, NOW + 1, NOW + 61, NOW + DAY])


changes: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "credential": st.fixed_dictionaries(
        {},
        optional={
            "active": st.booleans(),
            "readable": st.booleans(),
            "not_after": times(),
            "not_before": times(),
            "holder": st.sampled_from([SYSTEM, OTHER_SYSTEM]),
        },
    ),
    "agency": st.fixed_dictionaries(
        {}, optional={"active": st.booleans(), "readable": st.booleans()}
    ),
    "caller": st.fixed_dictionaries(
        {}, optional={"active": st.booleans(), "readable": st.booleans()}
    ),
    "entry": st.fixed_dictionaries(
        {},
        optional={
            "state": st.sampled_from(["draft", "published", "withdrawn"]),
            "share_class": st.sampled_from(["unconditional", "conditional", "not_shared"]),
            "readable": st.booleans(),
            "agency": st.sampled_from(["civil-affairs", "health-commission"]),
        },
    ),
}
grants = st.builds(
    replace,
    st.just(READ_DIVISIONS),
    id=st.sampled_from([GRANT[:-1] + digit for digit in "123"]),
    state=st.sampled_from(["active", "active", "suspended", "ended"]),
    valid_from=st.one_of(st.none(), times()),
    valid_until=st.one_of(st.none(), times()),
    purposes=st.sampled_from([frozenset({"public-health"}), frozenset({"statistics"})]),
    modes=st.sampled_from([frozenset({"query"}), frozenset({"batch"})]),
    systems=st.sampled_from([frozenset({SYSTEM}), frozenset({OTHER_SYSTEM})]),
    entry=st.sampled_from([ENTRY, "019aa400-0000-7000-8000-0000000000e2"]),
    statutory=st.sampled_from([None, "Law, 1"]),
    readable=st.sampled_from([True, True, False]),
)
tables = st.builds(a_table, **changes, grants=st.lists(grants, max_size=4))
calls = st.builds(
    replace,
    st.sampled_from([QUERY, RECEIVE, PUBLISH]),
    thumbprint=st.sampled_from([THUMBPRINT, THUMBPRINT, None, "unknown"]),
    claims=st.sampled_from([CLAIMS, CLAIMS, None, replace(CLAIMS, exp=NOW - DAY)]),
    purpose=st.sampled_from(["public-health", "statistics", "marketing", None]),
    grant=st.sampled_from([None, None, GRANT[:-1] + "1", "nothing"]),
    resource=st.sampled_from(["xzqh-divisions", "xzqh-divisions", "other"]),
)


@given(tables, calls)
def test_decide_and_explain_agree(table: PlainTable, call: Call) -> None:
    outcome = decide(table, call, NOW)
    checks = explain(table, call, NOW)

    failed = [check for check in checks if check.passed is False]
    if isinstance(outcome, Allowed):
        assert not failed
        assert all(check.passed for check in checks)
    else:
        assert failed[0].name == outcome.reason
        assert failed[0].fact == outcome.detail


@given(tables, calls, st.sampled_from([QUERY, RECEIVE]))
def test_no_grant_no_data(table: PlainTable, call: Call, kind: Call) -> None:
    table.grants.clear()

    outcome = decide(table, replace(call, data=kind.data, route=kind.route), NOW)

    assert isinstance(outcome, Denied)


@given(tables, calls)
def test_an_allowed_reading_names_a_grant_that_covers_it(table: PlainTable, call: Call) -> None:
    outcome = decide(table, call, NOW)

    if isinstance(outcome, Allowed) and call.data != "publish":
        grant = outcome.grant
        assert grant is not None
        assert grant in table.grants.values()
        assert grant.state == "active"
        assert grant.readable
        assert call.purpose in grant.purposes
        assert call.data in grant.modes
        assert SYSTEM in grant.systems
        assert (grant.valid_from or 0) <= NOW < (grant.valid_until or float("inf"))


WORSE: list[dict[str, Any]] = [
    {"credential": {"active": False}},
    {"credential": {"readable": False}},
    {"agency": {"active": False}},
    {"agency": {"readable": False}},
    {"caller": {"active": False}},
    {"caller": {"readable": False}},
    {"entry": {"state": "withdrawn"}},
    {"entry": {"readable": False}},
]


@given(tables, calls, st.sampled_from(WORSE))
def test_a_subject_that_is_bad_allows_nothing_whatever_else_is_good(
    table: PlainTable, call: Call, worse: dict[str, Any]
) -> None:
    for kind, change in worse.items():
        subjects: dict[str, Any] = {
            "credential": table.credentials,
            "agency": table.agencies,
            "caller": table.parties,
            "entry": table.entries,
        }[kind]
        for key, subject in subjects.items():
            subjects[key] = replace(subject, **change)

    assert isinstance(decide(table, call, NOW), Denied)


@given(tables, calls)
def test_removing_a_grant_never_allows_more(table: PlainTable, call: Call) -> None:
    before = decide(table, call, NOW)
    if isinstance(before, Denied):
        for grant_id in list(table.grants):
            del table.grants[grant_id]
            assert isinstance(decide(table, call, NOW), Denied)
