"""Row filters and masks: what fits an entry, and what is narrower."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.exchange.sharing import domain
from services.exchange.sharing.domain import Condition, Mask, Narrowing, Terms
from services.exchange.sharing.domain.filters import as_data, from_data, is_within
from services.exchange.sharing.domain.masks import require_masks
from services.exchange.sharing.domain.terms import kinds_of, narrowed
from tests.support.sharing import an_entry, some_terms

KINDS = kinds_of(an_entry())


def one_of(item: str, *values: str) -> Condition:
    return Condition(item, frozenset(values))


def between(item: str, low: str | None, high: str | None) -> Condition:
    return Condition(item, None, low, high)


@pytest.mark.parametrize(
    "condition",
    [
        one_of("code", "330106", ""),
        one_of("level", "3", "-9007199254740991", "0"),
        one_of("amount", "12.5", "0", "-0.01"),
        one_of("active", "true"),
        one_of("born", "1990-02-28"),
        one_of("seen", "2026-11-22T00:30:00.000000Z"),
        between("level", "9", "10"),
        between("amount", "9.5", "10"),
        between("born", "1990-01-01", None),
        between("seen", None, "2026-11-22T00:30:00.000000Z"),
    ],
)
def test_a_condition_fits(condition: Condition) -> None:
    domain.require_filter((condition,), an_entry())

    assert from_data(as_data((condition,))) == (condition,)


@pytest.mark.parametrize(
    ("conditions", "code", "pointer"),
    [
        ([one_of("salary", "1")], "items-unknown", "/row_filter/all/0/item"),
        ([one_of("name", "x")], "item-not-filterable", "/row_filter/all/0/item"),
        (
            [one_of("code", "1"), one_of("name", "x")],
            "item-not-filterable",
            "/row_filter/all/1/item",
        ),
        ([one_of("code", "1"), one_of("code", "2")], "filter-invalid", "/row_filter/all/1/item"),
        ([one_of("code", "a\0")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("code", "字" * 134)], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("level", "03")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("level", "9007199254740992")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("level", "-0")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("amount", "12.50")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("amount", "-0")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("amount", "1" * 39)], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("active", "True")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("born", "1990-02-30")], "filter-invalid", "/row_filter/all/0/in"),
        ([one_of("seen", "2026-11-22T00:30:00Z")], "filter-invalid", "/row_filter/all/0/in"),
        ([between("code", "1", "2")], "filter-invalid", "/row_filter/all/0"),
        ([between("active", "false", None)], "filter-invalid", "/row_filter/all/0"),
        ([between("level", "x", None)], "filter-invalid", "/row_filter/all/0/from"),
        ([between("born", None, "x")], "filter-invalid", "/row_filter/all/0/until"),
        ([between("level", "10", "9")], "filter-invalid", "/row_filter/all/0/until"),
        ([between("level", "10", "10")], "filter-invalid", "/row_filter/all/0/until"),
    ],
)
def test_a_condition_does_not_fit(conditions: list[Condition], code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as refused:
        domain.require_filter(tuple(conditions), an_entry())

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


def test_a_refusal_names_what_rows_can_be_chosen_by() -> None:
    with pytest.raises(domain.ItemNotFilterable) as refused:
        domain.require_filter((one_of("name", "x"),), an_entry())

    assert refused.value.facts["filterable"] == [
        "code",
        "level",
        "amount",
        "born",
        "seen",
        "active",
    ]


@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        ([], [], True),
        ([one_of("code", "1")], [], True),
        ([], [one_of("code", "1")], False),
        ([one_of("code", "1")], [one_of("code", "1", "2")], True),
        ([one_of("code", "1", "3")], [one_of("code", "1", "2")], False),
        ([one_of("level", "9", "10")], [between("level", "9", "11")], True),
        ([one_of("level", "9", "11")], [between("level", "9", "11")], False),
        ([between("level", "9", "10")], [one_of("level", "9")], False),
        ([between("level", "9", "10")], [between("level", "8", "100")], True),
        ([between("level", "9", None)], [between("level", "8", "100")], False),
        ([between("level", None, "10")], [between("level", "8", None)], False),
        ([between("level", None, "10")], [between("level", None, "10")], True),
        ([between("amount", "9.5", "10")], [between("amount", "9.4", None)], True),
        ([between("born", "1990-01-01", None)], [between("born", "1991-01-01", None)], False),
        ([one_of("code", "1")], [one_of("code", "1"), one_of("level", "1")], False),
        ([one_of("gone", "1")], [one_of("gone", "1")], True),
        ([one_of("gone", "1")], [one_of("gone", "1", "2")], False),
        ([between("level", "1", "2")], [one_of("level", "x")], False),
        ([one_of("level", "1")], [between("level", "x", None)], False),
    ],
)
def test_what_is_within_a_filter(
    narrow: list[Condition], wide: list[Condition], expected: bool
) -> None:
    assert is_within(tuple(narrow), tuple(wide), KINDS) is expected


numbers = st.integers(0, 6).map(str)
conditions = st.one_of(
    st.frozensets(numbers, min_size=1).map(lambda values: Condition("level", values)),
    st.tuples(st.none() | numbers, st.none() | numbers)
    .filter(lambda ends: ends != (None, None))
    .map(lambda ends: Condition("level", None, *ends)),
)


@given(conditions, conditions)
def test_what_is_within_covers_no_further_row(narrow: Condition, wide: Condition) -> None:
    if is_within((narrow,), (wide,), KINDS):
        covered = [value for value in map(str, range(8)) if narrow.admits("integer", value)]
        assert all(wide.admits("integer", value) for value in covered)


@pytest.mark.parametrize(
    ("masks", "pointer"),
    [
        ({"name": Mask.NAME}, None),
        ({"name": Mask.ID_NUMBER}, None),
        ({"mobile": Mask.MOBILE}, None),
        ({"born": Mask.YEAR}, None),
        ({"code": Mask.PSEUDONYM}, None),
        ({"level": Mask.PSEUDONYM}, None),
        ({"code": Mask.NAME}, "/masks/code"),
        ({"name": Mask.YEAR}, "/masks/name"),
        ({"born": Mask.NAME}, "/masks/born"),
        ({"seen": Mask.YEAR}, "/masks/seen"),
        ({"active": Mask.PSEUDONYM}, "/masks/active"),
        ({"amount": Mask.NAME}, "/masks/amount"),
        ({"salary": Mask.NAME}, "/masks/salary"),
    ],
)
def test_a_mask_fits_its_item(masks: dict[str, Mask], pointer: str | None) -> None:
    entry = an_entry()
    items = tuple(item.name for item in entry.items)

    if pointer is None:
        require_masks(masks, items, entry)
        return
    with pytest.raises(domain.MaskInvalid) as refused:
        require_masks(masks, items, entry)
    assert refused.value.pointer == pointer


def test_a_mask_is_on_a_covered_item() -> None:
    with pytest.raises(domain.MaskInvalid):
        require_masks({"mobile": Mask.MOBILE}, ("code", "name"), an_entry())


WIDE = some_terms(
    items=("code", "name", "mobile"),
    purposes=("a", "b"),
    row_filter=(one_of("code", "1", "2"),),
    masks={"mobile": Mask.MOBILE},
)


@pytest.mark.parametrize(
    ("by", "changed"),
    [
        ({}, {}),
        ({"items": ("code", "mobile")}, {"items": ("code", "mobile")}),
        ({"items": ("code",)}, {"items": ("code",), "masks": {}}),
        ({"purposes": ("b",)}, {"purposes": ("b",)}),
        ({"row_filter": (one_of("code", "2"),)}, {"row_filter": (one_of("code", "2"),)}),
        (
            {"masks": {"mobile": Mask.MOBILE, "name": Mask.NAME}},
            {"masks": {"mobile": Mask.MOBILE, "name": Mask.NAME}},
        ),
        (
            {"items": ("code", "name"), "masks": {"name": Mask.NAME}},
            {"items": ("code", "name"), "masks": {"name": Mask.NAME}},
        ),
    ],
)
def test_terms_are_narrowed(by: dict[str, Any], changed: dict[str, Any]) -> None:
    expected = {name: getattr(WIDE, name) for name in Terms.__slots__} | changed

    assert narrowed(WIDE, Narrowing(**by), KINDS) == Terms(**expected)


@pytest.mark.parametrize(
    ("by", "pointer"),
    [
        ({"items": ("code", "level")}, "/items/1"),
        ({"items": ("code", "code")}, "/items/1"),
        ({"items": ()}, "/items"),
        ({"purposes": ("c",)}, "/purposes/0"),
        ({"operations": ("company",)}, "/operations/0"),
        ({"row_filter": ()}, "/row_filter"),
        ({"row_filter": (one_of("code", "3"),)}, "/row_filter"),
        ({"masks": {}}, "/masks"),
        ({"masks": {"mobile": Mask.PSEUDONYM}}, "/masks"),
    ],
)
def test_terms_are_never_widened(by: dict[str, Any], pointer: str) -> None:
    with pytest.raises(domain.TermsNotNarrower) as refused:
        narrowed(WIDE, Narrowing(**by), KINDS)

    assert refused.value.pointer == pointer
