"""What a grant lets be seen of a row, worked out value by value."""

import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from services.exchange.transfer.domain import (
    Condition,
    ConsumerKeys,
    Grant,
    Item,
    ItemType,
    Layout,
    Mask,
)

Row = Mapping[str, str | None]

KEYS = ConsumerKeys(bytes(range(32)))
AGENCY = "health"


@dataclass(frozen=True)
class Terms:
    """What of the entry a grant covers."""

    items: frozenset[str] = frozenset({"code", "name", "level", "area"})
    conditions: tuple[Condition, ...] = ()
    masks: Mapping[str, Mask] = field(default_factory=dict)

    def of(self, items: tuple[str, ...]) -> tuple[object, ...]:
        """Return what tells whether these items look the same under other terms."""
        kept = tuple(name for name in items if name in self.items)
        return kept, self.conditions, tuple((name, self.masks.get(name)) for name in kept)

    def grant(self, **members: Any) -> Grant:
        """Return a grant with these terms."""
        return Grant(
            **members,
            modes=frozenset({"batch"}),
            purposes=frozenset({"public-health"}),
            valid_from=None,
            valid_until=None,
            state="active",
            consumer=AGENCY,
            items=self.items,
            row_filter=self.conditions,
            masks=self.masks,
        )

    def see(self, items: tuple[str, ...], row: Row) -> Row | None:
        """Return the row as it is seen, or None."""
        if not all(_meets(condition, row.get(condition.item)) for condition in self.conditions):
            return None
        return {name: _shown(self.masks.get(name), row.get(name)) for name in items}

    def columns(self, items: tuple[str, ...], layout: Layout) -> list[Item]:
        """Return the items that rows of `layout` have, with the types of what is seen."""
        found = [layout.by_name[name] for name in items if name in layout.by_name]
        return [replace(i, type=ItemType.TEXT) if i.name in self.masks else i for i in found]


Step = Condition | tuple[str, Mask] | str
"""A condition more, an item masked, an item less."""

STEPS: list[Step] = [
    Condition("name", ("", "杭州市")),
    Condition("code", ('4"\n,', "1", "3")),
    Condition("level", None, "1", None),
    Condition("area", None, "-0.25", "10"),
    ("name", Mask.NAME),
    ("code", Mask.PSEUDONYM),
    ("level", Mask.PSEUDONYM),
    "level",
    "area",
]


def narrowed(terms: Terms, step: Step) -> Terms:
    """Return terms that cover less, or the same when that step was taken before."""
    if isinstance(step, str):
        return replace(terms, items=terms.items - {step})
    if isinstance(step, tuple):
        return replace(terms, masks={**terms.masks, step[0]: step[1]})
    others = {condition.item: condition for condition in terms.conditions} | {step.item: step}
    return replace(terms, conditions=tuple(others[name] for name in sorted(others)))


def _meets(condition: Condition, value: str | None) -> bool:
    if value is None:
        return False
    if condition.values is not None:
        return value in condition.values
    at = Decimal(value)
    return (condition.low is None or Decimal(condition.low) <= at) and (
        condition.high is None or at < Decimal(condition.high)
    )


def _shown(by: Mask | None, value: str | None) -> str | None:
    if by is None or value is None:
        return value
    if by is Mask.NAME:
        return value[0] + "*" * (len(value) - 1) if len(value) > 1 else "*" * len(value)
    assert by is Mask.PSEUDONYM
    hashed = hmac.digest(KEYS.pseudonyms(AGENCY), value.encode(), "sha256")
    return b32encode(hashed).decode().lower()[:26]
