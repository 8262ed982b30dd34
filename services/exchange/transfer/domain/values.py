"""Values of items: what each type takes, and the one text that stands for it.

The canonical text is what digests are made of, what is stored, compared and answered
(`contracts/rows.md`). A value that has no canonical text is refused with one sentence.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Final

MAX_INTEGER: Final = 2**53 - 1
MAX_DIGITS: Final = 38
MAX_KEY_BYTES: Final = 400
"""Greatest length of a key, and of a filterable text, as JSON in UTF-8: they must fit an index
entry and a cursor."""

_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)


class ItemType(StrEnum):
    """Types of items, as entries name them."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class ValueRefused(ValueError):
    """A value does not fit its type. The text says what is expected and never repeats it."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueRefused("a text is expected")
    if "\0" in value:
        raise ValueRefused("a text holds no NUL character")
    return value


def _integer(value: Any) -> str:
    # bool is a subclass of int, so the type is compared and not tested.
    if type(value) is not int or abs(value) > MAX_INTEGER:
        raise ValueRefused("an integer of at most 2^53 - 1 is expected, as a JSON number")
    return str(value)


def _decimal(value: Any) -> str:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise ValueRefused('a decimal number is expected, as a text such as "12.50"')
    if sum(map(str.isdigit, value)) > MAX_DIGITS:
        raise ValueRefused(f"a decimal number has at most {MAX_DIGITS} digits")
    if "." in value:
        value = value.rstrip("0").rstrip(".")
    return "0" if value == "-0" else value


def _boolean(value: Any) -> str:
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise ValueRefused("true or false is expected")


def _date(value: Any) -> str:
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise ValueRefused("a day of the calendar is expected, as a text YYYY-MM-DD")


def _datetime(value: Any) -> str:
    if isinstance(value, str) and _DATETIME.fullmatch(value):
        try:
            instant = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        else:
            return instant.isoformat(timespec="microseconds")[:-6] + "Z"
    raise ValueRefused(
        "an instant is expected, as a text such as 2026-11-22T08:30:00+08:00 with at most six "
        "decimals"
    )


CANONICAL: Final[Mapping[ItemType, Callable[[Any], str]]] = {
    ItemType.TEXT: _text,
    ItemType.INTEGER: _integer,
    ItemType.DECIMAL: _decimal,
    ItemType.BOOLEAN: _boolean,
    ItemType.DATE: _date,
    ItemType.DATETIME: _datetime,
}
"""Per type the function from a JSON value to its canonical text; raises `ValueRefused`."""

_BARE: Final = frozenset({ItemType.INTEGER, ItemType.BOOLEAN})


def is_bare(kind: ItemType) -> bool:
    """Tell whether the canonical text is the JSON value itself, without quotes."""
    return kind in _BARE
