"""An entry is published by two people, and what was published never changes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import DomainError
from services.catalog import domain
from services.catalog.domain import (
    Actor,
    BasisKind,
    Content,
    DataFormat,
    DataGrade,
    Entry,
    Item,
    ItemType,
    LegalBasis,
    Mode,
    ShareClass,
    UpdateFrequency,
    VersionState,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
REGISTRAR = Actor("person/registrar", "civil-affairs", None)
REVIEWER = Actor("person/reviewer", "civil-affairs", None)
LAW = LegalBasis(BasisKind.LAW, "Law on State Secrets", "29")


def an_item(name: str = "code", **changed: Any) -> Item:
    return replace(Item(name, name, ItemType.TEXT, True, True, True), **changed)


def a_content(**changed: Any) -> Content:
    return replace(
        Content(
            name="Divisions",
            summary="Administrative divisions.",
            items=(an_item(),),
            data_format=DataFormat.DATABASE,
            update_frequency=UpdateFrequency.YEARLY,
            share_class=ShareClass.UNCONDITIONAL,
            legal_basis=None,
            share_conditions=None,
            modes=(Mode.QUERY,),
            use_conditions="Administrative duties.",
            data_grade=DataGrade.GENERAL,
            line=None,
            area=None,
        ),
        **changed,
    )


def a_draft() -> Entry:
    return domain.create("entry", "divisions", a_content(), REGISTRAR, NOON)


def a_published() -> Entry:
    return domain.approve(domain.submit(a_draft(), REGISTRAR, NOON), REVIEWER, NOON)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"items": tuple(an_item(f"item_{n}") for n in range(200))},
        {"share_class": ShareClass.CONDITIONAL, "share_conditions": "For audits."},
        {"share_class": ShareClass.NOT_SHARED, "legal_basis": LAW, "modes": ()},
        {"modes": (Mode.QUERY, Mode.BATCH)},
        {"modes": (Mode.BATCH,)},
    ],
)
def test_content_is_valid_when(changed: dict[str, Any]) -> None:
    domain.require_valid(a_content(**changed))


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"items": ()}, "entry-invalid", "/items"),
        ({"items": tuple(an_item(f"i_{n}") for n in range(201))}, "entry-invalid", "/items"),
        ({"items": (an_item(), an_item())}, "entry-invalid", "/items/1/name"),
        ({"items": (an_item(key=False),)}, "entry-invalid", "/items"),
        ({"items": (an_item(required=False),)}, "entry-invalid", "/items/0/required"),
        ({"share_class": ShareClass.NOT_SHARED}, "legal-basis-required", "/legal_basis"),
        ({"legal_basis": LAW}, "entry-invalid", "/legal_basis"),
        ({"share_class": ShareClass.CONDITIONAL}, "entry-invalid", "/share_conditions"),
        ({"share_conditions": "Ask first."}, "entry-invalid", "/share_conditions"),
        ({"modes": ()}, "entry-invalid", "/modes"),
        ({"modes": (Mode.QUERY, Mode.QUERY)}, "entry-invalid", "/modes/1"),
    ],
)
def test_content_is_refused_when(changed: dict[str, Any], code: str, pointer: str) -> None:
    with pytest.raises(DomainError) as refused:
        domain.require_valid(a_content(**changed))

    assert (refused.value.code, refused.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    "rules",
    [
        {"max_length": 1},
        {"max_length": 100_000, "pattern": r"\d{6}", "codes": ("330106", "")},
        {"codes": tuple(str(n) for n in range(1000))},
        {"codes": ("x" * 200,)},
        {"type": ItemType.INTEGER, "minimum": "-9007199254740991", "maximum": "9007199254740991"},
        {"type": ItemType.INTEGER, "minimum": "9", "maximum": "10"},
        {"type": ItemType.INTEGER, "minimum": "0", "maximum": "0"},
        {"type": ItemType.DECIMAL, "minimum": "-12345678901234567890123456789012345678"},
        {"type": ItemType.DECIMAL, "minimum": "-0.5", "maximum": "100"},
        {"type": ItemType.DATE, "minimum": "0001-01-01", "maximum": "2028-02-29"},
        {"type": ItemType.DATETIME, "maximum": "2026-11-22T00:30:00.000000Z"},
    ],
)
def test_an_item_may_have_rules(rules: dict[str, Any]) -> None:
    domain.require_valid(a_content(items=(an_item(), an_item("other", **rules))))


@pytest.mark.parametrize(
    ("rules", "pointer", "why"),
    [
        ({"max_length": 0}, "max_length", "1 to 100000"),
        ({"max_length": 100_001}, "max_length", "1 to 100000"),
        ({"type": ItemType.INTEGER, "max_length": 5}, "max_length", "Only items of type text"),
        ({"type": ItemType.DATE, "pattern": "a"}, "pattern", "Only items of type text"),
        ({"type": ItemType.BOOLEAN, "codes": ("true",)}, "codes", "Only items of type text"),
        ({"minimum": "a"}, "minimum", "integer or decimal or date or datetime"),
        ({"type": ItemType.BOOLEAN, "maximum": "true"}, "maximum", "Only items of type"),
        ({"pattern": "(?=a)"}, "pattern", "look-ahead"),
        ({"codes": ()}, "codes", "1 to 1000"),
        ({"codes": tuple(str(n) for n in range(1001))}, "codes", "1 to 1000"),
        ({"codes": ("a", "b", "a")}, "codes/2", "a occurs twice"),
        ({"codes": ("a", "x" * 201)}, "codes/1", "at most 200"),
        ({"codes": ("a", "abc"), "max_length": 2}, "codes/1", "at most 2"),
        ({"type": ItemType.INTEGER, "minimum": "10", "maximum": "9"}, "maximum", "less than"),
        ({"type": ItemType.DECIMAL, "minimum": "0.5", "maximum": "-7"}, "maximum", "less than"),
    ],
)
def test_rules_of_an_item_are_refused_when(rules: dict[str, Any], pointer: str, why: str) -> None:
    with pytest.raises(domain.EntryInvalid) as refused:
        domain.require_valid(a_content(items=(an_item(), an_item("other", **rules))))

    assert refused.value.pointer == f"/items/1/{pointer}"
    assert why in refused.value.detail


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        (ItemType.INTEGER, ["", "+1", "01", "-0", "1.0", "1e3", " 1", "9007199254740992", "١"]),
        (ItemType.DECIMAL, ["", "-0", "1.0", "1.", ".5", "00", "1e3", "NaN", "9" * 39]),
        (ItemType.DATE, ["", "2026-02-29", "20261122", "2026-1-2", "0000-01-01"]),
        (
            ItemType.DATETIME,
            [
                "2026-11-22",
                "2026-11-22T00:30:00Z",
                "2026-11-22T08:30:00.000000+08:00",
                "2026-11-22T24:00:00.000000Z",
                "2026-11-22T00:30:00.000000z",
            ],
        ),
    ],
)
def test_a_bound_is_written_in_canonical_form(kind: ItemType, texts: list[str]) -> None:
    for text in texts:
        for member in ("minimum", "maximum"):
            item = an_item("other", type=kind, **{member: text})
            with pytest.raises(domain.EntryInvalid) as refused:
                domain.require_valid(a_content(items=(an_item(), item)))
            assert refused.value.pointer == f"/items/1/{member}", text


def test_approval_publishes_and_supersedes_the_version_before() -> None:
    first = a_published()
    second = domain.approve(
        domain.submit(domain.begin_draft(first, REGISTRAR, NOON), REGISTRAR, NOON), REVIEWER, NOON
    )

    assert first.public is not None
    assert first.public.number == 1
    assert [(v.number, v.state) for v in second.versions] == [
        (1, VersionState.SUPERSEDED),
        (2, VersionState.PUBLISHED),
    ]


@pytest.mark.parametrize("writes", [True, False])
@pytest.mark.parametrize("submits", [True, False])
def test_whoever_wrote_or_submitted_a_version_never_approves_it(
    writes: bool, submits: bool
) -> None:
    entry = a_draft()
    if writes:
        entry = domain.replace_draft(entry, "divisions", a_content(), REVIEWER, NOON)
        entry = domain.replace_draft(entry, "divisions", a_content(), REGISTRAR, NOON)
    entry = domain.submit(entry, REVIEWER if submits else REGISTRAR, NOON)

    if writes or submits:
        with pytest.raises(domain.SamePerson):
            domain.approve(entry, REVIEWER, NOON)
    else:
        assert domain.approve(entry, REVIEWER, NOON).state is VersionState.PUBLISHED


def test_a_rejected_version_remembers_its_writers() -> None:
    entry = domain.reject(domain.submit(a_draft(), REVIEWER, NOON), "No.", REVIEWER, NOON)
    entry = domain.submit(entry, REGISTRAR, NOON)

    with pytest.raises(domain.SamePerson):
        domain.approve(entry, REVIEWER, NOON)


def test_withdrawal_discards_the_version_in_work() -> None:
    entry = domain.withdraw(domain.begin_draft(a_published(), REGISTRAR, NOON), "Old.", NOON)

    assert entry.state is VersionState.WITHDRAWN
    assert entry.working is None
    assert entry.versions[1].state is VersionState.DISCARDED


ACTS: dict[str, Callable[[Entry], Entry]] = {
    "replace": lambda e: domain.replace_draft(e, e.resource, a_content(), REGISTRAR, NOON),
    "begin": lambda e: domain.begin_draft(e, REGISTRAR, NOON),
    "submit": lambda e: domain.submit(e, REGISTRAR, NOON),
    "approve": lambda e: domain.approve(e, REVIEWER, NOON),
    "reject": lambda e: domain.reject(e, "No.", REVIEWER, NOON),
    "withdraw": lambda e: domain.withdraw(e, "Old.", NOON),
}


@given(st.lists(st.sampled_from(sorted(ACTS)), max_size=30))
def test_whatever_is_tried_published_content_stays_and_revisions_rise(acts: list[str]) -> None:
    entry, published = a_draft(), {}
    for act in acts:
        before = entry
        try:
            entry = ACTS[act](entry)
        except domain.EntryStateConflict:
            continue
        assert entry.revision == before.revision + 1
        living = [v for v in entry.versions if v.state is not VersionState.SUPERSEDED]
        assert sum(v.state in (VersionState.DRAFT, VersionState.SUBMITTED) for v in living) <= 1
        for version in entry.versions:
            if version.published_at is not None:
                kept = published.setdefault(version.number, version.content)
                assert version.content is kept
        if before.state is VersionState.WITHDRAWN:
            pytest.fail(f"{act} changed a withdrawn entry")
