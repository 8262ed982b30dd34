"""Values in row filters: canonical texts by the type of their item (`contracts/rows.md`, 3)."""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

MAX_TEXT_BYTES: Final = 400
_MAX_INTEGER: Final = 2**53 - 1
_MAX_DIGITS: Final = 38
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,15}")
_DECIMAL: Final = re.compile(r"0|-?(?:[1-9][0-9]*(?:\.[0-9]*[1-9])?|0\.[0-9]*[1-9])")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


def _is_calendar(text: str, parse: Callable[[str], Any]) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


_CANONICAL: Final[Mapping[str, Callable[[str], bool]]] = {
    "text": lambda text: "\0" not in text and len(text.encode()) <= MAX_TEXT_BYTES,
    "integer": lambda text: _INTEGER.fullmatch(text) is not None and abs(int(text)) <= _MAX_INTEGER,
    "decimal": lambda text: (
        _DECIMAL.fullmatch(text) is not None and sum(map(str.isdigit, text)) <= _MAX_DIGITS
    ),
    "boolean": lambda text: text in ("true", "false"),
    "date": lambda text: (
        _DATE.fullmatch(text) is not None and _is_calendar(text, date.fromisoformat)
    ),
    "datetime": lambda text: (
        _DATETIME.fullmatch(text) is not None and _is_calendar(text, datetime.fromisoformat)
    ),
}

_ORDER: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": int,
    "decimal": Decimal,
    "date": str,  # texts of one length, so that they sort as the days do
    "datetime": str,
}


def is_canonical(kind: str, text: str) -> bool:
    """Tell whether `text` is the canonical text of a value of type `kind`."""
    test = _CANONICAL.get(kind)
    return test is not None and test(text)


def is_ordered(kind: str) -> bool:
    """Tell whether values of this type have an order, so that a range of them means something."""
    return kind in _ORDER


def place(kind: str, text: str) -> Any:
    """Return what a canonical text of an ordered type is sorted by."""
    return _ORDER[kind](text)
