"""The items of an entry: the fields of a resource and the rules that their values keep."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Final

from kit.errors import DomainError, Kind
from services.catalog.domain.patterns import PatternRefused, require_portable

MAX_ITEMS: Final = 200
MAX_TEXT: Final = 100_000
"""Greatest `max_length`, in characters."""

MAX_CODES: Final = 1000
MAX_CODE: Final = 200
"""Greatest length of a code in characters."""

_MAX_INTEGER: Final = 2**53 - 1
_MAX_DIGITS: Final = 38
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,15}")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]*[1-9])?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATETIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")


class ItemType(StrEnum):
    """Types of items; `contracts/rows.md` fixes their canonical bytes."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"


class EntryInvalid(DomainError):
    """The members of the entry contradict each other."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "entry-invalid"


@dataclass(frozen=True, slots=True)
class Item:
    """One field of a resource. Key items identify a row; filterable ones may select rows.

    The other members are rules for values; None is no rule.

    Attributes:
        max_length: of a text, in characters; 1 to `MAX_TEXT`.
        pattern: the whole text matches it; RE2 syntax (`patterns.py`).
        codes: the texts that are allowed; 1 to `MAX_CODES`, each of at most `MAX_CODE` characters.
        minimum, maximum: least and greatest value of an integer, decimal, date or datetime, both
            inclusive, in the canonical form of `contracts/rows.md`.
    """

    name: str
    title: str
    type: ItemType
    required: bool
    key: bool
    filterable: bool
    max_length: int | None = None
    pattern: str | None = None
    codes: tuple[str, ...] | None = None
    minimum: str | None = None
    maximum: str | None = None


def require_items(items: tuple[Item, ...]) -> None:
    """Check the items of a dataset, each by itself and together.

    Raises:
        EntryInvalid: with a pointer to the member.
    """
    if not items:
        raise EntryInvalid(f"An entry has 1 to {MAX_ITEMS} items.", pointer="/items")
    require_fields(items)
    if not any(item.key for item in items):
        raise EntryInvalid("At least one item is a key, or rows have no name.", pointer="/items")


def require_fields(items: tuple[Item, ...]) -> None:
    """Check items that need not make a dataset: there may be none, and none need be a key.

    Raises:
        EntryInvalid: with a pointer to the member.
    """
    if len(items) > MAX_ITEMS:
        raise EntryInvalid(f"An entry has 1 to {MAX_ITEMS} items.", pointer="/items")
    require_distinct([item.name for item in items], "/items", "/name")
    for index, item in enumerate(items):
        if item.key and not item.required:
            raise EntryInvalid("A key item is required.", pointer=f"/items/{index}/required")
        _require_rules(item, f"/items/{index}")


def require_distinct(names: Iterable[str], pointer: str, member: str = "") -> None:
    """Check that no name occurs twice.

    Raises:
        EntryInvalid: with `pointer`, the place of the second one and `member`.
    """
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise EntryInvalid(f"{name} occurs twice.", pointer=f"{pointer}/{index}{member}")
        seen.add(name)


def _require_rules(item: Item, pointer: str) -> None:
    for member, types in _TYPES.items():
        if getattr(item, member) is not None and item.type not in types:
            raise EntryInvalid(
                f"Only items of type {' or '.join(types)} have {member}.",
                pointer=f"{pointer}/{member}",
            )
    if item.max_length is not None and not 1 <= item.max_length <= MAX_TEXT:
        raise EntryInvalid(
            f"The greatest length of a text is 1 to {MAX_TEXT} characters.",
            pointer=f"{pointer}/max_length",
        )
    if item.pattern is not None:
        _require_pattern(item.pattern, f"{pointer}/pattern")
    if item.codes is not None:
        _require_codes(item.codes, item.max_length, f"{pointer}/codes")
    _require_range(item, pointer)


def _require_pattern(pattern: str, pointer: str) -> None:
    try:
        require_portable(pattern)
    except PatternRefused as refused:
        raise EntryInvalid(str(refused), pointer=pointer) from refused


def _require_codes(codes: tuple[str, ...], max_length: int | None, pointer: str) -> None:
    if not 1 <= len(codes) <= MAX_CODES:
        raise EntryInvalid(f"A code list has 1 to {MAX_CODES} codes.", pointer=pointer)
    require_distinct(codes, pointer)
    longest = MAX_CODE if max_length is None else min(MAX_CODE, max_length)
    for index, code in enumerate(codes):
        if len(code) > longest:
            raise EntryInvalid(
                f"A code of this item has at most {longest} characters.",
                pointer=f"{pointer}/{index}",
            )


def _require_range(item: Item, pointer: str) -> None:
    bounds: list[Any] = []
    for member in ("minimum", "maximum"):
        text: str | None = getattr(item, member)
        if text is None:
            continue
        read, form = _ORDERED[item.type]
        try:
            bounds.append(read(text))
        except ValueError as error:
            raise EntryInvalid(
                f"The {member} is written in canonical form: {form}.",
                pointer=f"{pointer}/{member}",
            ) from error
    if len(bounds) == 2 and bounds[0] > bounds[1]:
        raise EntryInvalid("The maximum is less than the minimum.", pointer=f"{pointer}/maximum")


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text) or abs(int(text)) > _MAX_INTEGER:
        raise ValueError(text)
    return int(text)


def _decimal(text: str) -> Decimal:
    digits = sum(map(str.isdigit, text))
    if not _DECIMAL.fullmatch(text) or text == "-0" or digits > _MAX_DIGITS:
        raise ValueError(text)
    return Decimal(text)


def _date(text: str) -> date:
    if not _DATE.fullmatch(text):
        raise ValueError(text)
    return date.fromisoformat(text)


def _datetime(text: str) -> datetime:
    if not _DATETIME.fullmatch(text):
        raise ValueError(text)
    return datetime.fromisoformat(text)


_ORDERED: Final[Mapping[ItemType, tuple[Callable[[str], Any], str]]] = {
    ItemType.INTEGER: (_integer, "a whole number of at most 2^53 - 1, such as -5"),
    ItemType.DECIMAL: (
        _decimal,
        "at most 38 digits without superfluous zeros, such as 12.5 or 100",
    ),
    ItemType.DATE: (_date, "a day of the calendar, YYYY-MM-DD"),
    ItemType.DATETIME: (_datetime, "UTC with six decimals, such as 2026-11-22T00:30:00.000000Z"),
}
"""Types whose values have an order: what reads a canonical text, and how such a text looks."""

_TYPES: Final[Mapping[str, Collection[ItemType]]] = {
    "max_length": (ItemType.TEXT,),
    "pattern": (ItemType.TEXT,),
    "codes": (ItemType.TEXT,),
    "minimum": tuple(_ORDERED),
    "maximum": tuple(_ORDERED),
}
"""Which types take a rule."""
