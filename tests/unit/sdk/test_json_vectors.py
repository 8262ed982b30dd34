"""Strict reading and canonical writing agree with tests/vectors/jcs.json."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from datong.verifier import strict

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "jcs.json").read_text("utf-8"))


@pytest.mark.parametrize("case", VECTORS["canonicalize"], ids=lambda case: str(case["name"]))
def test_the_canonical_form_is_right(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["input_hex"])
    if case.get("integers_beyond_2_53"):
        with pytest.raises(strict.NotStrict, match="53 bits"):
            strict.read(data)
        return

    canonical = strict.canonical(strict.read(data))

    assert canonical.hex() == case["canonical_hex"]
    assert strict.canonical(strict.read_canonical(canonical)) == canonical


def _double(bits: str) -> float:
    value: float = struct.unpack(">d", bytes.fromhex(bits))[0]
    return value


def test_every_number_is_written_as_ecmascript_does() -> None:
    table = [(case["bits"], case["text"]) for case in VECTORS["number_table"]]
    for bits, text in [*table, *VECTORS["number_samples"]]:
        assert strict.canonical(_double(bits)).decode() == text


def test_a_number_that_is_none_is_not_written() -> None:
    for bits in VECTORS["number_refuse"]:
        with pytest.raises(strict.NotStrict):
            strict.canonical(_double(bits))


@pytest.mark.parametrize("case", VECTORS["refuse"], ids=lambda case: str(case["name"]))
def test_a_loose_document_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(strict.NotStrict):
        strict.read(bytes.fromhex(case["input_hex"]))


def test_minus_zero_is_read_as_zero_and_is_not_canonical() -> None:
    for case in VECTORS["minus_zero"]:
        data = case["input"].encode()
        assert strict.canonical(strict.read(data)).decode() == case["canonical"]
        with pytest.raises(strict.NotStrict, match="canonical form"):
            strict.read_canonical(data)


def test_an_integer_beyond_53_bits_is_refused() -> None:
    for case in VECTORS["lossy"]:
        if "." in case["input"]:
            continue  # a fraction is always rounded; only integers pretend to be exact
        with pytest.raises(strict.NotStrict, match="53 bits"):
            strict.read(case["input"].encode())
    with pytest.raises(strict.NotStrict):
        strict.canonical(2**53)


def test_bottomless_nesting_is_refused_and_does_not_crash() -> None:
    with pytest.raises(strict.NotStrict, match="deep"):
        strict.read(b"[" * 100_000 + b"]" * 100_000)
