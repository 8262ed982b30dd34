"""Chunks are read as the vectors of `contracts/rows.md` say."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from kit.errors import DomainError
from services.exchange.transfer.domain import (
    Checked,
    ChunkFormat,
    Layout,
    canonical_rows,
    check_chunk,
    to_stream,
)
from tests.support.checking import item

CONTRACT = (Path(__file__).parents[3] / "contracts" / "rows.md").read_text("utf-8")
ROWS, CHUNKS, _ = (
    json.loads(text) for text in re.findall(r"```json\n(.*?)```", CONTRACT, re.DOTALL)
)
CASES = [
    pytest.param(chunk_format, case, id=f"{chunk_format.name}: {case['name']}")
    for chunk_format, name in ((ChunkFormat.CSV, "csv"), (ChunkFormat.NDJSON, "ndjson"))
    for case in CHUNKS[name]
]
LAYOUT = Layout(
    tuple(item(name, rules.pop("type"), **rules) for name, rules in CHUNKS["items"].items())
)


@pytest.mark.parametrize(("chunk_format", "case"), CASES)
def test_a_chunk_is_read_as_the_contract_says(
    chunk_format: ChunkFormat, case: dict[str, Any]
) -> None:
    body = case["body"].encode()
    if "refused" in case:
        with pytest.raises(DomainError) as refused:
            check_chunk(body, chunk_format, LAYOUT, changes=False)
        assert [refused.value.code, refused.value.pointer] == case["refused"]
        return

    checked = check_chunk(body, chunk_format, LAYOUT, changes=False)

    written = canonical_rows(checked.table, LAYOUT.items).to_pylist()
    assert [row.decode() for row in written] == case["rows"]
    assert [[fault.row, fault.item, fault.rule] for fault in checked.faults] == case["faults"]


TYPED = Layout(tuple(item(name, kind) for name, kind in ROWS["items"].items()))


def _as_arrow(row: dict[str, Any]) -> Checked:
    kinds = {"integer": pa.int64(), "boolean": pa.bool_()}
    schema = pa.schema(
        [(one.name, kinds.get(one.type, pa.utf8())) for one in TYPED.items if one.name in row]
    )
    body = to_stream(pa.Table.from_pylist([row], schema=schema))
    return check_chunk(body, ChunkFormat.ARROW, TYPED, changes=False)


def _as_lines(row: dict[str, Any]) -> Checked:
    return check_chunk(json.dumps(row).encode(), ChunkFormat.NDJSON, TYPED, changes=False)


@pytest.mark.parametrize("read", [_as_lines, _as_arrow])
@pytest.mark.parametrize("case", [c for c in ROWS["rows"] if c["row"]], ids=lambda c: c["name"])
def test_a_row_has_the_same_bytes_from_every_format(read: Any, case: dict[str, Any]) -> None:
    checked = read(case["row"])

    [written] = canonical_rows(checked.table, TYPED.items).to_pylist()
    assert written.decode() == case["canonical"]


@pytest.mark.parametrize("row", ROWS["refused"], ids=json.dumps)
def test_a_row_without_canonical_bytes_is_quarantined_or_refused(row: dict[str, Any]) -> None:
    if "other" in row:
        with pytest.raises(DomainError):
            _as_lines(row)
        return

    [fault] = _as_lines(row).faults

    assert (fault.row, fault.item, fault.rule) == (1, next(iter(row)), "type")
