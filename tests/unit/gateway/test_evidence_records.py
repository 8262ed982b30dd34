"""Bytes of records: the vectors, and equality with an independent canonical form."""

import json
import string
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway.evidence import Salts, leaf_hash, record_bytes, salted
from gateway.evidence.record import Instants

CONTRACTS = Path(__file__).resolve().parents[3] / "contracts"
VECTORS = json.loads((CONTRACTS / "evidence.vectors.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("vector", VECTORS["records"], ids=lambda v: v["name"])
def test_a_record_of_the_vectors_has_these_bytes(vector: dict[str, Any]) -> None:
    raw = record_bytes(vector["record"])

    assert raw.hex() == vector["canonical_hex"]
    assert raw.decode() == vector["canonical"]
    assert leaf_hash(raw).hex() == vector["leaf"]


@pytest.mark.parametrize("vector", VECTORS["salted"], ids=lambda v: v["salted"][:8])
def test_a_salted_digest_of_the_vectors_is_this(vector: dict[str, str]) -> None:
    body = bytes.fromhex(vector["body"]) if "body" in vector else bytes(range(256)) * 300

    assert sha256(body).hexdigest() == vector["body_sha256"]
    assert salted(bytes.fromhex(vector["salt"]), sha256(body).digest()) == vector["salted"]


names = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
integers = st.integers(0, 2**53 - 1)
values = st.one_of(
    texts, integers, st.lists(texts, max_size=4), st.dictionaries(names, integers, max_size=4)
)


@given(st.dictionaries(names, values, max_size=12))
def test_our_bytes_are_those_of_an_independent_implementation(record: dict[str, Any]) -> None:
    assert record_bytes(record) == rfc8785.dumps(record)


def test_text_that_looks_like_null_stays() -> None:
    assert record_bytes({"case": 'a":null'}) == b'{"case":"a\\":null"}'


@pytest.mark.parametrize("value", [2**53, "\ud800", {1, 2}, b"bytes"])
def test_what_has_no_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        record_bytes({"rows": value})


@given(st.integers(0, 4_102_444_799_999_999_999))
def test_at_is_the_instant_in_microseconds(nanoseconds: int) -> None:
    text = Instants().text(nanoseconds)

    seconds, rest = divmod(nanoseconds, 10**9)
    whole = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert text == f"{whole}.{rest // 1000:06d}Z"


def test_at_follows_the_clock_over_the_second_and_back() -> None:
    instants = Instants()
    second = 1_790_000_000 * 10**9

    assert instants.text(second + 999_999_999).endswith("20.999999Z")
    assert instants.text(second + 10**9).endswith("21.000000Z")
    assert instants.text(second).endswith("20.000000Z")


def test_salts_are_32_bytes_and_none_comes_twice() -> None:
    salts = Salts()
    taken = {salts.take() for _ in range(1000)}
    assert len(taken) == 1000
    assert {len(salt) for salt in taken} == {32}
