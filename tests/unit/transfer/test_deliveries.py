"""What is delivered to whom, which bytes a range names, and what both sides count."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain import (
    Condition,
    DeliveryKind,
    Entry,
    Figures,
    Grant,
    Item,
    ItemType,
    Layout,
    Mask,
    ProjectedVersion,
    ReceiptState,
    Start,
    View,
    byte_range,
    choose_items,
    compare,
    is_over,
    lost_key,
    platform_figures,
    read_figures,
    refusals,
    require_covered,
    require_grant,
    view_of,
)
from services.exchange.transfer.domain.reconciliation import is_period, read_day

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
ETAG = '"aa"'
DIGEST = "0" * 63 + "1"


def an_item(name: str, *, key: bool = False) -> Item:
    return Item(name, ItemType.TEXT, key, key, False)


ENTRY = Entry(
    "entry",
    1,
    "area-codes",
    "civil-affairs",
    "published",
    Layout((an_item("code", key=True), an_item("name"), an_item("level"))),
)
GRANT = Grant(
    id="grant",
    version=3,
    resource="area-codes",
    entry="entry",
    entry_version=1,
    systems=frozenset({"system"}),
    items=frozenset({"name", "code"}),
    modes=frozenset({"batch"}),
    purposes=frozenset({"public-health"}),
    valid_from=None,
    valid_until=NOW + timedelta(days=1),
    state="active",
)
CHANGES = ProjectedVersion(7, DeliveryKind.CHANGES, "batch", 2, 3, 4, 100, "f" * 64, "e" * 64)


def test_all_granted_items_are_delivered_in_the_order_of_the_entry() -> None:
    assert choose_items(None, ENTRY, GRANT) == ("code", "name")


def test_chosen_items_are_delivered_in_the_order_of_the_entry() -> None:
    grant = replace(GRANT, items=frozenset({"code", "name", "level"}))

    assert choose_items(["level", "code"], ENTRY, grant) == ("code", "level")


def test_an_item_that_the_entry_has_not_is_pointed_at() -> None:
    with pytest.raises(refusals.ItemUnknown) as refused:
        choose_items(["code", "area"], ENTRY, GRANT)

    assert refused.value.errors[0][0] == "/items"
    assert refused.value.facts["items"] == ["area"]


def test_an_item_outside_of_the_grant_is_refused() -> None:
    with pytest.raises(refusals.ItemsNotGranted) as refused:
        choose_items(["code", "level"], ENTRY, GRANT)

    assert refused.value.facts["items"] == ["level"]
    assert refused.value.facts["granted"] == ["code", "name"]


@pytest.mark.parametrize("asked", [None, ["name"]])
def test_the_key_must_be_among_the_items(asked: list[str] | None) -> None:
    grant = GRANT if asked else replace(GRANT, items=frozenset({"name"}))

    with pytest.raises(refusals.KeyNotGranted) as refused:
        choose_items(asked, ENTRY, grant)

    assert refused.value.facts == {"key": ["code"], "missing": ["code"]}


def test_rows_without_a_key_cannot_be_followed() -> None:
    with pytest.raises(refusals.EntryWithoutKey):
        choose_items(None, replace(ENTRY, layout=Layout((an_item("name"),))), GRANT)


def test_a_grant_that_was_narrowed_covers_nothing_that_it_lost() -> None:
    require_covered("subscription", View(("code", "name")), GRANT)

    with pytest.raises(refusals.ItemsNotGranted) as refused:
        require_covered("subscription", View(("code", "level")), GRANT)

    assert "the next delivery" in refused.value.detail
    assert refused.value.facts["items"] == ["level"]


@pytest.mark.parametrize(
    "narrowed",
    [
        {"row_filter": (Condition("level", ("1",)),)},
        {"masks": {"name": Mask.NAME}},
        {"masks": {"code": Mask.PSEUDONYM}, "consumer": "health"},
    ],
)
def test_what_was_delivered_on_other_terms_is_not_covered_either(narrowed: dict[str, Any]) -> None:
    grant = replace(GRANT, **narrowed)
    view = view_of(("code", "name"), grant)

    require_covered("subscription", view, grant)
    for delivered, granted in ((view, GRANT), (view_of(view.items, GRANT), grant)):
        with pytest.raises(refusals.TermsChanged):
            require_covered("subscription", delivered, granted)


def test_a_mask_of_an_item_that_is_not_delivered_changes_nothing() -> None:
    grant = replace(GRANT, masks={"name": Mask.NAME})

    assert view_of(("code",), grant) == View(("code",))


def test_pseudonyms_are_of_one_consumer_and_other_masks_of_all() -> None:
    keyed = replace(GRANT, masks={"code": Mask.PSEUDONYM}, consumer="health")

    assert view_of(("code", "name"), keyed).consumer == "health"
    assert view_of(("code", "name"), replace(keyed, masks={"name": Mask.NAME})).consumer is None


def test_a_view_is_kept_as_it_is() -> None:
    view = View(
        ("code", "name"),
        (Condition("code", ("1", "2")), Condition("level", None, "1", None)),
        (("code", Mask.PSEUDONYM), ("name", Mask.NAME)),
        "health",
    )

    assert View.from_json(view.as_json()) == view


def test_a_key_that_grew_or_looks_alike_is_lost() -> None:
    assert lost_key(View(("code", "name")), ENTRY.layout) == []
    assert lost_key(View(("name",)), ENTRY.layout) == ["code"]
    assert lost_key(View(("code",), masks=(("code", Mask.PSEUDONYM),)), ENTRY.layout) == []
    assert lost_key(View(("code",), masks=(("code", Mask.NAME),)), ENTRY.layout) == ["code"]


def test_a_grant_covers_only_its_modes() -> None:
    def require(mode: str) -> Grant:
        return require_grant(
            GRANT, system="system", entry=ENTRY, purpose="public-health", now=NOW, mode=mode
        )

    assert require("batch") is GRANT
    with pytest.raises(refusals.ModeNotGranted) as refused:
        require("query")
    assert refused.value.facts["mode"] == "query"


@pytest.mark.parametrize(
    ("changed", "over"),
    [
        ({}, False),
        ({"state": "suspended"}, False),
        ({"state": "ended"}, True),
        ({"valid_until": NOW}, True),
        ({"valid_until": None}, False),
        ({"state": "ended", "readable": False}, False),
    ],
)
def test_deliveries_stop_when_a_grant_was_ended_or_has_expired(
    changed: dict[str, Any], over: bool
) -> None:
    assert is_over(replace(GRANT, **changed), NOW) is over


def test_a_grant_that_has_not_arrived_stops_nothing() -> None:
    assert not is_over(None, NOW)


def test_from_the_beginning_the_whole_table_is_compared() -> None:
    assert platform_figures(CHANGES, Start.BEGINNING) == Figures(2, 3, 4, 100, "f" * 64)


def test_from_now_the_delivered_rows_are_compared() -> None:
    assert platform_figures(CHANGES, Start.NOW) == Figures(2, 3, 4, 5, "e" * 64)


def test_a_table_that_was_never_read_has_no_figures() -> None:
    unknown = replace(CHANGES, rows=None, digest=None)

    assert platform_figures(unknown, Start.NOW).rows == 5
    with pytest.raises(ValueError, match="version 7"):
        platform_figures(unknown, Start.BEGINNING)


@pytest.mark.parametrize("member", ["added", "updated", "deleted", "rows", "digest"])
def test_both_sides_agree_when_all_five_figures_are_the_same(member: str) -> None:
    ours = platform_figures(CHANGES, Start.BEGINNING)
    other: Any = {member: "0" * 64 if member == "digest" else 9}
    theirs = replace(ours, **other)

    assert compare(ours, replace(ours)) is ReceiptState.AGREED
    assert compare(ours, theirs) is ReceiptState.DIFFERS


FIGURES = {"added": 0, "updated": 1, "deleted": 2, "rows": 2**53 - 1, "digest": DIGEST}


def test_figures_are_read() -> None:
    assert read_figures(FIGURES) == Figures(0, 1, 2, 2**53 - 1, DIGEST)


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ([], [""]),
        (None, [""]),
        ({}, ["/added", "/updated", "/deleted", "/rows", "/digest"]),
        (FIGURES | {"added": -1}, ["/added"]),
        (FIGURES | {"rows": 2**53}, ["/rows"]),
        (FIGURES | {"deleted": True}, ["/deleted"]),
        (FIGURES | {"updated": 1.0}, ["/updated"]),
        (FIGURES | {"updated": "1"}, ["/updated"]),
        (FIGURES | {"rows": None}, ["/rows"]),
        (FIGURES | {"digest": "A" * 64}, ["/digest"]),
        (FIGURES | {"digest": "0" * 63}, ["/digest"]),
        (FIGURES | {"digest": "0" * 64 + "\n"}, ["/digest"]),
        (FIGURES | {"digest": 0}, ["/digest"]),
        (FIGURES | {"a/b~": 1}, ["/a~1b~0"]),
    ],
)
def test_each_member_that_is_no_figure_is_pointed_at(body: Any, pointers: list[str]) -> None:
    with pytest.raises(refusals.BodyInvalid) as refused:
        read_figures(body)

    assert [pointer for pointer, _ in refused.value.errors] == pointers


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("", None),
        ("bytes=0-0", (0, 0)),
        ("bytes=0-", (0, 99)),
        ("bytes=10-19", (10, 19)),
        ("bytes=90-1000", (90, 99)),
        ("bytes=99-99", (99, 99)),
        ("bytes=-1", (99, 99)),
        ("bytes=-1000", (0, 99)),
        (" bytes=1-2 ", (1, 2)),
        ("bytes=20-10", None),
        ("bytes=-", None),
        ("bytes=0-1,5-6", None),
        ("bytes=0 - 1", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=\u0661-2", None),
        ("rows=0-1", None),
        ("0-1", None),
    ],
)
def test_one_range_of_bytes_is_answered_and_anything_else_whole(
    header: str | None, expected: tuple[int, int] | None
) -> None:
    assert byte_range(header, None, ETAG, 100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0", f"bytes={10**18}-"])
def test_a_range_without_a_byte_is_refused(header: str) -> None:
    with pytest.raises(refusals.RangeNotSatisfiable) as refused:
        byte_range(header, None, ETAG, 100)

    assert refused.value.facts["bytes"] == 100


def test_a_range_of_other_bytes_is_answered_whole() -> None:
    assert byte_range("bytes=1-2", ETAG, ETAG, 100) == (1, 2)
    assert byte_range("bytes=1-2", '"bb"', ETAG, 100) is None
    assert byte_range("bytes=500-", f"W/{ETAG}", ETAG, 100) is None


@given(st.text(max_size=30), st.integers(1, 1000))
def test_no_header_leads_outside_of_the_bytes(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            found = byte_range(text, None, ETAG, size)
        except refusals.RangeNotSatisfiable:
            continue
        assert found is None or 0 <= found[0] <= found[1] < size


@pytest.mark.parametrize(
    "text", ["", "2026-02-29", "20261124", "2026-W01-1", "2026-11-24T00:00:00", "1", "9999-12-31"]
)
def test_only_a_day_of_the_calendar_is_read(text: str) -> None:
    assert read_day(text) is None


def test_a_period_has_one_to_366_days() -> None:
    first, last = read_day("2026-01-01"), read_day("2027-01-01")
    assert first is not None
    assert last is not None

    assert is_period(first, first)
    assert is_period(first, last)
    assert not is_period(first, last + timedelta(days=1))
    assert not is_period(last, first)
