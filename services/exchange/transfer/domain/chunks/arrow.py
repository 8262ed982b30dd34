"""Chunks as Arrow IPC streams, with columns of the types that items take."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pyarrow as pa

from services.exchange.transfer.domain.chunks import texts
from services.exchange.transfer.domain.chunks.blocks import (
    Block,
    Column,
    block_rows,
    known_names,
    repeated_name,
    require_columns,
    require_rows,
    require_unpacked,
)
from services.exchange.transfer.domain.chunks.messages import extent_of
from services.exchange.transfer.domain.entries import Item, Layout
from services.exchange.transfer.domain.pointers import pointer_of
from services.exchange.transfer.domain.refusals import ArrowMalformed, SchemaMismatch
from services.exchange.transfer.domain.values import ItemType

_MANY: Final = 64
"""Batches that are better copied together than checked one by one."""

_FAULTS: Final = (
    pa.ArrowException,
    ArithmeticError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
)
"""All that Arrow's bindings raise about bytes that are not what they claim to be."""

_NATIVE: Final[dict[ItemType, tuple[str, Callable[[Any], bool], Callable[[Any], Column]]]] = {
    ItemType.INTEGER: ("an integer type", pa.types.is_integer, texts.from_integers),
    ItemType.DECIMAL: (
        "decimal128 or decimal256",
        lambda kind: pa.types.is_decimal(kind) and abs(kind.scale) <= texts.MAX_SCALE,
        texts.from_decimals,
    ),
    ItemType.BOOLEAN: ("bool", pa.types.is_boolean, texts.from_booleans),
    ItemType.DATE: ("date32", pa.types.is_date32, texts.from_dates),
    ItemType.DATETIME: (
        "timestamp with a time zone",
        lambda kind: pa.types.is_timestamp(kind) and kind.tz is not None,
        texts.from_timestamps,
    ),
}
"""Per type the Arrow types that hold its values as such: their name, the test, the reader."""

_WRITTEN: Final = frozenset({ItemType.TEXT, ItemType.DECIMAL, ItemType.DATE, ItemType.DATETIME})
"""Types whose values may also be written as text, as in JSON."""


def read(body: Any, layout: Layout, *, changes: bool) -> Iterator[Block]:
    """Yield the rows of `body`, a `pyarrow.Buffer`.

    Raises:
        ArrowMalformed: it is not one whole, consistent stream.
        ColumnUnknown, ColumnMissing, SchemaMismatch: with a pointer to the column.
        ChunkTooLarge: too many rows, or bytes when unpacked.
    """
    readers = _readers(body, layout, changes=changes)
    extent = extent_of(body)
    require_rows(extent.rows)
    require_unpacked(extent.unpacked)
    try:
        with pa.ipc.open_stream(body) as stream:
            table = stream.read_all()
        table.validate(full=True)
    except _FAULTS as error:
        raise ArrowMalformed("The Arrow stream is damaged: its buffers do not fit.") from error
    if table.column(0).num_chunks > _MANY:
        table = table.combine_chunks()
    for batch in table.to_batches(max_chunksize=block_rows(layout)):
        columns = {name: take(batch.column(name)) for name, take in readers.items()}
        yield Block(batch.num_rows, columns)


def _readers(body: Any, layout: Layout, *, changes: bool) -> dict[str, Callable[[Any], Column]]:
    """Return per column how its values become texts."""
    try:
        with pa.ipc.open_stream(body) as stream:
            fields = [(field.name, field.type) for field in stream.schema]
    except _FAULTS as error:
        raise ArrowMalformed(
            "An Arrow IPC stream is expected, beginning with its schema."
        ) from error
    names = [name for name, _ in fields]
    repeated = repeated_name(names)
    if repeated is not None:
        raise SchemaMismatch(
            f"The column {repeated[:80]!r} occurs twice.", pointer=pointer_of(repeated[:80])
        )
    require_columns(names, layout, "", changes=changes)
    items = known_names(layout, changes=changes)
    return {name: _reader(name, kind, items[name]) for name, kind in fields}


def _reader(name: str, kind: Any, item: Item | None) -> Callable[[Any], Column]:
    item_type = ItemType.TEXT if item is None else item.type
    expected = []
    if item_type in _NATIVE:
        title, fits, take = _NATIVE[item_type]
        if fits(kind):
            return take
        expected.append(title)
    if item_type in _WRITTEN:
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return _written(item_type)
        expected.append("utf8 or large_utf8")
    raise SchemaMismatch(
        f"The column {name} has the Arrow type {str(kind)[:80]}; expected is "
        f"{' or '.join(expected)}.",
        pointer=pointer_of(name),
    )


def _written(item_type: ItemType) -> Callable[[Any], Column]:
    take = texts.FROM_JSON[item_type]
    return lambda column: take(column.cast(pa.utf8()))
