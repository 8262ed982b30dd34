"""Adoption files that nobody may see but whom a law names; about nobody who exists."""

from datetime import date, timedelta
from typing import Final

import pyarrow as pa

from stack.demo.citizens import citizen_name, citizen_number

FILES: Final = 300
RECIPIENTS_LAW: Final = {"title": "中华人民共和国刑事诉讼法", "article": "第五十四条"}
"""State organs may collect evidence from those who hold it; police do so in a case."""

INVESTIGATION: Final = "criminal-investigation"
CASE: Final = "杭公（刑）立字〔2026〕0817号"


def read_adoptions() -> pa.Table:
    """Return the rows, the same each time."""
    born = [date(1970, 1, 1) + timedelta(days=order * 31) for order in range(FILES)]
    days = [date(2015, 3, 2) + timedelta(days=order * 11) for order in range(FILES)]
    columns = {
        "file": [f"SY{day:%Y}{order:05d}" for order, day in enumerate(days)],
        "adopter": [citizen_name(order * 13) for order in range(FILES)],
        "adopter_number": [citizen_number(day, order) for order, day in enumerate(born)],
        "registered_on": [day.isoformat() for day in days],
    }
    return pa.table({name: pa.array(values, pa.utf8()) for name, values in columns.items()})
