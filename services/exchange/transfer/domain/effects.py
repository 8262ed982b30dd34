"""Effects of a batch, and what of them is seen through fewer items.

A table of effects has `_op` (`added`, `updated` or `deleted`) and, for every item, the columns
`before.<item>` and `after.<item>` of canonical texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from services.exchange.transfer.domain.digests import TableDigest
from services.exchange.transfer.domain.entries import Item

OPERATION: Final = "_op"
BEFORE: Final = "before."
AFTER: Final = "after."
ADDED: Final = "added"
UPDATED: Final = "updated"
DELETED: Final = "deleted"


@dataclass(frozen=True)
class Projected:
    """Effects as they are seen through some items.

    Attributes:
        table: `_op` and the items; of deleted rows only the key items have values.
        added, updated, deleted: rows of each operation.
        before: digest of the old rows on these items: of what was updated or deleted.
        after: digest of the new rows on these items: of what was added or updated.
    """

    table: Any
    added: int
    updated: int
    deleted: int
    before: TableDigest
    after: TableDigest


def effect_names(items: Sequence[Item]) -> list[str]:
    """Return the names of the columns of a table of effects, in order."""
    return [
        OPERATION,
        *(BEFORE + item.name for item in items),
        *(AFTER + item.name for item in items),
    ]


def project(effects: Any, items: Sequence[Item]) -> Projected:
    """Return what `effects` are on `items`; updates that change none of these are dropped.

    Args:
        effects: a table of effects on at least these items.
        items: seen, all key items of the dataset among them.
    """
    columns = effects.select(effect_names(items)).combine_chunks()
    operation = columns.column(OPERATION)
    updated = pc.equal(operation, UPDATED)
    if pc.any(updated).as_py():
        same = reduce(pc.and_, (_same(columns, item.name) for item in items))
        columns = columns.filter(pc.invert(pc.and_(updated, same)))
        operation = columns.column(OPERATION)
    deleted = pc.equal(operation, DELETED)
    table = pa.Table.from_arrays(
        [operation, *(_seen(columns, item, deleted) for item in items)],
        [OPERATION, *(item.name for item in items)],
    )
    before, after = TableDigest(), TableDigest()
    added = pc.equal(operation, ADDED)
    before.add(_rows_where(columns, BEFORE, items, pc.invert(added)), items, BEFORE)
    after.add(_rows_where(columns, AFTER, items, pc.invert(deleted)), items, AFTER)
    count_added, count_deleted = pc.sum(added).as_py() or 0, pc.sum(deleted).as_py() or 0
    count_updated = table.num_rows - count_added - count_deleted
    return Projected(table, count_added, count_updated, count_deleted, before, after)


def _same(columns: Any, name: str) -> Any:
    """Tell per row whether an item is the same before and after; no value equals no value."""
    before, after = columns.column(BEFORE + name), columns.column(AFTER + name)
    neither = pc.and_(pc.is_null(before), pc.is_null(after))
    return pc.or_(pc.fill_null(pc.equal(before, after), False), neither)


def _seen(columns: Any, item: Item, deleted: Any) -> Any:
    after = columns.column(AFTER + item.name)
    if not item.key:
        return pc.if_else(deleted, pa.scalar(None, pa.utf8()), after)
    return pc.if_else(deleted, columns.column(BEFORE + item.name), after)


def _rows_where(columns: Any, prefix: str, items: Sequence[Item], rows: Any) -> Any:
    names = [prefix + item.name for item in items]
    return columns.select(names).filter(rows)
