"""A refusal on the wire says what, which fact, where, and what to do next."""

import json
from typing import ClassVar

from kit.errors import DomainError, Kind
from kit.problems import declare, of_error, registry


class RowTorn(DomainError):
    """A refusal for this test, under a code that exists."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-invalid"


def test_a_refusal_carries_its_row_its_detail_and_its_facts() -> None:
    status, body = of_error(RowTorn("Two facts differ.", facts={"found": ["a"], "n": 2}), "c1")
    document = json.loads(body)
    row = registry()["body-invalid"]

    assert status == document["status"] == row.status
    assert document["type"] == "https://datong.example/problems/body-invalid"
    assert (document["title"], document["next_step"], document["who"]) == (
        row.title,
        row.next_step,
        row.who,
    )
    assert document["detail"] == "Two facts differ."
    assert document["facts"] == {"found": ["a"], "n": 2}
    assert document["call"] == "c1"
    assert "errors" not in document


def test_one_wrong_member_is_pointed_at() -> None:
    _, body = of_error(RowTorn("Too long.", pointer="/items/0/name"))

    assert json.loads(body)["errors"] == [{"pointer": "/items/0/name", "detail": "Too long."}]


def test_several_wrong_members_are_pointed_at_one_by_one() -> None:
    _, body = of_error(RowTorn("2 members.", errors=[("/1/a", "One."), ("/2/b", "Two.")]))

    assert json.loads(body)["errors"] == [
        {"pointer": "/1/a", "detail": "One."},
        {"pointer": "/2/b", "detail": "Two."},
    ]


def test_declared_codes_are_grouped_by_their_status() -> None:
    declared = declare("precondition-failed", "grant-missing", "role-missing")

    assert set(declared) == {412, 403}
    assert declared[403]["description"] == "`grant-missing` · `role-missing`"
