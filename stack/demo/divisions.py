"""The rows of the entry 行政区划代码, read from the real source files by whole columns.

The same ten broken rows go among them whenever civil affairs publishes all of it; each is broken
in another way, and none shares its key with a real row.
"""

import csv
import lzma
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict, cast

import pyarrow as pa
import pyarrow.csv

DATA: Final = Path(__file__).parent / "data"
HANGZHOU: Final = "3301"
COLUMNS: Final = ("code", "name", "level", "parent_code")

_FILES: Final = {
    "province": ("provinces", None),
    "city": ("cities", "provinceCode"),
    "county": ("areas", "cityCode"),
    "street": ("streets", "areaCode"),
    "village": ("villages", "streetCode"),
}
LEVELS: Final = tuple(_FILES)
TO_STREETS: Final = LEVELS[:-1]
"""The levels that fit a quick example: 44,703 rows instead of 665,276."""

LONGEST_NAME: Final = 40
"""Characters; the longest real name has 33."""


class Division(TypedDict, total=False):
    """One division: `parent_code` is absent for provinces."""

    code: str
    name: str
    level: str
    parent_code: str


_TWICE: Final = "999999999902"
BROKEN: Final[tuple[tuple[str, str, dict[str, str | None]], ...]] = (
    ("required", "code", {"code": None}),
    ("required", "name", {"name": None}),
    ("required", "level", {"level": None}),
    ("pattern", "code", {"code": "99999999990A"}),
    ("pattern", "name", {"name": "有 空格社区"}),
    ("pattern", "parent_code", {"parent_code": "九九九"}),
    ("length", "name", {"name": "很长的社区名称" * 6}),
    ("codes", "level", {"level": "hamlet"}),
    ("unique", "code", {"code": _TWICE, "name": "重复的甲社区"}),
    ("unique", "code", {"code": _TWICE, "name": "重复的乙社区"}),
)
"""Rule that each broken row breaks, the item that shows it, and what it has instead."""


def read_table(levels: Sequence[str] = LEVELS) -> pa.Table:
    """Return the divisions of these levels, parents before children, as text columns.

    All five levels are 665,276 rows and take about half a second and 120 MiB.
    """
    return pa.concat_tables([_read(level) for level in levels])


def divisions() -> Iterator[Division]:
    """Yield all 44,703 divisions from provinces to streets, parents before children."""
    for row in read_table(TO_STREETS).to_pylist():
        yield cast("Division", {name: value for name, value in row.items() if value is not None})


def with_broken_rows(table: pa.Table) -> pa.Table:
    """Spread `BROKEN` evenly among the rows; no row of `table` is lost.

    Args:
        table: the four columns, at least as many rows as `BROKEN` has.
    """
    stride = table.num_rows // len(BROKEN)
    pieces = []
    for index, (_, _, change) in enumerate(BROKEN):
        good: dict[str, str | None] = {
            "code": f"9999999999{index + 10}",
            "name": "虚构社区",
            "level": "village",
            "parent_code": "999999999",
        }
        pieces += [table.slice(index * stride, stride), _one(good | change)]
    return pa.concat_tables([*pieces, table.slice(len(BROKEN) * stride)])


def write_csv(table: pa.Table, target: Path) -> None:
    """Write a table as a department would export it: CSV with a header, text in quotes."""
    pyarrow.csv.write_csv(table, target, pyarrow.csv.WriteOptions(quoting_style="needed"))


def _read(level: str) -> pa.Table:
    file, parent = _FILES[level]
    with lzma.open(DATA / f"{file}.csv.xz") as opened:
        data = opened.read()
    names = next(csv.reader([data[: data.index(b"\n")].decode("utf-8")]))
    read = pyarrow.csv.read_csv(
        pa.BufferReader(data),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.utf8()),
            include_columns=["code", "name", *([parent] if parent else [])],
        ),
    )
    levels = pa.repeat(pa.scalar(level, pa.utf8()), read.num_rows)
    parents: Any = read[parent] if parent else pa.nulls(read.num_rows, pa.utf8())
    return pa.table([read["code"], read["name"], levels, parents], names=list(COLUMNS))


def _one(row: dict[str, str | None]) -> pa.Table:
    return pa.table({name: pa.array([row[name]], pa.utf8()) for name in COLUMNS})
