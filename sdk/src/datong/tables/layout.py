"""Items of a table: their types, and how canonical text becomes a column and is read back.

Canonical text is that of the platform's `contracts/rows.md`, section 3.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from datong.errors import AnswerMalformed
from datong.operations.operation import Json

OPERATION = "_op"
"""First column of every segment: `added`, `updated` or `deleted`."""
TYPES = ("text", "integer", "decimal", "boolean", "date", "datetime")


@dataclass(frozen=True)
class Item:
    """One item of a table."""

    name: str
    type: str
    key: bool = False


def read_items(items: Iterable[Json]) -> tuple[Item, ...]:
    """Read the items of a subscription.

    Raises:
        AnswerMalformed: no items, an unknown type, or no key.
    """
    try:
        found = tuple(
            Item(str(item["name"]), str(item["type"]), bool(item["key"])) for item in items
        )
    except (KeyError, TypeError) as error:
        raise AnswerMalformed("The subscription holds no items.") from error
    unknown = sorted({item.type for item in found} - set(TYPES))
    if unknown:
        raise AnswerMalformed(
            f"This version of datong does not know items of type {', '.join(unknown)}.",
            next_step="Install a newer version.",
        )
    if not any(item.key for item in found):
        raise AnswerMalformed("The subscription holds no key.")
    return found


def items_text(items: Sequence[Item]) -> str:
    """Items as they are kept beside the cursor."""
    return json.dumps([asdict(item) for item in items], ensure_ascii=False)


def items_of_text(text: str) -> tuple[Item, ...]:
    """Items as they were kept beside the cursor."""
    return read_items(json.loads(text))


def keys(items: Sequence[Item]) -> list[str]:
    """Names of the key's items."""
    return [item.name for item in items if item.key]


def quoted(name: str) -> str:
    """An identifier of SQL, whatever its letters."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    """Quoted identifiers with commas, each after `prefix` such as `s.`."""
    return ", ".join(prefix + quoted(name) for name in names)


def matched(names: Iterable[str], left: str, right: str) -> str:
    """Equality of columns of two tables, such as `t."code" = s."code"`."""
    return " AND ".join(f"{left}.{quoted(name)} = {right}.{quoted(name)}" for name in names)
