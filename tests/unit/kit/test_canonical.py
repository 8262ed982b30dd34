"""Strict reading and canonical writing agree with tests/vectors/jcs.json.

The platform's writer is narrower than RFC 8785 by choice: numbers are integers of at most 53
bits, all else travels as text. Documents with other numbers must be refused, never rounded.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.canonical import MAX_SAFE_INTEGER, NotStrictJson, canonical, strict_loads

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "jcs.json").read_text("utf-8"))


def _has_float(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_has_float(member) for member in value.values())
    if isinstance(value, list):
        return any(_has_float(member) for member in value)
    return isinstance(value, float)


@pytest.mark.parametrize("case", VECTORS["canonicalize"], ids=lambda case: str(case["name"]))
def test_the_canonical_form_is_right(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input_hex"])
    if case.get("integers_beyond_2_53"):
        with pytest.raises(NotStrictJson, match=r"2\^53"):
            strict_loads(data)
        return
    value = strict_loads(data)
    if _has_float(value):
        with pytest.raises(ValueError, match="use text"):
            canonical(value)
        return

    written = canonical(value)

    assert written.hex() == case["canonical_hex"]
    assert canonical(strict_loads(written)) == written


@pytest.mark.parametrize("case", VECTORS["refuse"], ids=lambda case: str(case["name"]))
def test_a_loose_document_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(NotStrictJson):
        strict_loads(bytes.fromhex(case["input_hex"]))


@pytest.mark.parametrize("case", VECTORS["minus_zero"], ids=lambda case: str(case["input"]))
def test_minus_zero_is_refused_because_its_sign_would_be_lost(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"sign|use text"):
        canonical(strict_loads(case["input"].encode()))


@pytest.mark.parametrize("case", VECTORS["lossy"], ids=lambda case: str(case["input"]))
def test_a_number_that_a_double_cannot_hold_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"2\^53|use text"):
        canonical(strict_loads(case["input"].encode()))


def test_the_largest_integer_is_taken_and_the_next_refused() -> None:
    assert canonical(strict_loads(str(MAX_SAFE_INTEGER).encode())) == b"9007199254740991"
    with pytest.raises(ValueError, match="canonical"):
        canonical(MAX_SAFE_INTEGER + 1)


def test_bottomless_nesting_is_refused_and_does_not_crash() -> None:
    with pytest.raises(NotStrictJson, match="deep"):
        strict_loads(b"[" * 100_000 + b"]" * 100_000)


def test_a_document_over_the_limit_is_not_even_parsed() -> None:
    with pytest.raises(NotStrictJson, match="exceeds 3 bytes"):
        strict_loads(b"{{{{", max_bytes=3)


_TEXT = st.text()  # without lone surrogates
_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(_PLAIN)
def test_what_is_written_reads_back_as_itself(value: Any) -> None:
    assert strict_loads(canonical(value)) == value
