"""The police bureau's entry 死亡登记: shared under conditions, and about nobody who ever lived."""

from datetime import date, timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as compute

from stack.demo.citizens import NUMBER_PATTERN, citizen_name, citizen_number
from stack.demo.divisions import HANGZHOU
from stack.demo.divisions import read_table as read_divisions

DEATHS: Final = "death-registrations"
BENEFIT_CHECK: Final = "unemployment-benefit-check"
GRANTED_ITEMS: Final = ("id_number", "name", "died_on")
"""What human resources asks for; `area` and `cause` are not among them."""

CAUSES: Final = ("disease", "injury", "other")
ROWS: Final = 4000
_SHAOXING: Final = "3306"

DEATHS_ENTRY: Final[dict[str, Any]] = {
    "resource": DEATHS,
    "name": "死亡登记",
    "summary": "注销户口的死亡登记信息。",
    "items": [
        {"name": "id_number", "title": "公民身份号码", "type": "text", "required": True}
        | {"key": True, "filterable": True, "pattern": NUMBER_PATTERN},
        {"name": "name", "title": "姓名", "type": "text", "required": True, "filterable": True}
        | {"max_length": 20},
        {"name": "died_on", "title": "死亡日期", "type": "date", "required": True}
        | {"filterable": True, "minimum": "1949-10-01"},
        {"name": "area", "title": "户籍地区划代码", "type": "text", "required": True}
        | {"filterable": True, "pattern": "[0-9]{6}"},
        {"name": "cause", "title": "死亡原因类别", "type": "text", "codes": list(CAUSES)},
    ],
    "data_format": "database",
    "update_frequency": "daily",
    "share_class": "conditional",
    "share_conditions": "限于履行法定职责所必需的核查，说明核查对象和范围。",
    "modes": ["query", "batch"],
    "use_conditions": "不得用于申请用途之外，不得再提供给第三方。",
    "data_grade": "important",
}


def read_deaths() -> pa.Table:
    """Return the rows, the same each time: most of Hangzhou, some of Shaoxing."""
    areas = areas_of(HANGZHOU) + areas_of(_SHAOXING)
    born = [date(1930, 1, 1) + timedelta(days=order * 7) for order in range(ROWS)]
    died = [date(2025, 1, 1) + timedelta(days=order % 600) for order in range(ROWS)]
    columns = {
        "id_number": [citizen_number(day, order % 1000) for order, day in enumerate(born)],
        "name": [citizen_name(order) for order in range(ROWS)],
        "died_on": [day.isoformat() for day in died],
        "area": [areas[order % len(areas)] for order in range(ROWS)],
        "cause": [CAUSES[order % len(CAUSES)] for order in range(ROWS)],
    }
    return pa.table({name: pa.array(values, pa.utf8()) for name, values in columns.items()})


def areas_of(city: str) -> list[str]:
    """Return the codes of a city's counties and districts."""
    counties = read_divisions(("county",))
    found: list[str] = counties.filter(compute.equal(counties["parent_code"], city))[
        "code"
    ].to_pylist()
    return found
