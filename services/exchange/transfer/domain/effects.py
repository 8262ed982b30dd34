"""Effects of a batch, and what of them is seen: fewer items, fewer rows, less of a value.

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
from services.exchange.transfer.domain.views import Sight

OPERATION: Final = "_op"
BEFORE: Final = "before."
AFTER: Final = "after."
ADDED: Final = "added"
UPDATED: Final = "updated"
DELETED: Final = "deleted"


@dataclass(frozen=True)
class Projected:
    """Effects as they are seen.

    Attributes:
        table: `_op` and the items as seen; of deleted rows only the key items have values.
        added, updated, deleted: rows of each operation.
        before: digest of the old rows as seen: of what was updated or deleted.
        after: digest of the new rows as seen: of what was added or updated.
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


def project(effects: Any, sight: Sight) -> Projected:
    """Return what `effects` are through `sight`; what changes nothing that is seen is dropped.

    A row that leaves the filter is deleted, one that enters it is added.

    Args:
        effects: a table of effects on all items that are seen or filtered by, all key items of
            the dataset among the seen ones.
    """
    columns = _needed(effects, sight)
    if sight.tests != ():
        columns = _covered(columns, sight)
    operation = columns.column(OPERATION)
    old, new = sight.show(columns, BEFORE), sight.show(columns, AFTER)
    updated = pc.equal(operation, UPDATED)
    if pc.any(updated).as_py():
        same = reduce(pc.and_, (_same(old.column(i.name), new.column(i.name)) for i in sight.seen))
        left = pc.invert(pc.and_(updated, same))
        operation, old, new = operation.filter(left), old.filter(left), new.filter(left)
    deleted, added = pc.equal(operation, DELETED), pc.equal(operation, ADDED)
    table = pa.Table.from_arrays(
        [operation, *(_seen(item, old, new, deleted) for item in sight.seen)],
        [OPERATION, *(item.name for item in sight.seen)],
    )
    if sight.hides_key:  # the order of the effects tells that of the values that are masked
        table = table.sort_by([(item.name, "ascending") for item in sight.seen if item.key])
    before, after = TableDigest(), TableDigest()
    before.add(old.filter(pc.invert(added)), sight.seen)
    after.add(new.filter(pc.invert(deleted)), sight.seen)
    count_added, count_deleted = pc.sum(added).as_py() or 0, pc.sum(deleted).as_py() or 0
    count_updated = table.num_rows - count_added - count_deleted
    return Projected(table, count_added, count_updated, count_deleted, before, after)


def _needed(effects: Any, sight: Sight) -> Any:
    tested = [test.item for test in sight.tests or ()]
    items = {item.name: item for item in (*sight.items, *tested)}
    return effects.select(effect_names(list(items.values()))).combine_chunks()


def _covered(columns: Any, sight: Sight) -> Any:
    """Return the effects on covered rows, by whether each was and is one."""
    operation = columns.column(OPERATION)
    was = pc.and_(pc.not_equal(operation, ADDED), sight.covers(columns, BEFORE))
    now = pc.and_(pc.not_equal(operation, DELETED), sight.covers(columns, AFTER))
    seen = pc.if_else(was, pc.if_else(now, UPDATED, DELETED), ADDED)
    return columns.set_column(0, OPERATION, seen).filter(pc.or_(was, now))


def _same(before: Any, after: Any) -> Any:
    """Tell per row whether a value is the same before and after; no value equals no value."""
    neither = pc.and_(pc.is_null(before), pc.is_null(after))
    return pc.or_(pc.fill_null(pc.equal(before, after), False), neither)


def _seen(item: Item, old: Any, new: Any, deleted: Any) -> Any:
    gone = old.column(item.name) if item.key else pa.scalar(None, pa.utf8())
    return pc.if_else(deleted, gone, new.column(item.name))
