"""The rows of the demo's entry 行政区划代码, read from the real source files."""

import csv
import io
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypedDict

DATA: Final = Path(__file__).parent / "data"
HANGZHOU: Final = "3301"

_LEVELS: Final = (
    ("provinces", "province", None),
    ("cities", "city", "provinceCode"),
    ("areas", "county", "cityCode"),
    ("streets", "street", "areaCode"),
)


class Division(TypedDict, total=False):
    """One division: `parent_code` is absent for provinces."""

    code: str
    name: str
    level: str
    parent_code: str


def divisions() -> Iterator[Division]:
    """Yield all 44,703 divisions from provinces to streets, parents before children."""
    for file, level, parent in _LEVELS:
        text = lzma.decompress((DATA / f"{file}.csv.xz").read_bytes()).decode("utf-8")
        for row in csv.DictReader(io.StringIO(text)):
            division = Division(code=row["code"], name=row["name"], level=level)
            if parent is not None:
                division["parent_code"] = row[parent]
            yield division


def write_ndjson(target: Path) -> int:
    """Write all divisions to `target`, one JSON object a line; return how many."""
    count = 0
    with target.open("w", encoding="utf-8") as out:
        for division in divisions():
            out.write(json.dumps(division, ensure_ascii=False) + "\n")
            count += 1
    return count
