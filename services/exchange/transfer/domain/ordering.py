"""The order of values, over whole columns of their canonical texts."""

from typing import Any, Final

import pyarrow as pa

from services.exchange.transfer.domain.values import ItemType

ORDERED: Final = frozenset({ItemType.INTEGER, ItemType.DECIMAL, ItemType.DATE, ItemType.DATETIME})
"""Types whose values have a least and a greatest."""


def ordered(kind: ItemType, texts: Any) -> Any:
    """Return canonical texts, or one, as what has the order of their values.

    Days and instants have it already: all their texts are equally long.
    """
    if kind is ItemType.INTEGER:
        return texts.cast(pa.int64())
    if kind is ItemType.DECIMAL:  # 38 digits before the point or behind it
        return texts.cast(pa.decimal256(76, 38))
    return texts
