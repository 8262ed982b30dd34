"""Answer queries within a grant."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
import pyarrow as pa

from kit.http import decode_cursor, encode_cursor
from services.exchange.transfer import domain, store
from services.exchange.transfer.domain import ConsumerKeys, Entry, Grant, Query, mask, refusals

ATTEMPTS: Final = 5
"""How often a query looks for the table of a dataset that is being replaced."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of an answer: its body, built once, and what the evidence says about it."""

    body: bytes
    rows: int
    items: tuple[str, ...]


async def answer(
    reader: store.RowReader, entry: Entry, grant: Grant, query: Query, keys: ConsumerKeys
) -> Page:
    """Answer `query` from the rows of `entry`, as far as `grant` goes.

    Args:
        keys: of the consumer's pseudonyms and of the order of what is hidden from it.

    Raises:
        DomainError: what `domain.plan` refuses, or the cursor.
    """
    for _ in range(ATTEMPTS):
        dataset = await reader.dataset(entry.id)
        layout = entry.layout if dataset is None else dataset.layout
        after = None
        if query.cursor is not None:
            shape = domain.position_shape(layout, grant)
            after = decode_cursor(query.cursor, shape)
        plan = domain.plan(query, entry, grant, layout, after)
        if dataset is None or not plan.possible:
            return _page([], plan, None)
        try:
            found = await reader.select(
                dataset.table, plan, keys.order(grant.consumer), single=query.by_key
            )
        except store.TableReplaced:
            reader.forget(entry.id)
            continue
        rows = _masked(found.rows, plan, keys.pseudonyms(grant.consumer))
        return _page(rows, plan, found.position)
    raise refusals.PermissionsBehind("The rows are being replaced over and over; try again.")


def _masked(rows: list[tuple[Any, ...]], plan: domain.Plan, key: bytes) -> list[tuple[Any, ...]]:
    """Mask by whole columns, as deliveries do."""
    if not plan.masks or not rows:
        return rows
    columns = list(zip(*rows, strict=True))
    for n, item in enumerate(plan.columns):
        if item.name in plan.masks:
            values = pa.array(columns[n], pa.utf8())
            columns[n] = tuple(mask(values, plan.masks[item.name], item.type, key).to_pylist())
    return list(zip(*columns, strict=True))


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
