"""Digests by whole columns are those of `contracts/rows.md`, row by row."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain import (
    Item,
    ItemType,
    Layout,
    TableDigest,
    canonical_rows,
)
from services.exchange.transfer.domain.values import CANONICAL
from tests.support.checking import canonical_row, digest_of

ROOT = Path(__file__).parents[3]
CONTRACT = (ROOT / "contracts" / "rows.md").read_text("utf-8")
ROWS = json.loads(re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)[0])
LAYOUT = Layout(tuple(Item(n, ItemType(t), False, False, False) for n, t in ROWS["items"].items()))
ROWS_OF_CONTRACT = [
    tuple(
        CANONICAL[one.type](row[one.name]) if row.get(one.name) is not None else None
        for one in LAYOUT.items
    )
    for row in (case["row"] for case in ROWS["rows"])
]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "digest.json").read_text("utf-8"))

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_HARD = st.sampled_from(['"', "\\", "\n", "\\n", '\\"', "\x1f", "{,", ",", "}", "西湖区", "𠀀"])
_VALUES = {
    ItemType.TEXT: _TEXT | _HARD,
    ItemType.INTEGER: st.integers(-(2**53) + 1, 2**53 - 1).map(str),
    ItemType.DECIMAL: st.sampled_from(["0", "-12.5", "12345678901234567890"]),
    ItemType.BOOLEAN: st.sampled_from(["true", "false"]),
    ItemType.DATE: st.dates().map(str),
    ItemType.DATETIME: st.just("2026-11-22T00:30:00.000000Z"),
}
_ROW = st.tuples(*(st.none() | _VALUES[item.type] for item in LAYOUT.items))
_FULL = st.tuples(*(_VALUES[item.type] for item in LAYOUT.items))


def _table(rows: list[tuple[str | None, ...]], prefix: str = "") -> Any:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(LAYOUT.items)
    return pa.table(
        {
            prefix + item.name: pa.array(column, pa.utf8())
            for item, column in zip(LAYOUT.items, columns, strict=True)
        }
    )


def _reference(rows: list[tuple[str | None, ...]]) -> str:
    return digest_of(canonical_row(LAYOUT.items, row) for row in rows)


@pytest.mark.parametrize(
    ("row", "case"),
    list(zip(ROWS_OF_CONTRACT, ROWS["rows"], strict=True)),
    ids=[case["name"] for case in ROWS["rows"]],
)
def test_a_row_of_a_table_has_the_bytes_of_the_contract(
    row: tuple[str | None, ...], case: dict[str, Any]
) -> None:
    [written] = canonical_rows(_table([row]), LAYOUT.items).to_pylist()

    assert written.decode() == case["canonical"]
    assert sha256(written).hexdigest() == case["sha256"]


def test_a_table_of_the_contract_has_its_digest() -> None:
    digest = TableDigest()
    digest.add(_table(ROWS_OF_CONTRACT), LAYOUT.items)

    assert (digest.count, digest.hexdigest()) == (len(ROWS["rows"]), ROWS["digest"])


def _digest(rows: list[bytes]) -> TableDigest:
    digest = TableDigest()
    digest.add_rows(pa.array(rows, pa.binary()))
    return digest


def _generated(n: int) -> bytes:
    return f"row|{n}|{n * n % 997}|{'数据' * (n % 4)}".encode()


@pytest.mark.parametrize("case", VECTORS["sets"], ids=lambda case: str(case["name"]))
def test_a_set_of_rows_has_its_digest(case: dict[str, Any]) -> None:
    rows = [bytes.fromhex(row) for row in case["rows_hex"]]

    assert (_digest(rows).count, _digest(rows).hexdigest()) == (case["count"], case["digest"])


@pytest.mark.parametrize("case", VECTORS["generated"], ids=lambda case: str(case["count"]))
def test_many_rows_have_their_digest(case: dict[str, Any]) -> None:
    assert _digest([_generated(n) for n in range(case["count"])]).hexdigest() == case["digest"]


def test_the_order_of_rows_does_not_matter() -> None:
    rows = [_generated(n) for n in range(1000)]
    expected = {case["digest"] for case in VECTORS["permutations_of_1000"]}

    assert {_digest(rows).hexdigest(), _digest(rows[::-1]).hexdigest()} == expected


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


def test_rows_of_a_part_of_an_array_are_those_added() -> None:
    digest = TableDigest()
    digest.add_rows(pa.array([b"a|1", b"b|2", b"c|3"]).slice(1, 1))

    assert (digest.count, digest.hexdigest()) == (1, digest_of([b"b|2"]))


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.none() | _TEXT, min_size=1, max_size=6))
def test_a_row_of_any_names_is_written_as_rfc_8785_does(row: dict[str, str | None]) -> None:
    items = [Item(name, ItemType.TEXT, False, False, False) for name in row]
    table = pa.table([pa.array([text], pa.utf8()) for text in row.values()], names=list(row))

    assert canonical_rows(table, items).to_pylist() == [canonical_row(items, list(row.values()))]


@given(st.lists(_ROW, max_size=12) | st.lists(_FULL, max_size=12), st.data())
def test_columns_make_the_bytes_that_rows_make(
    rows: list[tuple[str | None, ...]], data: st.DataObject
) -> None:
    table = _table(rows)
    start = data.draw(st.integers(0, len(rows)))
    part = pa.concat_tables([table.slice(start), table.slice(0, start)])

    written = canonical_rows(part, LAYOUT.items).to_pylist()

    assert written == [canonical_row(LAYOUT.items, row) for row in rows[start:] + rows[:start]]


@given(st.lists(_ROW, max_size=40))
def test_columns_make_the_digest_that_rows_make(rows: list[tuple[str | None, ...]]) -> None:
    digest = TableDigest()
    digest.add(_table(rows, "after."), LAYOUT.items, "after.")

    assert (digest.count, digest.hexdigest()) == (len(rows), _reference(rows))


@given(st.lists(_ROW, max_size=8), st.lists(_ROW, max_size=8))
def test_what_was_added_can_be_taken_out(
    kept: list[tuple[str | None, ...]], gone: list[tuple[str | None, ...]]
) -> None:
    of_kept, of_gone, digest = TableDigest(), TableDigest(), TableDigest()
    of_kept.add(_table(kept), LAYOUT.items)
    of_gone.add(_table(gone), LAYOUT.items)
    digest.add(_table(kept + gone), LAYOUT.items)
    assert of_kept.plus(of_gone).hexdigest() == digest.hexdigest()
    assert digest.minus(of_gone).hexdigest() == of_kept.hexdigest()

    digest.subtract(_table(gone), LAYOUT.items)

    assert (digest.count, digest.hexdigest()) == (len(kept), of_kept.hexdigest())


def test_many_rows_of_many_batches_have_the_digest_of_their_rows() -> None:
    rows = [(f"{n}", None, str(n), "1.5", None, None, None, None) for n in range(70_000)]
    digest = TableDigest()
    digest.add(_table(rows), LAYOUT.items)

    assert digest.hexdigest() == _reference(rows)


def test_a_written_digest_goes_on_where_it_was() -> None:
    rows = [(f"{n}", *[None] * 7) for n in range(5)]
    whole, first = TableDigest(), TableDigest()
    whole.add(_table(rows), LAYOUT.items)
    first.add(_table(rows[:3]), LAYOUT.items)

    again = TableDigest.from_hex(first.count, first.hexdigest())
    again.add(_table(rows[3:]), LAYOUT.items)

    assert (again.count, again.hexdigest()) == (5, whole.hexdigest())


def test_no_rows_have_64_zeros() -> None:
    digest = TableDigest()
    digest.add(_table([]), LAYOUT.items)

    assert (digest.count, digest.hexdigest()) == (0, "0" * 64)


def test_rows_of_no_items_are_rows() -> None:
    assert canonical_rows(_table([(None,) * 8] * 2), []).to_pylist() == [b"{}", b"{}"]
