"""Bytes of a row and digest of many, by `contracts/rows.md` and tests/vectors/digest.json."""

import json
import random
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.canonical import canonical
from services.exchange.transfer.domain import (
    Item,
    ItemType,
    Layout,
    RowDigest,
    ValueRefused,
    canonical_row,
    row_pointer,
)

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "digest.json").read_text("utf-8"))
CONTRACT = (ROOT / "contracts" / "rows.md").read_text("utf-8")
ROWS = json.loads(re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)[0])


def _digest(rows: list[bytes]) -> RowDigest:
    digest = RowDigest()
    for row in rows:
        digest.add(row)
    return digest


def _generated(n: int) -> bytes:
    return f"row|{n}|{n * n % 997}|{'数据' * (n % 4)}".encode()


@pytest.mark.parametrize("case", VECTORS["sets"], ids=lambda case: str(case["name"]))
def test_a_set_of_rows_has_its_digest(case: dict[str, Any]) -> None:
    rows = [bytes.fromhex(row) for row in case["rows_hex"]]

    assert [sha256(row).hexdigest() for row in rows] == case["row_sha256"]
    assert (_digest(rows).count, _digest(rows).hexdigest()) == (case["count"], case["digest"])


@pytest.mark.parametrize("case", VECTORS["generated"], ids=lambda case: str(case["count"]))
def test_many_rows_have_their_digest(case: dict[str, Any]) -> None:
    digest = _digest([_generated(n) for n in range(case["count"])])

    assert digest.hexdigest() == case["digest"]


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [_generated(n) for n in range(1000)]
    expected = {case["digest"] for case in VECTORS["permutations_of_1000"]}
    random.Random(7).shuffle(rows)

    assert {_digest(rows).hexdigest()} == expected


def test_a_row_too_many_or_changed_shows() -> None:
    rows = [_generated(n) for n in range(1000)]
    once_more, all_twice, one_often = VECTORS["duplicates_of_1000"]
    assert _digest([*rows, rows[17]]).hexdigest() == once_more["digest"]
    assert _digest(rows * 2).hexdigest() == all_twice["digest"]
    assert _digest([rows[0]] * 1000).hexdigest() == one_often["digest"]
    for case in VECTORS["differences"]:
        before = _digest([bytes.fromhex(row) for row in case["before_hex"]])
        after = _digest([bytes.fromhex(row) for row in case["after_hex"]])
        assert (before.hexdigest(), after.hexdigest()) == (case["before"], case["after"])
        assert (before.hexdigest() == after.hexdigest()) is case["equal"]


def test_no_wrong_method_is_used() -> None:
    wrong = VECTORS["wrong_methods"]
    found = _digest([row.encode() for row in wrong["rows"]]).hexdigest()

    assert found == wrong["right"]
    assert found not in {v for k, v in wrong.items() if k not in ("rows", "right")}


def _layout(items: dict[str, str]) -> Layout:
    return Layout(tuple(Item(n, ItemType(t), False, False, False) for n, t in items.items()))


@pytest.mark.parametrize("case", ROWS["rows"], ids=lambda case: str(case["name"]))
def test_a_row_has_the_bytes_of_the_contract(case: dict[str, Any]) -> None:
    written = canonical_row(_layout(ROWS["items"]), case["row"])

    assert written.decode() == case["canonical"]
    assert sha256(written).hexdigest() == case["sha256"]


def test_the_rows_of_the_contract_have_its_digest() -> None:
    layout = _layout(ROWS["items"])
    digest = _digest([canonical_row(layout, case["row"]) for case in ROWS["rows"]])

    assert digest.hexdigest() == ROWS["digest"]


@pytest.mark.parametrize("case", ROWS["refused"], ids=lambda case: json.dumps(case))
def test_a_value_without_canonical_bytes_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ValueRefused):
        canonical_row(_layout(ROWS["items"]), case)


_NAMES = st.text(min_size=1, max_size=8)


@given(st.dictionaries(_NAMES, st.text() | st.none(), min_size=1, max_size=6))
def test_a_row_of_texts_is_written_as_rfc_8785_does(row: dict[str, str | None]) -> None:
    layout = _layout(dict.fromkeys(row, "text"))
    if any("\0" in value for value in row.values() if value is not None):
        with pytest.raises(ValueRefused):
            canonical_row(layout, row)
        return

    assert canonical_row(layout, row) == canonical(
        {name: value for name, value in row.items() if value is not None}
    )


@given(st.integers(-(2**53) + 1, 2**53 - 1), st.booleans())
def test_numbers_and_booleans_are_written_as_rfc_8785_does(number: int, flag: bool) -> None:
    row = {"n": number, "f": flag}

    assert canonical_row(_layout({"n": "integer", "f": "boolean"}), row) == canonical(row)


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    assert row_pointer(3, "a/b~c") == "/3/a~1b~0c"
    assert row_pointer(3) == "/3"
