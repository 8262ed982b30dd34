"""One-time codes, call ids, addresses."""

import uuid

import pytest

from datong import InputInvalid
from datong.calls import new_call_id, now_text
from datong.client.transport import address_of
from datong.enrolment import OneTimeCode


def test_a_code_is_read_and_its_secret_is_not_shown() -> None:
    code = OneTimeCode.parse(f" dt1.{'s' * 43}.{'A' * 43}\n")

    assert code.ca_sha256 == bytes(32)
    assert "sss" not in repr(code)


def test_the_code_in_a_json_answer_is_found() -> None:
    code = f"dt1.{'s' * 43}.{'A' * 43}"

    assert OneTimeCode.find(f'{{"id": "x", "code": "{code}"}}').text == code
    with pytest.raises(InputInvalid):
        OneTimeCode.find(f"{code} {code[:-1]}B")
    with pytest.raises(InputInvalid):
        OneTimeCode.find("no code")


@pytest.mark.parametrize(
    "text", ["", "dt1.short.short", f"dt2.{'s' * 43}.{'A' * 43}", f"dt1.{'s' * 43}.{'+' * 43}"]
)
def test_what_is_no_code_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(InputInvalid) as caught:
        OneTimeCode.parse(text)

    assert "s" * 43 not in str(caught.value)


def test_call_ids_are_version_7_and_differ() -> None:
    ids = [new_call_id() for _ in range(1000)]

    assert len(set(ids)) == 1000
    assert {uuid.UUID(text).version for text in ids} == {7}
    assert {uuid.UUID(text).variant for text in ids} == {uuid.RFC_4122}


def test_instants_are_written_with_microseconds() -> None:
    assert len(now_text()) == len("2026-11-24T08:00:00.000000Z")
    assert now_text().endswith("Z")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("gateway.example:8443", "https://gateway.example:8443"),
        ("https://gateway.example", "https://gateway.example:443"),
        ("https://127.0.0.1:8443/", "https://127.0.0.1:8443"),
        ("[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_address_is_completed(given: str, address: str) -> None:
    assert address_of(given) == address


@pytest.mark.parametrize(
    "given", ["http://gateway:80", "gateway:port", "gateway/path", "", "user@gateway:1"]
)
def test_what_is_no_address_is_refused(given: str) -> None:
    with pytest.raises(InputInvalid):
        address_of(given)
