"""Pure rules of transfer: items, values, rows, what a grant lets a query see."""

from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.digests import TableDigest, canonical_rows
from services.exchange.transfer.domain.effects import Projected, effect_names, project
from services.exchange.transfer.domain.enforcement import (
    require_entry,
    require_grant,
    require_owner,
)
from services.exchange.transfer.domain.entries import (
    PUBLISHED,
    WITHDRAWN,
    Copies,
    Entry,
    Grant,
    Item,
    Layout,
)
from services.exchange.transfer.domain.queries import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Plan,
    Position,
    Query,
    plan,
    position_shape,
)
from services.exchange.transfer.domain.rows import (
    MAX_ERRORS,
    RowDigest,
    RowForm,
    canonical_row,
    pointer_of,
    row_pointer,
)
from services.exchange.transfer.domain.tables import (
    BATCH_ROWS,
    CopyReader,
    from_stream,
    to_copy,
    to_stream,
)
from services.exchange.transfer.domain.values import ItemType, ValueRefused

__all__ = [
    "BATCH_ROWS",
    "DEFAULT_LIMIT",
    "MAX_ERRORS",
    "MAX_LIMIT",
    "PUBLISHED",
    "WITHDRAWN",
    "Copies",
    "CopyReader",
    "Entry",
    "Grant",
    "Item",
    "ItemType",
    "Layout",
    "Plan",
    "Position",
    "Projected",
    "Query",
    "RowDigest",
    "RowForm",
    "TableDigest",
    "ValueRefused",
    "canonical_row",
    "canonical_rows",
    "effect_names",
    "from_stream",
    "plan",
    "pointer_of",
    "position_shape",
    "project",
    "refusals",
    "require_entry",
    "require_grant",
    "require_owner",
    "row_pointer",
    "to_copy",
    "to_stream",
]
