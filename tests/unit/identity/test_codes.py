"""One-time codes."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity.domain.codes import (
    CodeExpired,
    CodeInvalid,
    CodeUsed,
    NewCode,
    digest_of,
    new_code,
    refusal_of,
)

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
CA = sha256(b"the departments' CA").digest()


def a_code() -> NewCode:
    return new_code("person", "p-1", CA, NOON)


def test_a_code_pins_the_ca_and_only_the_digest_of_its_secret_is_kept() -> None:
    code = a_code()

    version, secret, pin = code.text.split(".")
    assert version == "dt1"
    assert (len(secret), len(pin)) == (43, 43)
    assert digest_of(code.text, CA) == code.kept.digest
    assert secret not in repr(code)
    assert code.kept.digest not in code.text


def test_two_codes_differ() -> None:
    assert a_code().text != a_code().text


def test_a_code_is_good_until_a_day_has_passed() -> None:
    code = a_code().kept

    assert refusal_of(code, NOON + timedelta(hours=24, microseconds=-1)) is None
    assert isinstance(refusal_of(code, NOON + timedelta(hours=24)), CodeExpired)


def test_a_used_code_is_refused_as_used_also_when_it_has_expired() -> None:
    code = a_code().kept
    used = type(code)(code.digest, code.kind, code.holder, code.expires_at, used_at=NOON)

    assert isinstance(refusal_of(used, NOON + timedelta(days=9)), CodeUsed)


def test_a_code_for_another_ca_is_not_ours() -> None:
    with pytest.raises(CodeInvalid):
        digest_of(a_code().text, sha256(b"another CA").digest())


def test_another_spelling_of_the_same_bytes_is_not_the_code() -> None:
    version, secret, pin = a_code().text.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    stray = alphabet[alphabet.index(secret[-1]) + 1]  # the last character has two unused bits

    with pytest.raises(CodeInvalid):
        digest_of(f"{version}.{secret[:-1]}{stray}.{pin}", CA)


@given(st.text(max_size=120))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(CodeInvalid):
        digest_of(text, CA)


def test_all_refusals_of_an_unknown_code_read_alike() -> None:
    assert str(CodeInvalid()) == str(CodeInvalid())
    assert CodeInvalid().facts == {}
