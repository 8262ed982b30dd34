"""Names and types of the tables that hold rows: quoted, never taken from a caller as they are.

A batch with other items makes a new table under a name never used before and drops the one it
replaces. A reader that knows only the old name therefore fails to find it, and never sees half of
either.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from kit.ids import uuid7
from services.exchange.transfer.domain import Item, ItemType, Layout

SCHEMA: Final = "rows"

TYPES: Final[Mapping[ItemType, str]] = {
    # Bytes order text: the order of pages must not depend on a locale.
    ItemType.TEXT: 'text COLLATE "C"',
    ItemType.INTEGER: "bigint",
    ItemType.DECIMAL: "numeric",
    ItemType.BOOLEAN: "boolean",
    ItemType.DATE: "date",
    ItemType.DATETIME: "timestamptz",
}

READ: Final[Mapping[ItemType, str]] = {
    ItemType.DECIMAL: "trim_scale({})::text",
    ItemType.DATE: "to_char({}, 'YYYY-MM-DD')",
    ItemType.DATETIME: "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')",
}
"""How a column becomes its canonical text; other types are read as they are."""


def new_table() -> str:
    """Return a name that no table had before."""
    return f"d_{UUID(uuid7()).hex}"


def quoted(name: str) -> str:
    """Return `name` as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def column_name(item: Item) -> str:
    """Return the unquoted name of an item's column: `i_` and the item's name.

    The prefix keeps names apart from columns of ours and of PostgreSQL's. Names that PostgreSQL
    would cut off are replaced by their hash.
    """
    name = f"i_{item.name}"
    return name if len(name.encode()) <= 63 else "h_" + sha256(item.name.encode()).hexdigest()[:40]


def column(item: Item) -> str:
    """Return the quoted column of an item."""
    return quoted(column_name(item))


def canonical_text(item: Item, of: str = "") -> str:
    """Return the SQL expression of an item's canonical text (`contracts/rows.md` section 3).

    Args:
        of: alias of the table, or `old` or `new` in RETURNING.
    """
    place = f"{of}.{column(item)}" if of else column(item)
    if item.type is ItemType.BOOLEAN:
        return f"{place}::text"
    return READ.get(item.type, "{}").format(place)


def qualified(table: str) -> str:
    """Return the quoted name of a table of rows."""
    return f"{SCHEMA}.{quoted(table)}"


def to_json(layout: Layout) -> list[dict[str, Any]]:
    """Return a layout as it is kept; rules that an item lacks are left out."""
    return [
        {
            "name": item.name,
            "type": item.type.value,
            "required": item.required,
            "key": item.key,
            "filterable": item.filterable,
        }
        | _kept_rules(item)
        for item in layout.items
    ]


def from_json(items: list[dict[str, Any]]) -> Layout:
    """Return a kept layout."""
    return Layout(tuple(map(_item, items)))


def _kept_rules(item: Item) -> dict[str, Any]:
    rules = {
        "max_length": item.max_length,
        "pattern": item.pattern,
        "codes": None if item.codes is None else list(item.codes),
        "minimum": item.minimum,
        "maximum": item.maximum,
    }
    return {name: rule for name, rule in rules.items() if rule is not None}


def _item(kept: dict[str, Any]) -> Item:
    codes = kept.get("codes")
    return Item(
        kept["name"],
        ItemType(kept["type"]),
        kept["required"],
        kept["key"],
        kept["filterable"],
        kept.get("max_length"),
        kept.get("pattern"),
        None if codes is None else tuple(codes),
        kept.get("minimum"),
        kept.get("maximum"),
    )
