"""`decide`: from one call that is allowed, change one fact at a time."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain import Allowed, Call, Claims, Denied, decide, recheck
from tests.support.permissions import (
    CLAIMS,
    DAY,
    GRANT,
    NOW,
    OTHER_SYSTEM,
    OWNER_THUMBPRINT,
    PERSON,
    PUBLISH,
    QUERY,
    READ_DIVISIONS,
    RECEIVE,
    SYSTEM,
    THUMBPRINT,
    PlainTable,
    a_table,
)


def denied(table: PlainTable, call: Call = QUERY, now: float = NOW) -> Denied:
    outcome = decide(table, call, now)
    assert isinstance(outcome, Denied)
    return outcome


def test_a_call_within_its_grant_is_allowed_and_names_grant_entry_and_caller() -> None:
    outcome = decide(a_table(), QUERY, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant_ref == f"{GRANT}@2"
    assert outcome.entry is not None
    assert outcome.entry.version == 3
    assert outcome.caller is not None
    assert outcome.caller.subject == f"system/{SYSTEM}"


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ({"thumbprint": None}, "certificate-missing"),
        ({"thumbprint": "unknown"}, "certificate-invalid"),
        ({"claims": None, "token_problem": "token-missing"}, "token-missing"),
        ({"claims": None, "token_problem": "token-invalid"}, "token-invalid"),
        ({"claims": replace(CLAIMS, exp=NOW - 60)}, "token-invalid"),
        ({"claims": replace(CLAIMS, x5t=OWNER_THUMBPRINT)}, "token-not-bound"),
        ({"claims": replace(CLAIMS, sub=f"system/{OTHER_SYSTEM}")}, "token-not-bound"),
        ({"resource": "no-such-resource"}, "resource-unknown"),
        ({"grant": "019aa450-0000-7000-8000-00000000ffff"}, "grant-missing"),
        ({"operation": "lookup"}, "operation-not-granted"),
        ({"purpose": None}, "purpose-missing"),
        ({"purpose": ""}, "purpose-missing"),
        ({"purpose": "marketing"}, "purpose-not-granted"),
        ({"purpose": "Public-Health"}, "purpose-not-granted"),
        ({"items": ("code", "population")}, "items-not-granted"),
    ],
)
def test_a_call_is_refused_when_the_call_differs(call: dict[str, Any], reason: str) -> None:
    assert denied(a_table(), replace(QUERY, **call)).reason == reason


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"credential": {"not_after": NOW}}, "certificate-invalid"),
        ({"credential": {"not_before": NOW + 61}}, "certificate-invalid"),
        ({"credential": {"active": False}}, "certificate-revoked"),
        ({"credential": {"readable": False}}, "permission-unreadable"),
        ({"agency": {"active": False}}, "agency-suspended"),
        ({"agency": {"id": "another-agency"}}, "agency-suspended"),
        ({"agency": {"readable": False}}, "permission-unreadable"),
        ({"agency": {"readable": False, "active": False}}, "permission-unreadable"),
        ({"caller": {"active": False}}, "caller-suspended"),
        ({"caller": {"id": OTHER_SYSTEM}}, "caller-suspended"),
        ({"caller": {"readable": False}}, "permission-unreadable"),
        ({"entry": {"state": "draft"}}, "resource-unknown"),
        ({"entry": {"state": "withdrawn"}}, "resource-withdrawn"),
        ({"entry": {"share_class": "not_shared"}}, "class-not-shared"),
        ({"entry": {"readable": False}}, "permission-unreadable"),
        ({"entry": {"id": "019aa400-0000-7000-8000-0000000000e2"}}, "grant-missing"),
        ({"grants": []}, "grant-missing"),
        ({"grant": {"systems": frozenset({OTHER_SYSTEM})}}, "grant-missing"),
        ({"grant": {"resource": "other-resource"}}, "grant-missing"),
        ({"grant": {"consumer": "another-agency"}}, "grant-missing"),
        ({"grant": {"readable": False}}, "permission-unreadable"),
        ({"grant": {"valid_from": NOW + 1}}, "grant-not-yet-valid"),
        ({"grant": {"valid_until": NOW}}, "grant-expired"),
        ({"grant": {"state": "suspended"}}, "grant-suspended"),
        ({"grant": {"state": "ended"}}, "grant-ended"),
        ({"grant": {"modes": frozenset({"file"})}}, "mode-not-granted"),
        ({"grant": {"purposes": frozenset()}}, "purpose-not-granted"),
    ],
)
def test_a_call_is_refused_when_the_table_differs(table: dict[str, Any], reason: str) -> None:
    assert denied(a_table(**table)).reason == reason


@pytest.mark.parametrize(
    ("table", "call"),
    [
        ({"grant": {"valid_from": None, "valid_until": None}}, {}),
        ({"grant": {"valid_from": NOW}}, {}),
        ({"credential": {"not_before": NOW + 60}}, {}),
        ({"grant": {"operations": frozenset({"lookup"})}}, {"operation": "lookup"}),
        ({}, {"claims": replace(CLAIMS, exp=NOW - 59)}),
        ({}, {"grant": GRANT}),
        ({}, {"items": ("name",)}),
        ({"entry": {"share_class": "conditional"}}, {}),
    ],
)
def test_a_call_at_the_edge_of_a_fact_is_allowed(
    table: dict[str, Any], call: dict[str, Any]
) -> None:
    assert isinstance(decide(a_table(**table), replace(QUERY, **call), NOW), Allowed)


BATCH = {"modes": frozenset({"batch"})}


def test_a_delivery_is_received_under_a_grant_for_batches() -> None:
    outcome = decide(a_table(grant=BATCH), RECEIVE, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant_ref == f"{GRANT}@2"


@pytest.mark.parametrize(
    ("call", "granted"), [(RECEIVE, frozenset({"query"})), (QUERY, frozenset({"batch", "file"}))]
)
def test_a_grant_for_one_mode_is_none_for_another(call: Call, granted: frozenset[str]) -> None:
    outcome = denied(a_table(grant={"modes": granted}), call)

    assert outcome.reason == "mode-not-granted"
    assert f"the mode {call.data};" in outcome.detail
    assert outcome.facts["mode"] == call.data
    assert outcome.facts["granted"] == sorted(granted)


@pytest.mark.parametrize(
    ("call", "table", "reason"),
    [
        ({"resource": "no-such-resource"}, {}, "resource-unknown"),
        ({"purpose": None}, {}, "purpose-missing"),
        ({"purpose": "marketing"}, {}, "purpose-not-granted"),
        ({"grant": "019aa450-0000-7000-8000-00000000ffff"}, {}, "grant-missing"),
        ({}, {"grants": []}, "grant-missing"),
        ({}, {"grant": {**BATCH, "state": "suspended"}}, "grant-suspended"),
        ({}, {"grant": {**BATCH, "state": "ended"}}, "grant-ended"),
        ({}, {"grant": {**BATCH, "valid_until": NOW}}, "grant-expired"),
        ({}, {"grant": {**BATCH, "readable": False}}, "permission-unreadable"),
        ({}, {"entry": {"state": "withdrawn"}, "grant": BATCH}, "resource-withdrawn"),
        ({}, {"entry": {"share_class": "not_shared"}, "grant": BATCH}, "class-not-shared"),
    ],
)
def test_a_delivery_is_refused_for_every_reason_for_which_a_query_is(
    call: dict[str, Any], table: dict[str, Any], reason: str
) -> None:
    permissions = a_table(**{"grant": BATCH, **table})

    assert denied(permissions, replace(RECEIVE, **call)).reason == reason


def test_the_owner_receives_its_own_deliveries_under_a_grant_only() -> None:
    by_owner = replace(RECEIVE, thumbprint=OWNER_THUMBPRINT, claims=PUBLISH.claims)

    assert denied(a_table(grant=BATCH), by_owner).reason == "grant-missing"


def test_a_recheck_refuses_a_delivery_whose_mode_the_grant_has_lost() -> None:
    table = a_table(grant=BATCH)
    outcome = decide(table, RECEIVE, NOW)
    assert isinstance(outcome, Allowed)
    table.grants[GRANT] = replace(table.grants[GRANT], modes=frozenset({"query"}), version=3)

    again = recheck(table, RECEIVE, outcome, NOW)

    assert isinstance(again, Denied)
    assert again.reason == "mode-not-granted"


@pytest.mark.parametrize(
    ("terms", "enforced", "reason"),
    [
        ("narrower", 2, "permissions-behind"),
        ("narrower", None, "permissions-behind"),
        ("narrower", 3, None),
        ("", 2, None),
    ],
)
def test_a_recheck_refuses_what_was_answered_by_another_row_filter_or_other_masks(
    terms: str, enforced: int | None, reason: str | None
) -> None:
    table = a_table()
    allowed = decide(table, QUERY, NOW)
    assert isinstance(allowed, Allowed)
    narrowed = replace(table.grants[GRANT], terms=terms, version=3)

    again = recheck(a_table(grants=[narrowed]), QUERY, allowed, NOW, ["code"], enforced)

    assert getattr(again, "reason", None) == reason


def test_a_class_that_a_law_does_not_share_is_refused_with_that_law() -> None:
    law = {"law_title": "中华人民共和国个人信息保护法", "law_article": "第二十八条"}

    outcome = denied(a_table(entry={"share_class": "not_shared", **law}))

    assert outcome.facts["law_title"] == law["law_title"]
    assert outcome.facts["law_article"] == law["law_article"]
    assert law["law_title"] in outcome.detail
    assert law["law_article"] in outcome.detail


def test_a_law_that_names_the_recipient_lets_its_grant_pass_and_no_other() -> None:
    named = replace(READ_DIVISIONS, id=GRANT[:-1] + "7", statutory="刑事诉讼法, 第五十四条")
    table = a_table(entry={"share_class": "not_shared"}, grants=[READ_DIVISIONS, named])

    outcome = decide(table, QUERY, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant == named
    assert denied(table, replace(QUERY, grant=GRANT)).reason == "class-not-shared"
    assert denied(table, replace(QUERY, purpose="marketing")).reason == "purpose-not-granted"
    table.grants.pop(named.id)
    again = recheck(table, QUERY, outcome, NOW)
    assert isinstance(again, Denied)
    assert again.reason == "class-not-shared"


def test_a_grant_from_before_the_law_is_refused_when_the_answer_would_leave() -> None:
    table = a_table()
    outcome = decide(table, QUERY, NOW)
    assert isinstance(outcome, Allowed)
    table.entries["xzqh-divisions"] = replace(
        table.entries["xzqh-divisions"], share_class="not_shared"
    )

    again = recheck(table, QUERY, outcome, NOW)

    assert isinstance(again, Denied)
    assert again.reason == "class-not-shared"


def test_a_refusal_names_its_fact_in_a_sentence() -> None:
    expired = denied(a_table(grant={"valid_until": NOW - DAY}))
    suspended = denied(a_table(grant={"state": "suspended", "reason": "投诉调查"}))
    purpose = denied(a_table(), replace(QUERY, purpose="marketing"))

    assert expired.detail == f"The grant {GRANT} expired at 2026-09-20T14:13:20Z."
    assert "投诉调查" in suspended.detail
    assert purpose.facts["granted"] == ["public-health", "statistics"]
    assert "public-health, statistics" in purpose.detail


def test_a_grant_of_somebody_else_looks_like_one_that_does_not_exist() -> None:
    foreign = replace(READ_DIVISIONS, systems=frozenset({OTHER_SYSTEM}), state="suspended")

    there = denied(a_table(grants=[foreign]), replace(QUERY, grant=GRANT))
    not_there = denied(a_table(grants=[]), replace(QUERY, grant=GRANT))

    assert (there.reason, there.detail, there.facts) == (
        not_there.reason,
        not_there.detail,
        not_there.facts,
    )
    assert there.grant is None


def test_the_first_grant_in_id_order_that_allows_wins() -> None:
    ended = replace(READ_DIVISIONS, id=GRANT[:-1] + "1", state="ended")
    later = replace(READ_DIVISIONS, id=GRANT[:-1] + "9")

    outcome = decide(a_table(grants=[later, READ_DIVISIONS, ended]), QUERY, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant == READ_DIVISIONS


def test_the_refusal_of_the_grant_that_passed_most_checks_is_told() -> None:
    ended = replace(READ_DIVISIONS, id=GRANT[:-1] + "1", state="ended")
    other_purpose = replace(READ_DIVISIONS, purposes=frozenset({"statistics"}))
    unreadable = replace(READ_DIVISIONS, id=GRANT[:-1] + "9", readable=False)

    outcome = denied(a_table(grants=[ended, other_purpose, unreadable]))

    assert outcome.reason == "purpose-not-granted"
    assert outcome.grant == other_purpose


def test_of_grants_refused_alike_the_first_is_told() -> None:
    later = replace(READ_DIVISIONS, id=GRANT[:-1] + "9", state="suspended")
    first = replace(READ_DIVISIONS, state="suspended")

    assert denied(a_table(grants=[later, first])).grant == first


def test_an_unreadable_grant_does_not_hide_one_that_allows() -> None:
    unreadable = replace(READ_DIVISIONS, id=GRANT[:-1] + "1", readable=False)

    assert isinstance(decide(a_table(grants=[unreadable, READ_DIVISIONS]), QUERY, NOW), Allowed)


def test_a_person_does_not_query_data() -> None:
    table = a_table(credential={"kind": "person", "holder": PERSON})
    call = replace(QUERY, claims=replace(CLAIMS, sub=f"person/{PERSON}"))

    assert denied(table, call).reason == "role-missing"


def test_publishing_is_allowed_by_ownership_without_grant_and_purpose() -> None:
    outcome = decide(a_table(grants=[]), PUBLISH, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant is None
    assert outcome.entry_ref == "019aa400-0000-7000-8000-0000000000e1@3"


@pytest.mark.parametrize(
    ("entry", "call", "reason"),
    [
        ({}, {"resource": "no-such-resource"}, "resource-unknown"),
        ({"state": "withdrawn"}, {}, "resource-withdrawn"),
        ({"agency": "health-commission"}, {}, "not-the-owner"),
        ({"state": "approved"}, {}, "entry-not-published"),
        ({"state": "approved", "agency": "health-commission"}, {}, "not-the-owner"),
        ({"readable": False}, {}, "permission-unreadable"),
        ({}, {"thumbprint": None}, "certificate-missing"),
    ],
)
def test_publishing_is_refused_when_one_fact_differs(
    entry: dict[str, Any], call: dict[str, Any], reason: str
) -> None:
    assert denied(a_table(entry=entry), replace(PUBLISH, **call)).reason == reason


def test_a_grant_does_not_make_an_owner() -> None:
    as_consumer = replace(PUBLISH, thumbprint=THUMBPRINT, claims=CLAIMS)

    assert denied(a_table(), as_consumer).reason == "not-the-owner"


def test_a_public_route_asks_nothing() -> None:
    outcome = decide(PlainTable(), Call("get_ca", "public", "identity"), NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.caller is None


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"credential": {"active": False}}, "certificate-revoked"),
        ({"credential": {"not_after": NOW}}, "certificate-invalid"),
        ({"agency": {"active": False}}, "agency-suspended"),
        ({"caller": {"active": False}}, "caller-suspended"),
    ],
)
def test_a_certificate_route_asks_for_a_good_certificate_and_no_token(
    table: dict[str, Any], reason: str
) -> None:
    call = Call("issue_token", "certificate", "identity", thumbprint=THUMBPRINT)

    assert isinstance(decide(a_table(), call, NOW), Allowed)
    assert denied(a_table(**table), call).reason == reason


def test_the_control_plane_asks_for_caller_and_token_alone() -> None:
    call = Call("get_me", "caller", "identity", thumbprint=THUMBPRINT, claims=CLAIMS)

    outcome = decide(a_table(grants=[]), call, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.grant_ref is None
    assert denied(a_table(), replace(call, claims=None)).reason == "token-invalid"


def test_a_refusal_keeps_what_the_record_needs() -> None:
    outcome = denied(a_table(grant={"state": "ended"}))

    assert outcome.caller is not None
    assert outcome.entry is not None
    assert outcome.grant is not None
    assert denied(a_table(), replace(QUERY, claims=None)).caller == outcome.caller


def test_a_recheck_holds_to_the_grant_that_let_the_call_through() -> None:
    allowed = decide(a_table(), QUERY, NOW)
    assert isinstance(allowed, Allowed)
    other = replace(READ_DIVISIONS, id=GRANT[:-1] + "9")
    now_suspended = a_table(grants=[replace(READ_DIVISIONS, state="suspended"), other])

    outcome = recheck(now_suspended, QUERY, allowed, NOW)

    assert isinstance(decide(now_suspended, QUERY, NOW), Allowed)
    assert isinstance(outcome, Denied)
    assert outcome.reason == "grant-suspended"


def test_a_recheck_refuses_items_that_the_grant_has_lost() -> None:
    allowed = decide(a_table(), QUERY, NOW)
    assert isinstance(allowed, Allowed)
    narrowed = a_table(grant={"items": frozenset({"code"}), "version": 3})

    outcome = recheck(narrowed, QUERY, allowed, NOW, ["code", "name"])

    assert isinstance(outcome, Denied)
    assert outcome.reason == "items-not-granted"
    assert isinstance(recheck(narrowed, QUERY, allowed, NOW, ["code"]), Allowed)


def test_a_recheck_of_publishing_asks_for_ownership_again() -> None:
    allowed = decide(a_table(), PUBLISH, NOW)
    assert isinstance(allowed, Allowed)

    outcome = recheck(a_table(entry={"state": "withdrawn"}), PUBLISH, allowed, NOW)

    assert isinstance(outcome, Denied)
    assert outcome.reason == "resource-withdrawn"


def test_a_token_of_a_person_with_the_same_id_is_not_bound_to_a_system() -> None:
    call = replace(QUERY, claims=Claims(f"person/{SYSTEM}", "t", NOW + 300, THUMBPRINT))

    assert denied(a_table(), call).reason == "token-not-bound"


class QuietTable(PlainTable):
    """A table that says that nothing has changed, whatever the test changes."""

    @property
    def changes(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("later", "items", "still"),
    [
        (0.0, None, True),
        (100.0, ["code", "name"], True),
        (100.0, ["code", "population"], False),
        (359.0, None, True),
        (360.0, None, False),
        (-1.0, None, False),
    ],
)
def test_without_a_change_only_time_and_items_are_looked_at_again(
    later: float, items: list[str] | None, still: bool
) -> None:
    plain = a_table()
    table = QuietTable(
        plain.credentials, plain.agencies, plain.parties, plain.entries, plain.grants
    )
    allowed = decide(table, QUERY, NOW)
    assert isinstance(allowed, Allowed)

    assert (recheck(table, QUERY, allowed, NOW + later, items) is allowed) == still


@pytest.mark.parametrize(
    ("table", "claims", "until"),
    [
        ({"credential": {"not_after": NOW + 10}}, {}, NOW + 10),
        ({"grant": {"valid_until": NOW + 20}}, {}, NOW + 20),
        ({}, {"exp": NOW - 30}, NOW + 30),
        ({"grant": {"valid_until": None}}, {"exp": NOW + 2 * DAY}, NOW + DAY),
    ],
)
def test_a_permission_says_how_long_time_alone_lets_it_stand(
    table: dict[str, Any], claims: dict[str, Any], until: float
) -> None:
    call = replace(QUERY, claims=replace(CLAIMS, **claims))

    outcome = decide(a_table(**table), call, NOW)

    assert isinstance(outcome, Allowed)
    assert outcome.until == until
    assert isinstance(decide(a_table(**table), call, until), Denied)
    assert isinstance(decide(a_table(**table), call, until - 0.001), Allowed)
