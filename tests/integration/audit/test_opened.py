"""What a gateway opened and died before it closed: audit says that nobody knows how it ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.ids import uuid7
from tests.integration.audit.platform import Gateway, Place
from tests.integration.audit.test_commit import commit_all, committer, intake, log_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, "", "")


def opens(gateway: Gateway, **fields: Any) -> dict[str, Any]:
    """Add an `opened` record; return its fields."""
    about = {
        "call": uuid7(),
        "closing": uuid7(),
        "caller_agency": "health",
        "owner_agency": "market-regulator",
        "resource": "enterprise-register",
        "operation": "list-all",
        "decision": "allowed",
        "status": 200,
        "duration_us": 5000,
    }
    opened: dict[str, Any] = json.loads(gateway.add("opened", **about | fields))
    return opened


def closes(gateway: Gateway, opened: dict[str, Any]) -> None:
    gateway.add("closed", record=opened["closing"], of=opened["record"], call=opened["call"])


def unknown(place: Place) -> list[dict[str, Any]]:
    records = [json.loads(record) for record in log_of(place)]
    return [record for record in records if record["type"] == "unknown"]


def follow(gateway: Gateway) -> Gateway:
    """Begin the next epoch of the slot, which has read its predecessor's spool."""
    return Gateway(previous_epoch=gateway.epoch, previous_sequence=gateway.sequence - 1)


def test_an_epoch_that_ends_leaves_what_it_did_not_close_unknown(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateway = Gateway()
    opened, closed = opens(gateway), opens(gateway)
    closes(gateway, closed)
    commit_all(made, taking, gateway.records)
    assert unknown(place) == []

    end = gateway.add("end")
    commit_all(made, taking, [end], 4)

    [record] = unknown(place)
    assert record["record"] == opened["closing"]
    assert record["of"] == opened["record"]
    assert record["call"] == opened["call"]
    assert (record["instance"], record["epoch"], record["sequence"]) == ("audit", "1", 1)
    about = ("caller_agency", "owner_agency", "resource", "operation", "decision", "status")
    assert {name: record[name] for name in about} == {name: opened[name] for name in about}
    assert not {"closing", "duration_us", "answer_digest"} & set(record)
    commit_all(made, taking, [end, gateway.add("beat")], 5)
    assert len(unknown(place)) == 1


def test_the_next_epoch_closes_what_its_predecessor_left_when_all_of_it_is_there(
    place: Place,
) -> None:
    made = committer(place)
    taking = intake(made)
    gateway = Gateway()
    opened, closed = opens(gateway), opens(gateway)
    closes(gateway, closed)
    gateway.call()
    later = follow(gateway)
    # The last records of the dead worker are still in its spool: one of them may close it.
    commit_all(made, taking, [*gateway.records[:3], *later.records])
    assert unknown(place) == []

    commit_all(made, taking, gateway.records[4:], 4)
    assert unknown(place) == []
    commit_all(made, taking, gateway.records[3:4], 6)
    assert [record["record"] for record in unknown(place)] == [opened["closing"]]


def test_what_is_open_survives_a_restart_of_audit(place: Place) -> None:
    gateway = Gateway()
    opened, closed = opens(gateway), opens(gateway)
    closes(gateway, closed)
    made = committer(place)
    commit_all(made, intake(made), gateway.records)

    made = committer(place)
    commit_all(made, intake(made), follow(gateway).records, 4)

    assert [record["call"] for record in unknown(place)] == [opened["call"]]
    assert committer(place).ledger().epochs[gateway.instance, gateway.epoch].opened == {}


def test_a_slot_whose_spool_was_lost_leaves_its_earlier_answers_unknown(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateway, other = Gateway(), Gateway("gateway-0/1")
    opened = opens(gateway)
    opens(other)
    commit_all(made, taking, [*gateway.records, *other.records])

    commit_all(made, taking, Gateway().records, 4)

    assert [record["of"] for record in unknown(place)] == [opened["record"]]


def test_a_closing_that_comes_before_its_opening_closes_it(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateway = Gateway()
    closes(gateway, opens(gateway))
    first, opened, closed = gateway.records
    end = gateway.add("end")

    commit_all(made, taking, [first, closed, end])
    commit_all(made, taking, [opened], 3)

    assert unknown(place) == []


def test_unknown_answers_and_alarms_are_numbered_together(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateway = Gateway()
    opens(gateway)
    opens(gateway)
    gateway.add("end")
    commit_all(made, taking, [*gateway.records[:2], b"no record", *gateway.records[2:]])

    own = [json.loads(record) for record in log_of(place)]
    own = [record for record in own if record["instance"] == "audit"]
    assert [(record["type"], record["sequence"]) for record in own] == [
        ("alarm", 1),
        ("unknown", 2),
        ("unknown", 3),
    ]
