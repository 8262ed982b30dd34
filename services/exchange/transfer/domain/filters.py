"""Row filters: which rows a grant covers, resolved against the rows in force.

One meaning for all readers: a row is covered when it meets every condition. A row without a value
for an item that a condition names is not, and neither is one that lacks the item.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.conditions import Condition, RowFilter
from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.ordering import ORDERED, ordered
from services.exchange.transfer.domain.values import CANONICAL, ItemType


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on an item as rows have it; its texts are canonical for the item's type."""

    item: Item
    values: tuple[str, ...] | None
    low: str | None
    high: str | None


def resolve(row_filter: RowFilter, layout: Layout) -> tuple[Test, ...] | None:
    """Return the tests that rows of `layout` must pass, or None when no row can.

    The entry may have changed since the grant: a condition on an item that rows do not have, or
    have with a type that its texts do not fit, is met by no row.
    """
    tests = [_resolved(each, layout.by_name.get(each.item)) for each in row_filter]
    found = tuple(test for test in tests if test is not None)
    return found if len(found) == len(tests) else None


def _resolved(condition: Condition, item: Item | None) -> Test | None:
    if item is None:
        return None
    if condition.values is not None:
        values = tuple(value for value in condition.values if is_canonical(item.type, value))
        return Test(item, values, None, None) if values else None
    ends = [end for end in (condition.low, condition.high) if end is not None]
    if item.type not in ORDERED or not all(is_canonical(item.type, end) for end in ends):
        return None
    return Test(item, None, condition.low, condition.high)


def is_canonical(kind: ItemType, text: str) -> bool:
    """Tell whether `text` is the canonical text of a value of type `kind`."""
    if kind is ItemType.BOOLEAN:
        return text in ("true", "false")
    try:
        return CANONICAL[kind](int(text) if kind is ItemType.INTEGER else text) == text
    except ValueError:
        return False


def admits(tests: Sequence[Test], columns: Any, prefix: str = "") -> Any:
    """Return per row whether it passes all tests: booleans without null.

    Args:
        columns: a table with a column of canonical texts per item that is tested, each named
            `prefix` and the item.
    """
    everything = pa.repeat(pa.scalar(True), columns.num_rows)
    return reduce(
        pc.and_,
        (_passes(test, columns.column(prefix + test.item.name)) for test in tests),
        everything,
    )


def _passes(test: Test, column: Any) -> Any:
    if test.values is not None:
        return pc.is_in(column, pa.array(test.values, pa.utf8()))
    passes = pc.is_valid(column)
    values = ordered(test.item.type, column)
    for end, holds in ((test.low, pc.greater_equal), (test.high, pc.less)):
        if end is not None:
            limit = ordered(test.item.type, pa.scalar(end, pa.utf8()))
            passes = pc.and_(passes, pc.fill_null(holds(values, limit), False))
    return passes
