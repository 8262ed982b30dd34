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
    RowDigest,
    RowForm,
    TableDigest,
    canonical_rows,
)

CONTRACT = (Path(__file__).parents[3] / "contracts" / "rows.md").read_text("utf-8")
ROWS = json.loads(re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)[0])
LAYOUT = Layout(tuple(Item(n, ItemType(t), False, False, False) for n, t in ROWS["items"].items()))
FORM = RowForm(LAYOUT)

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


def _reference(rows: list[tuple[str | None, ...]]) -> RowDigest:
    digest = RowDigest()
    for row in rows:
        digest.add(FORM.canonical(row))
    return digest


@pytest.mark.parametrize("case", ROWS["rows"], ids=lambda case: str(case["name"]))
def test_a_row_of_a_table_has_the_bytes_of_the_contract(case: dict[str, Any]) -> None:
    table = _table([tuple(FORM.read(case["row"], []))])

    [written] = canonical_rows(table, LAYOUT.items).to_pylist()

    assert written.decode() == case["canonical"]
    assert sha256(written).hexdigest() == case["sha256"]


def test_a_table_of_the_contract_has_its_digest() -> None:
    digest = TableDigest()
    digest.add(_table([tuple(FORM.read(case["row"], [])) for case in ROWS["rows"]]), LAYOUT.items)

    assert (digest.count, digest.hexdigest()) == (len(ROWS["rows"]), ROWS["digest"])


@given(st.lists(_ROW, max_size=12) | st.lists(_FULL, max_size=12), st.data())
def test_columns_make_the_bytes_that_rows_make(
    rows: list[tuple[str | None, ...]], data: st.DataObject
) -> None:
    table = _table(rows)
    start = data.draw(st.integers(0, len(rows)))
    part = pa.concat_tables([table.slice(start), table.slice(0, start)])

    written = canonical_rows(part, LAYOUT.items).to_pylist()

    assert written == [FORM.canonical(row) for row in rows[start:] + rows[:start]]


@given(st.lists(_ROW, max_size=40))
def test_columns_make_the_digest_that_rows_make(rows: list[tuple[str | None, ...]]) -> None:
    digest = TableDigest()
    digest.add(_table(rows, "after."), LAYOUT.items, "after.")

    assert (digest.count, digest.hexdigest()) == (len(rows), _reference(rows).hexdigest())


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

    assert digest.hexdigest() == _reference(rows).hexdigest()


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
