"""Operations of owners' services, read from states and matched byte for byte; the breaker."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.domain import Allowed, Denied, Operation, OwnService, decide, explain
from gateway.table.states import ENTRY_CRITICAL, read_entry
from gateway.upstream.breaker import FAILURES, REST_SECONDS, Breaker
from kit.canonical import strict_loads
from kit.problems import CONTRACTS
from tests.support.permissions import NOW, QUERY, READ_DIVISIONS, SYSTEM, a_table

SERVICE = OwnService(
    "register.example",
    443,
    None,
    5,
    (
        Operation("read", b"GET", "/enterprises/{code}"),
        Operation("find", b"GET", "/enterprises"),
        Operation("change", b"PUT", "/enterprises/{code}"),
        Operation("owners", b"GET", "/enterprises/{code}/owners/{owner}"),
    ),
)
EXAMPLE = strict_loads(
    (CONTRACTS / "events" / "examples" / "catalog.entry.v1.service.json").read_bytes()
)["data"]
CALL = replace(QUERY, route="call_get", part="gateway", data="call", operation="read")
CALL_GRANT = replace(
    READ_DIVISIONS,
    items=frozenset(),
    modes=frozenset({"call"}),
    operations=frozenset({"read", "find"}),
)


# ---- operations ----


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        (b"GET", b"/enterprises", "find"),
        (b"GET", b"/enterprises/91330106TQ0000065E", "read"),
        (b"PUT", b"/enterprises/x", "change"),
        (b"GET", b"/enterprises/x/owners/y", "owners"),
        (b"GET", b"/enterprises/", None),
        (b"GET", b"/enterprises//owners/y", None),
        (b"GET", b"/enterprises/x/", None),
        (b"GET", b"/Enterprises", None),
        (b"GET", b"/", None),
        (b"get", b"/enterprises", None),
        (b"POST", b"/enterprises", None),
        (b"GET", b"/enterprises/{code}", "read"),
    ],
)
def test_a_call_is_the_operation_whose_template_it_fits(
    method: bytes, path: bytes, name: str | None
) -> None:
    assert SERVICE.operation(method, path) == name


@given(st.lists(st.sampled_from(["a", "b", "{x}"]), min_size=1, max_size=4), st.data())
def test_what_a_template_is_filled_with_fits_it(template: list[str], data: st.DataObject) -> None:
    words = st.text("abc.~_-", min_size=1)
    filled = [data.draw(words) if segment == "{x}" else segment for segment in template]
    service = replace(SERVICE, operations=(Operation("it", b"GET", "/" + "/".join(template)),))
    assert service.operation(b"GET", ("/" + "/".join(filled)).encode()) == "it"
    assert service.operation(b"GET", ("/" + "/".join([*filled, "a"])).encode()) is None


# ---- states ----


def test_the_service_of_an_entry_is_read_from_its_state() -> None:
    entry = read_entry(EXAMPLE, readable=True)
    service = entry.service
    assert service is not None
    assert (service.host, service.port, service.seconds) == (
        "register.market.gov.example",
        8443,
        5,
    )
    assert service.ca == EXAMPLE["service"]["ca"]
    assert service.operation(b"GET", b"/enterprises/1") == "read-enterprise"
    assert set(EXAMPLE["critical"]) <= ENTRY_CRITICAL


def test_an_entry_of_hosted_data_has_none() -> None:
    data = {name: value for name, value in EXAMPLE.items() if name != "service"}
    assert read_entry(data, readable=True).service is None


@pytest.mark.parametrize(
    "changed",
    [
        {"address": "http://register.example:80"},
        {"address": "https://register.example"},
        {"address": 7},
        {"ca": ""},
        {"seconds": 0},
        {"seconds": 61},
        {"seconds": "5"},
        {"operations": None},
        {"operations": ["read"]},
        {"operations": [{"name": "a", "method": "GET", "path": "a"}]},
        {"operations": [{"name": "a", "path": "/a"}]},
    ],
)
def test_a_service_of_another_shape_makes_the_entry_unreadable(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_entry(EXAMPLE | {"service": EXAMPLE["service"] | changed}, readable=True)


# ---- decisions ----


def test_a_granted_operation_is_allowed_and_the_others_are_refused_with_the_granted_ones() -> None:
    table = a_table(grants=[CALL_GRANT])
    assert isinstance(decide(table, CALL, NOW), Allowed)
    for operation, detail in (("change", "the operation change"), ("", "fit no operation")):
        denied = decide(table, replace(CALL, operation=operation), NOW)
        assert isinstance(denied, Denied)
        assert denied.reason == "operation-not-granted"
        assert denied.facts["granted"] == ["find", "read"]
        assert detail in denied.detail


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (replace(CALL, purpose=None), "purpose-missing"),
        (replace(CALL, purpose="marketing"), "purpose-not-granted"),
        (QUERY, "mode-not-granted"),
        (replace(CALL, data="batch"), "mode-not-granted"),
    ],
)
def test_a_grant_for_calls_covers_calls_for_its_purposes(call: Any, reason: str) -> None:
    denied = decide(a_table(grants=[CALL_GRANT]), call, NOW)
    assert isinstance(denied, Denied)
    assert denied.reason == reason


def test_a_grant_for_queries_covers_no_calls() -> None:
    denied = decide(a_table(), CALL, NOW)
    assert isinstance(denied, Denied)
    assert denied.reason == "mode-not-granted"


def test_an_explanation_names_the_operation() -> None:
    checks = explain(a_table(grants=[CALL_GRANT]), CALL, NOW, f"system/{SYSTEM}")
    facts = {check.name: check for check in checks}
    assert facts["operation-not-granted"].passed
    assert facts["operation-not-granted"].fact == "The operation read is granted."


# ---- the breaker ----


def test_five_failures_in_a_row_open_it_and_one_success_closes_it() -> None:
    breaker = Breaker()
    for _ in range(FAILURES - 1):
        assert breaker.admit(0.0) is False
        breaker.failed(0.0, False)
    breaker.succeeded()
    for _ in range(FAILURES):
        assert breaker.admit(0.0) is False
        breaker.failed(0.0, False)
    assert breaker.is_open
    assert breaker.admit(REST_SECONDS - 0.1) is None
    assert breaker.admit(REST_SECONDS) is True
    assert breaker.admit(REST_SECONDS) is None
    breaker.failed(REST_SECONDS, True)
    assert breaker.admit(2 * REST_SECONDS - 0.1) is None
    assert breaker.admit(2 * REST_SECONDS) is True
    breaker.let_go(True)
    assert breaker.admit(2 * REST_SECONDS) is True
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.admit(2 * REST_SECONDS) is False


def test_a_call_that_tries_and_never_reports_keeps_nobody_out_for_long() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(0.0, False)
    assert breaker.admit(REST_SECONDS) is True
    assert breaker.admit(2 * REST_SECONDS - 0.1) is None
    assert breaker.admit(2 * REST_SECONDS) is True
    assert breaker.admit(2 * REST_SECONDS) is None


def test_a_late_failure_of_a_call_from_before_it_opened_changes_nothing() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(0.0, False)
    breaker.failed(4.0, False)
    assert breaker.seconds_left(4.0) == 1.0
    assert breaker.admit(5.0) is True
    breaker.failed(5.0, False)
    breaker.let_go(False)
    assert breaker.admit(5.0) is None
