"""The digest of a table: the vectors of the contract, and rows of any content."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datong.tables.digest import TableDigest, canonical_rows
from datong.tables.layout import Item
from tests.support.delivering import canonical, digest, item

CONTRACT = (Path(__file__).parents[3] / "contracts" / "rows.md").read_text("utf-8")
VECTORS = json.loads(CONTRACT.split("```json")[1].split("```")[0])
ITEMS = [Item(name, kind) for name, kind in VECTORS["items"].items()]
TYPES = ("text", "integer", "decimal", "boolean", "date", "datetime")


def texts(canonical_row: str) -> dict[str, str]:
    """Canonical texts of a row, from its canonical bytes."""
    members = json.loads(canonical_row)
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in members.items()
    }


def batch_of(rows: list[dict[str, str]], names: list[str]) -> Any:
    return pa.RecordBatch.from_arrays(
        [pa.array([row.get(name) for row in rows], pa.string()) for name in names], names=names
    )


ROWS = [texts(vector["canonical"]) for vector in VECTORS["rows"]]
NAMES = [item.name for item in ITEMS]


@pytest.mark.parametrize("number", range(len(ROWS)), ids=[row["name"] for row in VECTORS["rows"]])
def test_a_row_has_the_bytes_of_the_vector(number: int) -> None:
    vector = VECTORS["rows"][number]

    (row,) = canonical_rows(batch_of([ROWS[number]], NAMES), ITEMS).to_pylist()

    assert row == vector["canonical"]
    assert hashlib.sha256(row.encode()).hexdigest() == vector["sha256"]


def test_all_rows_together_have_the_digest_of_the_vectors() -> None:
    whole = TableDigest(ITEMS)
    whole.add(batch_of(ROWS, NAMES))
    parts = TableDigest(ITEMS)
    for row in reversed(ROWS):
        parts.add(batch_of([row], NAMES))

    assert whole.hexdigest() == parts.hexdigest() == VECTORS["digest"]
    assert whole.rows == parts.rows == len(ROWS)


def test_no_rows_have_zeros() -> None:
    nothing = TableDigest(ITEMS)
    nothing.add(batch_of([], NAMES))

    assert (nothing.rows, nothing.hexdigest()) == (0, "0" * 64)


def test_a_slice_of_a_batch_counts_as_itself() -> None:
    whole = batch_of(ROWS, NAMES)
    first, rest = TableDigest(ITEMS), TableDigest(ITEMS)
    first.add(whole.slice(0, 5))
    rest.add(pa.Table.from_batches([whole]).slice(5))

    total = int(first.hexdigest(), 16) + int(rest.hexdigest(), 16)
    assert f"{total % (1 << 256):064x}" == VECTORS["digest"]


value = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.data(), st.integers(1, 5), st.integers(0, 6))
def test_columns_give_what_rows_give_one_by_one(
    data: st.DataObject, width: int, height: int
) -> None:
    names = [f"c{number}" for number in range(width)]
    entries = [item(name, data.draw(st.sampled_from(TYPES))) for name in names]
    rows = [{name: data.draw(value) for name in names} for _ in range(height)]
    for row in rows:
        for entry in entries:
            if entry["type"] in ("integer", "boolean") and row[entry["name"]] is not None:
                row[entry["name"]] = "7"
    items = [Item(entry["name"], entry["type"]) for entry in entries]

    batch = batch_of(rows, names)  # type: ignore[arg-type]
    counted = TableDigest(items)
    counted.add(batch)

    assert [row.encode() for row in canonical_rows(batch, items).to_pylist()] == [
        canonical(row, entries) for row in rows
    ]
    assert counted.hexdigest() == digest(rows, entries)
