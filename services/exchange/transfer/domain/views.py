"""Views: what a grant lets be seen of an entry, and how rows of a layout look through one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import pyarrow as pa

from services.exchange.transfer.domain import filters
from services.exchange.transfer.domain.conditions import RowFilter, filter_of
from services.exchange.transfer.domain.entries import Grant, Item, Layout
from services.exchange.transfer.domain.filters import Test
from services.exchange.transfer.domain.masks import ConsumerKeys, Mask, mask
from services.exchange.transfer.domain.values import ItemType


@dataclass(frozen=True)
class View:
    """What is seen of an entry: the identity of a projection.

    Attributes:
        items: names in the order of delivery.
        row_filter: which rows.
        masks: item and mask, in the order of names; only of `items`.
        consumer: agency whose pseudonyms they are; None when nothing is pseudonymised.
    """

    items: tuple[str, ...]
    row_filter: RowFilter = ()
    masks: tuple[tuple[str, Mask], ...] = ()
    consumer: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the view as it is kept."""
        return {
            "items": list(self.items),
            "row_filter": [condition.as_json() for condition in self.row_filter],
            "masks": {name: by.value for name, by in self.masks},
            "consumer": self.consumer,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Self:
        """Return what `as_json` was called on."""
        masks = sorted((name, Mask(by)) for name, by in kept["masks"].items())
        return cls(
            tuple(kept["items"]), filter_of(kept["row_filter"]), tuple(masks), kept["consumer"]
        )


def view_of(items: Sequence[str], grant: Grant) -> View:
    """Return what `grant` lets be seen of `items`, all of which it covers."""
    masks = tuple(sorted((name, by) for name, by in grant.masks.items() if name in items))
    keyed = any(by is Mask.PSEUDONYM for _, by in masks)
    return View(tuple(items), grant.row_filter, masks, grant.consumer if keyed else None)


@dataclass(frozen=True)
class Sight:
    """Rows of one layout as they are seen through a view.

    Attributes:
        items: those of the view that the rows have, as they lie.
        seen: the same as they are shown; masked ones are texts.
        tests: that covered rows pass; None when no row is covered.
        masks: by item.
        key: of the consumer's pseudonyms; empty when there are none.
    """

    items: tuple[Item, ...]
    seen: tuple[Item, ...]
    tests: tuple[Test, ...] | None = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)
    key: bytes = field(default=b"", repr=False)

    @property
    def is_whole(self) -> bool:
        """Tell whether every row is seen, and each value of `items` as it is."""
        return not self.masks and self.tests == ()

    @property
    def hides_key(self) -> bool:
        """Tell whether values of the key are masked: then neither may their order be told."""
        return any(item.key and item.name in self.masks for item in self.items)

    def covers(self, rows: Any, prefix: str = "") -> Any:
        """Return per row whether it is covered: booleans without null.

        Args:
            rows: a table with columns of canonical texts, named `prefix` and item.
        """
        if self.tests is None:
            return pa.repeat(pa.scalar(False), rows.num_rows)
        return filters.admits(self.tests, rows, prefix)

    def show(self, rows: Any, prefix: str = "") -> Any:
        """Return a table of `seen`, named by item, of rows that are covered."""
        return pa.Table.from_arrays(
            [self._shown(item, rows.column(prefix + item.name)) for item in self.items],
            [item.name for item in self.items],
        )

    def _shown(self, item: Item, column: Any) -> Any:
        by = self.masks.get(item.name)
        return column if by is None else mask(column, by, item.type, self.key)


def sight_of(view: View, layout: Layout, keys: ConsumerKeys | None) -> Sight:
    """Return how rows of `layout` are seen through `view`.

    Args:
        keys: needed when something is pseudonymised.

    Raises:
        LookupError: there are none.
    """
    masks = dict(view.masks)
    items = tuple(layout.by_name[name] for name in view.items if name in layout.by_name)
    return Sight(
        items,
        as_seen(items, masks),
        filters.resolve(view.row_filter, layout),
        {item.name: masks[item.name] for item in items if item.name in masks},
        b"" if view.consumer is None else require_keys(keys).pseudonyms(view.consumer),
    )


def whole(items: Sequence[Item]) -> Sight:
    """Return the sight of all rows on `items`, as they are."""
    return Sight(tuple(items), tuple(items))


def as_seen(items: Sequence[Item], masks: Mapping[str, Mask]) -> tuple[Item, ...]:
    """Return items as their values are shown: masked ones are texts without rules."""
    return tuple(
        Item(item.name, ItemType.TEXT, item.required, item.key, filterable=False)
        if item.name in masks
        else item
        for item in items
    )


def require_keys(keys: ConsumerKeys | None) -> ConsumerKeys:
    """Return `keys`.

    Raises:
        LookupError: this process was given none.
    """
    if keys is None:
        raise LookupError("this process has no key for pseudonyms")
    return keys
