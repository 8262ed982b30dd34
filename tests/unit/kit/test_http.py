"""Preconditions, revisions, cursors: the pieces of HTTP that every service speaks alike."""

import base64
from typing import Any

import pytest
from fastapi import Response
from hypothesis import given
from hypothesis import strategies as st

from kit.http import (
    CursorInvalid,
    ParameterInvalid,
    PreconditionFailed,
    PreconditionRequired,
    add_revision,
    decode_cursor,
    encode_cursor,
    etag,
    parse_after,
    require_version,
)

GRANT = "01890a5d-ac96-774b-bcce-b302099a8057"


def test_a_change_from_the_present_version_is_taken() -> None:
    require_version(etag(7), 7)


def test_a_change_without_a_version_is_refused() -> None:
    with pytest.raises(PreconditionRequired):
        require_version(None, 7)


@pytest.mark.parametrize("header", ['"6"', "7", 'W/"7"', "*", '"07"', '"7", "8"', ""])
def test_a_change_from_another_version_is_refused_and_told_the_present_one(header: str) -> None:
    with pytest.raises(PreconditionFailed) as refused:
        require_version(header, 7)
    assert refused.value.facts == {"version": 7}


def test_a_revision_that_was_given_out_is_understood_when_sent_back() -> None:
    answer = Response()
    positions = [("sharing.grant.v1", f"grant/{GRANT}", 7), ("identity.key.v1", "key/a/b@c", 1)]

    add_revision(answer, positions)

    assert answer.headers["Datong-Revision"] == f"sharing.grant/{GRANT}@7, identity.key/a/b@c@1"
    assert parse_after(answer.headers["Datong-Revision"]) == positions


@pytest.mark.parametrize(
    "header",
    [
        "grant/1@7",
        "sharing.grant/1",
        "sharing.grant@7",
        "sharing.grant/1@-7",
        "sharing.grant/1@x",
        ", ".join(["sharing.grant/1@7"] * 17),
        "sharing.grant/1@" + "9" * 16,
    ],
)
def test_a_revision_of_another_form_is_refused(header: str) -> None:
    with pytest.raises(ParameterInvalid):
        parse_after(header)


@given(
    st.lists(
        st.integers(-(2**53) + 1, 2**53 - 1)
        | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20),
        min_size=1,
        max_size=4,
    )
)
def test_a_cursor_comes_back_as_the_position_it_was_made_from(position: list[str | int]) -> None:
    assert decode_cursor(encode_cursor(position), [type(member) for member in position]) == position


def _raw(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "!",
        "数据",
        _raw(b'["a"]'),
        _raw(b'["a",1,2]'),
        _raw(b'[1,"a"]'),
        _raw(b'["a",true]'),
        _raw(b'{"a":1}'),
        _raw(b'["a",1.0]'),
        _raw(b"\xff\xfe"),
        _raw(b'[ "a", 1 ]'),
        encode_cursor(["a", 1]) + "!",
        encode_cursor(["a", 1]) + "=",
        "*" + encode_cursor(["a", 1]),
        encode_cursor(["a" * 600, 1]),
    ],
)
def test_a_cursor_of_another_shape_is_refused(cursor: str) -> None:
    shape: list[Any] = [str, int]
    with pytest.raises(CursorInvalid):
        decode_cursor(cursor, shape)
