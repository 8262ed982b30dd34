"""Queries: what was asked, and the plan to answer it within a grant."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.entries import Entry, Grant, Item, Layout
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.values import CANONICAL, ItemType, ValueRefused

MAX_LIMIT: Final = 1000
DEFAULT_LIMIT: Final = 100

Position = Sequence[str | int | bool]
"""Where a page ended: the values of its last row's key, or the number of its arrival."""


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
        match: column and canonical text that rows must have; None for "no value".
        possible: false when no row can match, since the rows in force lack an item asked for.
        order: columns of the key; empty when the key is not granted, then pages go by
            arrival.
        after: canonical texts of the position after which the page begins.
    """

    names: tuple[str, ...]
    columns: tuple[Item, ...]
    match: tuple[tuple[Item, str | None], ...]
    possible: bool
    order: tuple[Item, ...]
    after: tuple[str, ...] | None
    limit: int


def position_shape(layout: Layout, granted: frozenset[str]) -> list[type]:
    """Return the types of the members of a position of this layout, for reading cursors."""
    shapes = {ItemType.INTEGER: int, ItemType.BOOLEAN: bool}
    return [shapes.get(item.type, str) for item in _order(layout, granted)] or [int]


def plan(
    query: Query, entry: Entry, grant: Grant, layout: Layout, after: Position | None = None
) -> Plan:
    """Return how to answer `query` from rows of `layout`.

    Args:
        entry: says which items exist and which may be filtered by.
        layout: of the rows in force; may be of another version of the entry.
        after: what the query's cursor holds, in the shape of `position_shape`.

    Raises:
        ItemUnknown, ItemsNotGranted, ItemNotFilterable, QueryInvalid, CursorInvalid: as their
            names say.
    """
    names = query.items
    if names is None:
        names = tuple(item.name for item in entry.layout.items if item.name in grant.items)
    _require_items((*query.match, *names), entry, grant)
    if query.by_key:
        _require_whole_key(query.match, layout)
    else:
        _require_filterable(query.match, entry)
    texts = {name: _text(query, name, layout, entry) for name in query.match}
    order = _order(layout, grant.items)
    return Plan(
        names=names,
        columns=tuple(layout.by_name[name] for name in names if name in layout.by_name),
        match=tuple(
            (layout.by_name[name], text) for name, text in texts.items() if name in layout.by_name
        ),
        possible=all(name in layout.by_name or text is None for name, text in texts.items()),
        order=order,
        after=None if after is None else _after(after, order),
        limit=1 if query.by_key else query.limit,
    )


def _order(layout: Layout, granted: frozenset[str]) -> tuple[Item, ...]:
    """A cursor tells the key of a row: without the right to the key, pages go by arrival."""
    return layout.key if all(item.name in granted for item in layout.key) else ()


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


def _after(position: Position, order: tuple[Item, ...]) -> tuple[str, ...]:
    try:
        if not order:
            return (CANONICAL[ItemType.INTEGER](position[0]),)
        return tuple(
            CANONICAL[item.type](value) for item, value in zip(order, position, strict=True)
        )
    except ValueError as error:
        raise refusals.CursorInvalid(
            "The cursor is not one that this query gave out.", pointer="/cursor"
        ) from error
