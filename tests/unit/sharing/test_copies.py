"""Sharing's copy of the catalogue: what it does not understand grants nothing."""

from typing import Any

import pytest

from kit.directory import Directory
from kit.states import StateEvent
from services.exchange.sharing.clients import ENTRY, Copies
from services.exchange.sharing.domain import EntryUnreadable, Item, SystemUnknown


def an_event(version: int = 1, /, **changed: Any) -> StateEvent:
    data = {
        "id": "entry",
        "version": version,
        "agency": "civil-affairs",
        "share_class": "unconditional",
        "legal_basis": None,
        "state": "published",
        "resource": "divisions",
        "items": [{"name": "code", "type": "text", "key": True, "filterable": True}],
        "modes": ["query"],
        "critical": ["share_class", "state", "items"],
    } | changed
    return StateEvent(ENTRY, "entry/entry", 1, version, data, frozenset(data["critical"]))


def test_the_newest_state_of_an_entry_is_found_by_its_resource() -> None:
    copies = Copies(Directory(), lambda: True)
    assert copies.entry_of("divisions") is None

    copies.apply_entry(an_event())
    copies.apply_entry(an_event(2, state="withdrawn"))

    entry = copies.entry_of("divisions")
    assert entry is not None
    assert (entry.state, entry.version, entry.items) == (
        "withdrawn",
        2,
        (Item("code", "text", key=True, filterable=True),),
    )


def test_operations_of_a_service_are_read_where_there_is_one() -> None:
    copies = Copies(Directory(), lambda: True)
    service = {"address": "https://owner.test", "operations": [{"name": "company"}]}

    copies.apply_entry(an_event(items=[], modes=["call"], service=service))

    entry = copies.entry_of("divisions")
    assert entry is not None
    assert (entry.items, entry.operations) == ((), ("company",))


@pytest.mark.parametrize(
    "changed",
    [
        {"critical": ["share_class", "clearance"]},
        {"items": None},
        {"items": [{"name": "code"}]},
        {"items": [{"name": "code", "type": "text", "key": 1, "filterable": True}]},
        {"legal_basis": {"title": "Law"}},
        {"service": {"operations": [{"name": 5}]}},
        {"share_class": 5},
        {"version": "2"},
    ],
)
def test_a_state_that_is_not_understood_makes_its_entry_unreadable(
    changed: dict[str, Any],
) -> None:
    copies = Copies(Directory(), lambda: True)
    copies.apply_entry(an_event())

    copies.apply_entry(an_event(2, **changed))

    with pytest.raises(EntryUnreadable):
        copies.entry_of("divisions")
    copies.apply_entry(an_event(3))
    assert copies.entry_of("divisions") is not None


def test_bytes_that_cannot_be_read_make_their_entry_unreadable() -> None:
    copies = Copies(Directory(), lambda: True)
    copies.apply_entry(an_event())

    copies.on_unreadable(ENTRY, "entry/entry", "no JSON")
    copies.on_unreadable("identity.agency.v1", "agency/x", "no JSON")

    with pytest.raises(EntryUnreadable):
        copies.entry_of("divisions")
    assert copies.directory.unusable == {"agency/x"}


def test_unknown_and_foreign_systems_look_alike() -> None:
    copies = Copies(Directory(), lambda: True)
    system = {"id": "a", "agency": "tax-bureau", "name": "a", "state": "active"}
    copies.directory.apply(
        StateEvent("identity.system.v1", "system/a", 1, 1, system, frozenset({"state"}))
    )

    for name in ("a", "b"):
        with pytest.raises(SystemUnknown) as refused:
            copies.require_systems([name], "health-commission")
        assert refused.value.detail == f"Your agency has no system {name}."
    copies.require_systems(["a"], "tax-bureau")
