"""Pure rules of transfer: items, values, rows, what a grant lets a query see."""

from services.exchange.transfer.domain import refusals
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
from services.exchange.transfer.domain.values import ItemType, ValueRefused

__all__ = [
    "DEFAULT_LIMIT",
    "MAX_ERRORS",
    "MAX_LIMIT",
    "PUBLISHED",
    "WITHDRAWN",
    "Copies",
    "Entry",
    "Grant",
    "Item",
    "ItemType",
    "Layout",
    "Plan",
    "Position",
    "Query",
    "RowDigest",
    "RowForm",
    "ValueRefused",
    "canonical_row",
    "plan",
    "pointer_of",
    "position_shape",
    "refusals",
    "require_entry",
    "require_grant",
    "require_owner",
    "row_pointer",
]
