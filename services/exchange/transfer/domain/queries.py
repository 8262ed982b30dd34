"""Queries: what was asked, and the plan to answer it within a grant."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.exchange.transfer.domain import filters, refusals
from services.exchange.transfer.domain.entries import Entry, Grant, Item, Layout
from services.exchange.transfer.domain.filters import Test
from services.exchange.transfer.domain.masks import Mask
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.values import CANONICAL, ItemType, ValueRefused

MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 100

Position = Sequence[str | int | bool]
"""Where a page ended, by the order of the plan: values of its last row's key, or their hashes."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Place:
    """What pages go by: an item of the key, or all of them by one hash.

    An item whose value is not shown under the grant orders nothing, and no cursor holds it: rows
    go by the HMAC of their whole key then, under a key that nobody else has. Of the whole, since
    the hash of one item alone would tell which rows have the same value.

    Attributes:
        items: one, or all of the key.
        hidden: by their hash.
    """

    items: tuple[Item, ...]
    hidden: bool


@dataclass(frozen=True, slots=True)
class Query:
    """What a system asks.

    Attributes:
        by_key: one row is asked for, `match` names exactly the items of the key.
        match: values that rows must have, by item.
        items: what to answer; None for all that is granted.
        limit: rows of one page, 1 to 1000.
        cursor: `next` of the page before.
    """

    by_key: bool
    match: Mapping[str, Any]
    items: tuple[str, ...] | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How to answer one query: everything is checked, all values are canonical texts.

    Attributes:
        names: items of the answer, in the order asked for or of the entry.
        columns: those of them that the rows in force have, as they lie.
        masks: of those columns that are not shown as they are, by name.
        tests: that rows must pass to be covered by the grant.
        match: column and canonical text that rows must have; None for "no value".
        possible: false when no row can match: the rows in force lack an item asked for, or none
            is covered.
        order: the key.
        after: texts of the position after which the page begins, in that order.
    """

    names: tuple[str, ...]
    columns: tuple[Item, ...]
    masks: Mapping[str, Mask]
    tests: tuple[Test, ...]
    match: tuple[tuple[Item, str | None], ...]
    possible: bool
    order: tuple[Place, ...]
    after: tuple[str, ...] | None
    limit: int


def position_shape(layout: Layout, grant: Grant) -> list[type]:
    """Return the types of the members of a position of this layout, for reading cursors."""
    shapes = {ItemType.INTEGER: int, ItemType.BOOLEAN: bool}
    return [
        str if place.hidden else shapes.get(place.items[0].type, str)
        for place in _order(layout, grant)
    ]


def plan(
    query: Query, entry: Entry, grant: Grant, layout: Layout, after: Position | None = None
) -> Plan:
    """Return how to answer `query` from rows of `layout`.

    Args:
        entry: says which items exist and which may be filtered by.
        layout: of the rows in force; may be of another version of the entry.
        after: what the query's cursor holds, in the shape of `position_shape`.

    Raises:
        ItemUnknown, ItemsNotGranted, ItemMasked, ItemNotFilterable, QueryInvalid, CursorInvalid:
            as their names say.
    """
    names = query.items
    if names is None:
        names = tuple(item.name for item in entry.layout.items if item.name in grant.items)
    _require_items((*query.match, *names), entry, grant)
    _require_unmasked(query, grant)
    if query.by_key:
        _require_whole_key(query.match, layout)
    else:
        _require_filterable(query.match, entry)
    texts = {name: _text(query, name, layout, entry) for name in query.match}
    order = _order(layout, grant)
    tests = filters.resolve(grant.row_filter, layout)
    return Plan(
        names=names,
        columns=tuple(layout.by_name[name] for name in names if name in layout.by_name),
        masks={name: by for name, by in grant.masks.items() if name in names},
        tests=tests or (),
        match=tuple(
            (layout.by_name[name], text) for name, text in texts.items() if name in layout.by_name
        ),
        possible=tests is not None
        and all(name in layout.by_name or text is None for name, text in texts.items()),
        order=order,
        after=None if after is None else _after(after, order),
        limit=1 if query.by_key else query.limit,
    )


def _order(layout: Layout, grant: Grant) -> tuple[Place, ...]:
    """Return what rows are ordered by: the items of the key that are shown, then their hash."""
    shown = [i for i in layout.key if i.name in grant.items and i.name not in grant.masks]
    places = [Place((item,), hidden=False) for item in shown]
    if len(shown) < len(layout.key):
        places.append(Place(layout.key, hidden=True))
    return tuple(places)


def _require_items(names: Sequence[str], entry: Entry, grant: Grant) -> None:
    """Refuse items that the entry has not, then items that are not granted.

    Choosing rows by an item tells its value, so that needs the item granted like an answer.
    """
    unknown = [name for name in dict.fromkeys(names) if name not in entry.layout.by_name]
    if unknown:
        raise refusals.ItemUnknown(
            f"The entry has no item {', '.join(unknown)}.",
            facts={"items": unknown, "known": list(entry.layout.by_name)},
        )
    refused = [name for name in dict.fromkeys(names) if name not in grant.items]
    if refused:
        raise refusals.ItemsNotGranted(
            f"The grant {grant.id} does not cover {', '.join(refused)}.",
            facts={
                "grant": grant.id,
                "grant_version": grant.version,
                "items": refused,
                "granted": sorted(grant.items),
            },
        )


def _require_unmasked(query: Query, grant: Grant) -> None:
    """Refuse to choose rows by what is masked: trying values would tell the one that is hidden."""
    for name in query.match:
        if name in grant.masks:
            raise refusals.ItemMasked(
                f"The grant {grant.id} shows {name} masked, so rows cannot be chosen by it.",
                pointer=pointer_of("key" if query.by_key else "where", name),
                facts={
                    "grant": grant.id,
                    "grant_version": grant.version,
                    "item": name,
                    "masked": sorted(grant.masks),
                },
            )


def _require_whole_key(match: Mapping[str, Any], layout: Layout) -> None:
    expected = [item.name for item in layout.key]
    if not expected:
        raise refusals.QueryInvalid(
            "The entry has no key; choose rows with `where`.", pointer="/key"
        )
    if set(match) != set(expected):
        raise refusals.QueryInvalid(
            f"The key consists of {', '.join(expected)}.", pointer="/key", facts={"key": expected}
        )


def _require_filterable(match: Mapping[str, Any], entry: Entry) -> None:
    """Items of the key may always be filtered by."""
    allowed = [item.name for item in entry.layout.items if item.filterable or item.key]
    for name in match:
        if name not in allowed:
            raise refusals.ItemNotFilterable(
                f"Rows cannot be chosen by the item {name}.",
                pointer=pointer_of("where", name),
                facts={"item": name, "filterable": allowed},
            )


def _text(query: Query, name: str, layout: Layout, entry: Entry) -> str | None:
    """Return the canonical text of a value to be matched; null matches rows without a value."""
    value = query.match[name]
    if value is None and not query.by_key:
        return None
    item = layout.by_name.get(name) or entry.layout.by_name[name]
    try:
        return CANONICAL[item.type](value)
    except ValueRefused as refused:
        member = "key" if query.by_key else "where"
        raise refusals.QueryInvalid(
            f"The item {name}: {refused}.", pointer=pointer_of(member, name)
        ) from refused


def _after(position: Position, order: tuple[Place, ...]) -> tuple[str, ...]:
    try:
        return tuple(
            _hash(value) if place.hidden else CANONICAL[place.items[0].type](value)
            for place, value in zip(order, position, strict=True)
        )
    except ValueError as error:
        raise refusals.CursorInvalid(
            "The cursor is not one that this query gave out.", pointer="/cursor"
        ) from error


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ValueRefused("a hash is expected")
    return value
