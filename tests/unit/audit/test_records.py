"""Headings of records, and facts turned into records."""

from typing import Any

import pytest

from services.audit.domain.records import RecordUnreadable, fact_record, heading

EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "019aa5f0-0000-7000-8000-000000000001",
    "source": "/sharing",
    "type": "sharing.grant-suspended.v1",
    "subject": "grant/019aa5f0-0000-7000-8000-0000000000aa",
    "time": "2026-11-24T16:00:00+08:00",
    "datacontenttype": "application/json",
    "incarnation": 1732435200000,
    "sequence": 12,
    "actor": "person/019aa5f0-0000-7000-8000-0000000000bb",
    "call": "019aa5f0-0000-7000-8000-0000000000cc",
    "data": {
        "owner": "civil-affairs",
        "consumer": "health",
        "resource": "divisions",
        "items": ["code", "name"],
        "version": 3,
        "name": "张三",
        "limits": {"rate": 1},
        "basis": None,
        "kind": True,
    },
}
RECORD: dict[str, Any] = {
    "type": "call",
    "record": "r",
    "instance": "gateway-0/0",
    "epoch": "e",
    "sequence": 0,
    "at": "t",
}


def test_a_fact_becomes_a_flat_record_under_the_names_of_call_records() -> None:
    assert fact_record(EVENT, "ab" * 32) == {
        "type": "fact",
        "record": EVENT["id"],
        "instance": "sharing",
        "epoch": "1732435200000",
        "sequence": 12,
        "at": "2026-11-24T08:00:00.000000Z",
        "event": "sharing.grant-suspended.v1",
        "subject": EVENT["subject"],
        "actor": EVENT["actor"],
        "call": EVENT["call"],
        "event_digest": "ab" * 32,
        "owner_agency": "civil-affairs",
        "caller_agency": "health",
        "resource": "divisions",
        "items": ["code", "name"],
        "version": 3,
    }


def test_data_cannot_replace_the_heading_of_a_fact() -> None:
    event = EVENT | {"data": {"digest": "d", "record": "x", "sequence": 99, "event": "y"}}
    record = fact_record(event, "00")
    assert (record["record"], record["sequence"]) == (EVENT["id"], 12)
    assert (record["event"], record["digest"]) == (EVENT["type"], "d")


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": 0},
        {"sequence": "12"},
        {"sequence": True},
        {"incarnation": "1"},
        {"time": "yesterday"},
        {"time": "2026-11-24T16:00:00"},
        {"source": 3},
        {"data": []},
        {"id": ""},
        {"actor": None},
        {"call": 7},
    ],
)
def test_an_event_that_is_no_fact_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordUnreadable):
        fact_record(EVENT | change, "00")


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "time", "actor", "data"])
def test_a_fact_without_one_of_its_attributes_is_refused(name: str) -> None:
    with pytest.raises(RecordUnreadable):
        fact_record({k: v for k, v in EVENT.items() if k != name}, "00")


def test_a_heading_is_read() -> None:
    assert heading(RECORD).key == ("gateway-0/0", "e")


@pytest.mark.parametrize(
    "change",
    [
        {"sequence": -1},
        {"sequence": 2**53},
        {"sequence": 1.0},
        {"sequence": True},
        {"record": ""},
        {"epoch": 5},
        {"instance": "x" * 201},
        {"at": None},
    ],
)
def test_a_heading_of_other_types_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordUnreadable):
        heading(RECORD | change)


@pytest.mark.parametrize("value", [None, [], "text", 5, {}])
def test_what_is_no_object_with_a_heading_is_refused(value: Any) -> None:
    with pytest.raises(RecordUnreadable):
        heading(value)
