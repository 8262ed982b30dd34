"""Masks: what of an item's value a grant shows. Transfer applies them."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.entry import Entry, Item


class Mask(StrEnum):
    """Ways to show less of a value. A masked item is a text item for the consumer."""

    NAME = "name"
    ID_NUMBER = "id_number"
    MOBILE = "mobile"
    YEAR = "year"
    PSEUDONYM = "pseudonym"


Masks = Mapping[str, Mask]
"""Mask by item; an item that is not named is shown as it is."""

_TYPES: Final[Mapping[Mask, frozenset[str]]] = {
    Mask.NAME: frozenset({"text"}),
    Mask.ID_NUMBER: frozenset({"text"}),
    Mask.MOBILE: frozenset({"text"}),
    Mask.YEAR: frozenset({"date"}),
    Mask.PSEUDONYM: frozenset({"text", "integer"}),
}
"""Types of items that each mask is for."""


class MaskInvalid(DomainError):
    """The mask does not fit its item, or the item is not among those that are covered."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "mask-invalid"


def require_masks(
    masks: Masks, items: tuple[str, ...], entry: Entry, *, stated: Masks | None = None
) -> None:
    """Check that each mask is on one of `items` and fits it; pointers are below `/masks`.

    Args:
        stated: earlier masks. They may be repeated though the entry has changed.

    Raises:
        MaskInvalid: it is not, or it does not.
    """
    for name, mask in masks.items():
        if name in items and stated is not None and stated.get(name) is mask:
            continue
        item = entry.item(name)
        if item is None or name not in items:
            raise MaskInvalid(f"{name} is not among the items.", pointer=f"/masks/{name}")
        _require_mask(mask, item)


def _require_mask(mask: Mask, item: Item) -> None:
    if item.type not in _TYPES[mask]:
        raise MaskInvalid(
            f"The mask {mask} is for items of type {', '.join(sorted(_TYPES[mask]))}; "
            f"{item.name} is of type {item.type}.",
            pointer=f"/masks/{item.name}",
        )
    if item.key and mask is not Mask.PSEUDONYM:
        # Two rows whose masked keys are equal could not be told apart.
        raise MaskInvalid(
            f"{item.name} is part of the key, which only a pseudonym keeps distinct.",
            pointer=f"/masks/{item.name}",
        )
