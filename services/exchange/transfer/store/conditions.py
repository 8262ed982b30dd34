"""SQL of what a grant lets be seen: which rows, and in which order."""

from collections.abc import Sequence
from typing import Any

from services.exchange.transfer.domain import Item, ItemType
from services.exchange.transfer.domain.filters import Test
from services.exchange.transfer.store.tables import TYPES, canonical_text, column


def value(number: int, kind: ItemType) -> str:
    """Return parameter `number`, a canonical text, as a value of `kind`."""
    return f"${number}::text" if kind is ItemType.TEXT else f"${number}::text::{TYPES[kind]}"


def conditions(tests: Sequence[Test], first: int, of: str = "") -> list[str]:
    """Return the SQL of tests, to be joined by AND; indexes serve it.

    Args:
        first: number of the first parameter; the others follow, as `arguments` has them.
        of: alias of the table.
    """
    found = []
    for test in tests:
        place = f"{of}.{column(test.item)}" if of else column(test.item)
        kind = test.item.type
        if test.values is not None:
            array = f"${first}::text[]"
            typed = array if kind is ItemType.TEXT else f"{array}::{TYPES[kind]}[]"
            found.append(f"{place} = ANY({typed})")
            first += 1
            continue
        for end, operator in ((test.low, ">="), (test.high, "<")):
            if end is not None:
                found.append(f"{place} {operator} {value(first, kind)}")
                first += 1
    return found


def arguments(tests: Sequence[Test]) -> list[Any]:
    """Return the parameters of `conditions`: texts, and lists of them."""
    found: list[Any] = []
    for test in tests:
        ends = [end for end in (test.low, test.high) if end is not None]
        found += ends if test.values is None else [list(test.values)]
    return found


def hidden(items: Sequence[Item], outer: str, inner: str, of: str = "") -> str:
    """Return the SQL of the HMAC-SHA-256 of items: an order that tells nothing of their values.

    Args:
        items: their hashes are what is hashed, one after the other.
        outer, inner: SQL of the two blocks of the key, `bytea`.
        of: alias of the table.
    """
    hashes = (f"sha256(convert_to({canonical_text(item, of)}::text, 'UTF8'))" for item in items)
    return f"sha256({outer} || sha256({inner} || {' || '.join(hashes)}))"
