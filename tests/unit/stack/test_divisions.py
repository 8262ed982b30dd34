"""The demo's rows: real ones, ten broken ones among them, and one city's change made by rule."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.csv
import pytest

from stack.demo.divisions import (
    BROKEN,
    COLUMNS,
    LEVELS,
    LONGEST_NAME,
    divisions,
    read_table,
    with_broken_rows,
    write_csv,
)
from stack.demo.merger import GONE, INTO, Change, merge_districts, rename_village

COUNTS = {"province": 31, "city": 342, "county": 2978, "street": 41_352, "village": 620_573}


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return read_table()


@pytest.fixture(scope="module")
def change(table: pa.Table) -> Change:
    return merge_districts(table)


def applied(table: pa.Table, change: Change) -> dict[str, dict[str, Any]]:
    """The rows of Hangzhou after the change, by code."""
    city = table.filter(compute.starts_with(table["code"], GONE[:4]))
    rows = {row["code"]: row for row in city.to_pylist()}
    for row in change.table.to_pylist():
        operation = row.pop("_op")
        if operation == "delete":
            del rows[row["code"]]
        else:
            rows[row["code"]] = row
    return rows


def test_all_five_levels_are_read(table: pa.Table) -> None:
    found = compute.value_counts(table["level"]).to_pylist()

    assert {each["values"]: each["counts"] for each in found} == COUNTS
    assert tuple(COUNTS) == LEVELS
    assert table.num_rows == 665_276
    assert compute.count_distinct(table["code"]).as_py() == 665_276


def test_every_real_row_keeps_the_rules_of_its_entry(table: pa.Table) -> None:
    parents = table["parent_code"].drop_null()

    assert table["name"].null_count == table["code"].null_count == 0
    assert compute.max(compute.utf8_length(table["name"])).as_py() <= LONGEST_NAME
    assert compute.all(compute.is_in(parents, value_set=table["code"])).as_py()


def test_divisions_are_those_down_to_the_streets() -> None:
    rows = list(divisions())

    assert len(rows) == 44_703
    assert rows[0] == {"code": "11", "name": "北京市", "level": "province"}
    assert rows[-1]["level"] == "street"


def test_ten_broken_rows_go_among_the_real_ones_and_none_is_lost(table: pa.Table) -> None:
    broken = with_broken_rows(table)
    added = broken.filter(compute.invert(compute.is_in(broken["code"], value_set=table["code"])))
    real = broken.filter(compute.is_in(broken["code"], value_set=table["code"]))

    assert broken.num_rows == 665_286
    assert added.num_rows == len(BROKEN) == 10
    assert real.equals(table)


def test_of_the_broken_rows_two_share_a_key_and_no_two_else_a_fault() -> None:
    faults = [(rule, item) for rule, item, _ in BROKEN]

    assert faults.count(("unique", "code")) == 2
    assert len(set(faults)) == len(faults) - 1


def test_a_written_file_reads_back_the_same(table: pa.Table, tmp_path: Any) -> None:
    few = with_broken_rows(table.slice(0, 100))
    write_csv(few, tmp_path / "few.csv")
    read = pyarrow.csv.read_csv(
        tmp_path / "few.csv",
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(COLUMNS, pa.utf8()),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )

    assert read.equals(few.combine_chunks())


def test_the_change_of_a_city_is_the_same_each_time(table: pa.Table, change: Change) -> None:
    assert merge_districts(table).table.equals(change.table)


def test_the_change_of_a_city_comes_to_its_counts(table: pa.Table, change: Change) -> None:
    before = {row["code"] for row in table.to_pylist() if row["code"].startswith(GONE[:4])}
    rows = change.table.to_pylist()
    upserted = {row["code"] for row in rows if row["_op"] == "upsert"}
    deleted = {row["code"] for row in rows if row["_op"] == "delete"}

    assert (change.added, change.updated, change.deleted) == (288, 377, 305)
    assert len(rows) == len(upserted | deleted) == 288 + 377 + 305
    assert (len(upserted - before), len(upserted & before)) == (288, 377)
    assert deleted <= before


def test_every_division_of_the_changed_city_has_a_parent(table: pa.Table, change: Change) -> None:
    rows = applied(table, change)

    assert all(row["parent_code"] in rows or row["level"] == "city" for row in rows.values())
    assert all(code.startswith(row["parent_code"]) for code, row in rows.items())


def test_the_merged_district_has_the_streets_of_both(table: pa.Table, change: Change) -> None:
    rows = applied(table, change)
    streets = {row["name"] for row in rows.values() if row["parent_code"] == INTO}

    assert GONE not in rows
    assert len(streets) == 18 + 12
    assert {"拱宸桥街道", "三墩街道", "灵隐街道"} <= streets
    assert not any(code.startswith(GONE) for code in rows)


def test_names_change_and_villages_come_and_go(table: pa.Table, change: Change) -> None:
    names = {row["code"]: row["name"] for row in table.to_pylist()}
    rows = change.table.to_pylist()
    deleted = {row["code"] for row in rows if row["_op"] == "delete"}
    renamed = [row for row in rows if row["_op"] == "upsert" and row["code"] in names]
    added = [row["name"] for row in rows if "新苑" in (row["name"] or "")]
    abolished = [code for code in deleted if code.startswith(("330122", "330127"))]

    assert all(row["name"].endswith("社区") for row in renamed)
    assert all(
        names[row["code"]].endswith("委会") or "委员会" in names[row["code"]] for row in renamed
    )
    assert len(added) == 3
    assert len(abolished) > 10


def test_the_smallest_change_renames_one_village(table: pa.Table) -> None:
    change = rename_village(table, "330102001051", "新名社区")

    assert (change.added, change.updated, change.deleted) == (0, 1, 0)
    assert change.table.to_pylist() == [
        {"_op": "upsert", "code": "330102001051", "name": "新名社区", "level": "village"}
        | {"parent_code": "330102001"}
    ]
