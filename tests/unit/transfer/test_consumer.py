"""Transfer's own copy of entries and grants: newest states, and nothing that cannot be read."""

import asyncio
from typing import Any

import pytest

from kit.directory import Directory
from kit.states import StateEvent
from services.exchange.transfer.consumer import ENTRY, GRANT, Arrivals
from services.exchange.transfer.domain import Condition, Copies, Mask

ITEM = {"name": "code", "type": "text", "required": True, "key": True, "filterable": True}


RANGED = {"name": "level", "type": "integer", "required": False, "key": False, "filterable": False}


def an_entry(**changed: Any) -> dict[str, Any]:
    return {
        "id": "e1",
        "version": 1,
        "resource": "area-codes",
        "agency": "civil-affairs",
        "state": "published",
        "items": [ITEM],
        "critical": ["share_class", "state", "items"],
    } | changed


def a_grant(**changed: Any) -> dict[str, Any]:
    return {
        "id": "g1",
        "resource": "area-codes",
        "entry": "e1",
        "entry_version": 1,
        "consumer": "health",
        "systems": ["s1"],
        "items": ["code"],
        "modes": ["query"],
        "purposes": ["p1"],
        "valid_from": "2026-01-01T00:00:00Z",
        "valid_until": None,
        "state": "active",
        "critical": ["systems", "items", "modes", "purposes", "valid_from", "valid_until", "state"],
    } | changed


class Reader:
    """Hands states to the copy as the bus would."""

    def __init__(self) -> None:
        self.copies = Copies()
        self.arrivals = Arrivals(self.copies, Directory())
        self._version = 0

    def take(self, data: dict[str, Any]) -> None:
        self._version += 1
        topic = GRANT if "systems" in data else ENTRY
        subject = f"{topic.split('.')[1]}/{data['id']}"
        critical = frozenset(data["critical"])
        self.arrivals.apply(StateEvent(topic, subject, 1, self._version, data, critical))


@pytest.fixture
def reader() -> Reader:
    made = Reader()
    made.take(an_entry())
    made.take(a_grant())
    return made


def test_the_newest_state_is_kept(reader: Reader) -> None:
    reader.take(a_grant(state="suspended", reason="audit"))

    grant = reader.copies.grants["g1"]
    assert (grant.state, grant.reason, grant.version) == ("suspended", "audit", 3)


def test_a_published_entry_goes_before_a_withdrawn_one_of_the_same_resource(
    reader: Reader,
) -> None:
    reader.take(an_entry(state="withdrawn"))
    assert reader.copies.entry_of("area-codes") == reader.copies.entries["e1"]

    reader.take(an_entry(id="e2"))

    assert reader.copies.entry_of("area-codes") == reader.copies.entries["e2"]


def test_an_entry_that_names_another_resource_leaves_the_first(reader: Reader) -> None:
    reader.take(an_entry(resource="other-codes", version=2))

    assert reader.copies.entry_of("area-codes") is None
    assert reader.copies.entry_of("other-codes") == reader.copies.entries["e1"]


@pytest.mark.parametrize(
    "torn",
    [
        {"critical": ["row_filter"]},
        {"systems": "s1"},
        {"items": [1]},
        {"valid_from": "tomorrow"},
        {"valid_until": 7},
        {"entry_version": "1"},
        {"state": None},
        {"purposes": None},
        {"consumer": ""},
        {"consumer": None},
        {"row_filter": None},
        {"row_filter": {}},
        {"row_filter": [{"item": "code", "in": ["1"]}]},
        {"row_filter": {"all": []}},
        {"row_filter": {"all": None}},
        {"row_filter": {"all": [{"item": "code", "in": ["1"]}], "any": []}},
        {"row_filter": {"all": [{"item": "code"}]}},
        {"row_filter": {"all": [{"in": ["1"]}]}},
        {"row_filter": {"all": [{"item": 7, "in": ["1"]}]}},
        {"row_filter": {"all": [{"item": "code", "in": []}]}},
        {"row_filter": {"all": [{"item": "code", "in": "1"}]}},
        {"row_filter": {"all": [{"item": "code", "in": [1]}]}},
        {"row_filter": {"all": [{"item": "code", "in": ["1", "1"]}]}},
        {"row_filter": {"all": [{"item": "code", "in": [str(n) for n in range(1001)]}]}},
        {"row_filter": {"all": [{"item": "code", "in": ["1"], "from": "1"}]}},
        {"row_filter": {"all": [{"item": "code", "in": ["1"], "not": True}]}},
        {"row_filter": {"all": [{"item": "code", "from": None}]}},
        {"row_filter": {"all": [{"item": "code", "from": 1}]}},
        {"row_filter": {"all": [{"item": "code", "in": ["1"]}, {"item": "code", "in": ["2"]}]}},
        {"row_filter": {"all": [{"item": f"i{n}", "in": ["1"]} for n in range(21)]}},
        {"row_filter": {"all": ["code"]}},
        {"masks": None},
        {"masks": {}},
        {"masks": []},
        {"masks": {"code": "blur"}},
        {"masks": {"code": None}},
        {"masks": {"": "name"}},
    ],
)
def test_a_grant_that_cannot_be_read_allows_nothing_until_it_can(
    reader: Reader, torn: dict[str, Any]
) -> None:
    reader.take(a_grant(**torn))
    assert not reader.copies.grants["g1"].readable
    assert reader.copies.grants["g1"].version == 3

    reader.take(a_grant())
    assert reader.copies.grants["g1"].readable


def test_row_filter_and_masks_are_read_in_one_form(reader: Reader) -> None:
    conditions = [
        {"item": "level", "from": "1", "until": "3"},
        {"item": "area", "in": ["330106", "330102", ""]},
        {"item": "born", "from": "1990-01-01"},
    ]
    masks = {"name": "name", "code": "pseudonym"}
    critical = [*a_grant()["critical"], "row_filter", "masks"]
    reader.take(a_grant(row_filter={"all": conditions}, masks=masks, critical=critical))

    grant = reader.copies.grants["g1"]
    assert grant.readable
    assert grant.row_filter == (
        Condition("area", ("", "330102", "330106")),
        Condition("born", None, "1990-01-01", None),
        Condition("level", None, "1", "3"),
    )
    assert grant.masks == {"name": Mask.NAME, "code": Mask.PSEUDONYM}
    assert grant.consumer == "health"


def test_who_asks_is_told_of_each_readable_state_of_a_grant() -> None:
    told: list[str] = []
    arrivals = Arrivals(Copies(), Directory(), on_grant=told.append)
    for version, data in enumerate((a_grant(), a_grant(masks={}), a_grant(id="g2")), 1):
        critical = frozenset(data["critical"])
        arrivals.apply(StateEvent(GRANT, f"grant/{data['id']}", 1, version, data, critical))

    assert told == ["g1", "g2"]


@pytest.mark.parametrize(
    "torn",
    [
        {"critical": ["state", "masks"]},
        {"items": []},
        {"items": [ITEM, ITEM]},
        {"items": [ITEM | {"type": "blob"}]},
        {"items": [ITEM | {"key": "yes"}]},
        {"items": ["code"]},
        {"items": None},
        {"items": [ITEM | {"max_length": "6"}]},
        {"items": [ITEM | {"max_length": True}]},
        {"items": [ITEM | {"max_length": 0}]},
        {"items": [ITEM | {"max_length": None}]},
        {"items": [ITEM | {"pattern": ""}]},
        {"items": [ITEM | {"pattern": 7}]},
        {"items": [ITEM | {"pattern": "(?=a)"}]},
        {"items": [ITEM | {"pattern": "(a"}]},
        {"items": [ITEM | {"codes": []}]},
        {"items": [ITEM | {"codes": "330106"}]},
        {"items": [ITEM | {"codes": ["330106", 7]}]},
        {"items": [ITEM | {"minimum": "1"}]},
        {"items": [ITEM, RANGED | {"max_length": 6}]},
        {"items": [ITEM, RANGED | {"codes": ["1"]}]},
        {"items": [ITEM, RANGED | {"minimum": 1}]},
        {"items": [ITEM, RANGED | {"minimum": "01"}]},
        {"items": [ITEM, RANGED | {"maximum": "five"}]},
        {"items": [ITEM, RANGED | {"type": "decimal", "maximum": "5.0"}]},
        {"items": [ITEM, RANGED | {"type": "boolean", "minimum": "false"}]},
        {"version": True},
        {"resource": ""},
    ],
)
def test_an_entry_that_cannot_be_read_answers_nothing_until_it_can(
    reader: Reader, torn: dict[str, Any]
) -> None:
    reader.take(an_entry(**torn))
    assert not reader.copies.entries["e1"].readable

    reader.take(an_entry())
    assert reader.copies.entries["e1"].readable


def test_items_are_read_with_their_rules(reader: Reader) -> None:
    ruled = ITEM | {"max_length": 12, "pattern": r"\d{6,12}", "codes": ["330106", ""]}
    bounds = {"minimum": "-5", "maximum": "10"}
    days = RANGED | {"name": "since", "type": "date", "minimum": "1949-10-01"}
    reader.take(an_entry(items=[ruled, RANGED | bounds, days]))

    entry = reader.copies.entries["e1"]
    assert entry.readable
    code, level, since = entry.layout.items
    assert (code.max_length, code.pattern, code.codes) == (12, r"\d{6,12}", ("330106", ""))
    assert (code.minimum, code.maximum) == (None, None)
    assert (level.minimum, level.maximum) == ("-5", "10")
    assert (since.minimum, since.maximum, since.codes) == ("1949-10-01", None, None)


def test_members_of_an_item_that_a_later_release_adds_are_let_pass(reader: Reader) -> None:
    reader.take(an_entry(items=[ITEM | {"unit": "metre"}]))

    assert reader.copies.entries["e1"].readable
    assert reader.copies.entries["e1"].layout.items[0].pattern is None


def test_a_subject_whose_event_is_no_event_is_unreadable_too(reader: Reader) -> None:
    reader.arrivals.on_unreadable(GRANT, "grant/g1", "no JSON")
    reader.arrivals.on_unreadable(ENTRY, "entry/e1", "no JSON")
    reader.arrivals.on_unreadable(ENTRY, "entry/never-seen", "no JSON")

    assert not reader.copies.grants["g1"].readable
    assert not reader.copies.entries["e1"].readable


async def test_a_call_waits_until_the_state_arrives(reader: Reader) -> None:
    def suspended() -> bool:
        return reader.copies.grants["g1"].state == "suspended"

    waiting = [asyncio.create_task(reader.arrivals.wait_for(suspended, 5)) for _ in range(3)]
    await asyncio.sleep(0)
    reader.take(a_grant())
    await asyncio.sleep(0)
    reader.take(a_grant(state="suspended"))

    assert await asyncio.gather(*waiting) == [True] * 3
    assert not await reader.arrivals.wait_for(lambda: False, 0.02)
