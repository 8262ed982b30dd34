"""Conditions of row filters, as grants write them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Condition:
    """What the value of an item must be: one of `values`, or in [`low`, `high`).

    All are canonical texts. `values`, in their order, is None for a range, of which one end may be
    None.
    """

    item: str
    values: tuple[str, ...] | None = None
    low: str | None = None
    high: str | None = None

    def __post_init__(self) -> None:
        if self.values is not None:  # equal conditions are to compare equal
            object.__setattr__(self, "values", tuple(sorted(self.values)))

    def as_json(self) -> dict[str, Any]:
        """Return the members that grants write."""
        members = {
            "item": self.item,
            "in": None if self.values is None else list(self.values),
            "from": self.low,
            "until": self.high,
        }
        return {name: value for name, value in members.items() if value is not None}


RowFilter = tuple[Condition, ...]
"""Conditions that a covered row meets all, in the order of their items. Empty covers every row."""


def filter_of(conditions: Sequence[Mapping[str, Any]]) -> RowFilter:
    """Return the filter of conditions with the members of `as_json`; one meaning has one form."""
    made = (
        Condition(
            each["item"],
            tuple(each["in"]) if "in" in each else None,
            each.get("from"),
            each.get("until"),
        )
        for each in conditions
    )
    return tuple(sorted(made, key=lambda condition: condition.item))
