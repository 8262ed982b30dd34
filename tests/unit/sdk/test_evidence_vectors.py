"""Records are read as contracts/evidence.md fixes them (contracts/evidence.vectors.json)."""

import json
from pathlib import Path
from typing import Any

import pytest

from datong.verifier import merkle, strict
from datong.verifier.calls import salted
from datong.verifier.records import read_record

VECTORS = json.loads(
    (Path(__file__).parents[3] / "contracts" / "evidence.vectors.json").read_text("utf-8")
)


@pytest.mark.parametrize("case", VECTORS["records"], ids=lambda case: str(case["name"]))
def test_a_record_is_read_and_written_byte_for_byte(case: dict[str, Any]) -> None:
    data = bytes.fromhex(case["canonical_hex"])

    assert read_record(data) == case["record"]
    assert strict.canonical(case["record"]) == data
    assert merkle.leaf_hash(data).hex() == case["leaf"]


@pytest.mark.parametrize("case", VECTORS["refused"], ids=lambda case: str(case["name"]))
def test_what_is_no_record_is_refused(case: dict[str, Any]) -> None:
    data = json.dumps(
        case["record"], ensure_ascii=False, sort_keys=True, separators=(",", ":")
    ).encode()

    with pytest.raises(strict.NotStrict):
        read_record(data)


def test_a_digest_is_salted() -> None:
    for case in VECTORS["salted"]:
        assert salted(bytes.fromhex(case["salt"]), case["body_sha256"]) == case["salted"]
