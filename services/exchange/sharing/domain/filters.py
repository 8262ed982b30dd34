"""Row filters: which rows of a resource a request or grant covers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.entry import Entry, Item
from services.exchange.sharing.domain.values import is_canonical, is_ordered, place

MAX_CONDITIONS: Final = 20
MAX_VALUES: Final = 1000


class ItemsUnknown(DomainError):
    """The entry has no item of this name."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "items-unknown"


class ItemNotFilterable(DomainError):
    """The entry does not let rows be chosen by this item."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "item-not-filterable"


class FilterInvalid(DomainError):
    """A condition of the row filter does not fit its item, or no row can meet it."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "filter-invalid"


@dataclass(frozen=True, slots=True)
class Condition:
    """What one item of a covered row is: one of `values`, or within [`low`, `high`).

    All are canonical texts. `values` is None for a range, of which one end may be None.
    """

    item: str
    values: frozenset[str] | None = None
    low: str | None = None
    high: str | None = None

    def admits(self, kind: str, value: str) -> bool:
        """Tell whether a row with this value, of type `kind`, is covered."""
        if self.values is not None:
            return value in self.values
        at = place(kind, value)
        return (self.low is None or at >= place(kind, self.low)) and (
            self.high is None or at < place(kind, self.high)
        )

    def fits(self, kind: str) -> bool:
        """Tell whether its texts are canonical for a type, which for a range must be ordered."""
        if self.values is not None:
            return all(is_canonical(kind, value) for value in self.values)
        ends = [end for end in (self.low, self.high) if end is not None]
        return is_ordered(kind) and all(is_canonical(kind, end) for end in ends)

    def within(self, other: "Condition", kind: str) -> bool:
        """Tell whether every value of type `kind` that this one admits is admitted by `other`."""
        if self.values is not None:
            return all(other.admits(kind, value) for value in self.values)
        if other.values is not None:
            return False
        low = other.low is None or (
            self.low is not None and place(kind, self.low) >= place(kind, other.low)
        )
        high = other.high is None or (
            self.high is not None and place(kind, self.high) <= place(kind, other.high)
        )
        return low and high


RowFilter = tuple[Condition, ...]
"""Conditions that a covered row meets all; each item is named once. Empty covers every row."""


def as_data(row_filter: RowFilter) -> list[dict[str, Any]]:
    """Return the conditions as contracts write them: `in` sorted, or `from` and `until`."""
    return [_condition_data(condition) for condition in row_filter]


def from_data(conditions: Sequence[Mapping[str, Any]]) -> RowFilter:
    """Return what `as_data` was given."""
    return tuple(
        Condition(
            each["item"],
            frozenset(each["in"]) if "in" in each else None,
            each.get("from"),
            each.get("until"),
        )
        for each in conditions
    )


def require_filter(row_filter: RowFilter, entry: Entry, *, stated: RowFilter = ()) -> None:
    """Check that rows of `entry` can be chosen by `row_filter`; pointers are below `/row_filter`.

    Args:
        stated: conditions of an earlier filter. They may be repeated though the entry has changed.

    Raises:
        ItemsUnknown, ItemNotFilterable: of an item.
        FilterInvalid: an item is named twice, a value is not one of its type, no value fits.
    """
    named: set[str] = set()
    for index, condition in enumerate(row_filter):
        pointer = f"/row_filter/all/{index}"
        if condition.item in named:
            raise FilterInvalid(f"{condition.item} is named twice.", pointer=f"{pointer}/item")
        named.add(condition.item)
        if condition not in stated:
            _require_condition(condition, _filterable(condition.item, entry, pointer), pointer)


def is_within(narrow: RowFilter, wide: RowFilter, kinds: Mapping[str, str]) -> bool:
    """Tell whether every row that `narrow` covers is covered by `wide`.

    Each item of `wide` must be restricted by `narrow` itself, at least as far; what follows only
    from several items together is not seen.

    Args:
        kinds: type of each item. What is stated for an item that the entry no longer has, or has
            with another type, can only be repeated.
    """
    stated = {condition.item: condition for condition in narrow}
    return all(_narrows(stated.get(each.item), each, kinds.get(each.item)) for each in wide)


def _narrows(found: Condition | None, wide: Condition, kind: str | None) -> bool:
    if found is None or found == wide:
        return found is not None
    if kind is None or not (found.fits(kind) and wide.fits(kind)):
        return False
    return found.within(wide, kind)


def _filterable(name: str, entry: Entry, pointer: str) -> Item:
    item = entry.item(name)
    if item is None:
        raise ItemsUnknown(f"The entry has no item {name}.", pointer=f"{pointer}/item")
    if not item.filterable:
        raise ItemNotFilterable(
            f"The entry does not let rows be chosen by {name}.",
            pointer=f"{pointer}/item",
            facts={
                "item": name,
                "filterable": [found.name for found in entry.items if found.filterable],
            },
        )
    return item


def _require_condition(condition: Condition, item: Item, pointer: str) -> None:
    if condition.values is not None:
        for value in sorted(condition.values):
            if not is_canonical(item.type, value):
                raise FilterInvalid(
                    f"A value for {item.name} is not the canonical text of type {item.type}.",
                    pointer=f"{pointer}/in",
                )
        return
    if not is_ordered(item.type):
        raise FilterInvalid(
            f"{item.name} is of type {item.type}, which has no ranges; list its values.",
            pointer=pointer,
        )
    for member, end in (("from", condition.low), ("until", condition.high)):
        if end is not None and not is_canonical(item.type, end):
            raise FilterInvalid(
                f"The end of a range of {item.name} is not the canonical text of type {item.type}.",
                pointer=f"{pointer}/{member}",
            )
    low, high = condition.low, condition.high
    if low is not None and high is not None and place(item.type, low) >= place(item.type, high):
        raise FilterInvalid(
            f"No value of {item.name} lies in the range.", pointer=f"{pointer}/until"
        )


def _condition_data(condition: Condition) -> dict[str, Any]:
    data: dict[str, Any] = {"item": condition.item}
    if condition.values is not None:
        data["in"] = sorted(condition.values)
    if condition.low is not None:
        data["from"] = condition.low
    if condition.high is not None:
        data["until"] = condition.high
    return data
