"""Answer queries within a grant."""

from dataclasses import dataclass
from typing import Any, Final

import orjson

from kit.http import decode_cursor, encode_cursor
from services.exchange.transfer import domain, store
from services.exchange.transfer.domain import Entry, Grant, Query, refusals

ATTEMPTS: Final = 5
"""How often a query looks for the table of a dataset that is being replaced."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer: its body, built once, and what the evidence says about it."""

    body: bytes
    rows: int
    items: tuple[str, ...]


async def answer(reader: store.RowReader, entry: Entry, grant: Grant, query: Query) -> Page:
    """Answer `query` from the rows of `entry`, as far as `grant` goes.

    Raises:
        DomainError: what `domain.plan` refuses, or the cursor.
    """
    for _ in range(ATTEMPTS):
        dataset = await reader.dataset(entry.id)
        layout = entry.layout if dataset is None else dataset.layout
        after = None
        if query.cursor is not None:
            shape = domain.position_shape(layout, grant.items)
            after = decode_cursor(query.cursor, shape)
        plan = domain.plan(query, entry, grant, layout, after)
        if dataset is None or not plan.possible:
            return _page([], plan, None)
        try:
            found = await reader.select(dataset.table, plan, single=query.by_key)
        except store.TableReplaced:
            reader.forget(entry.id)
            continue
        return _page(found.rows, plan, found.position)
    raise refusals.PermissionsBehind("The rows are being replaced over and over; try again.")


def _page(rows: list[tuple[Any, ...]], plan: domain.Plan, position: Any) -> Page:
    names = [item.name for item in plan.columns]
    if len(names) == len(plan.names):
        objects = [dict(zip(names, row, strict=True)) for row in rows]
    else:  # items that the rows in force do not have yet have no value
        empty = dict.fromkeys(plan.names)
        objects = [empty | dict(zip(names, row, strict=True)) for row in rows]
    following = None if position is None else encode_cursor(position)
    body = orjson.dumps({"rows": objects, "next": following})
    return Page(body, len(rows), plan.names)
