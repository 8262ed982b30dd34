"""Terms: what a request asks for and a grant covers; an answer or a narrowing only takes away."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.entry import Entry, Mode
from services.exchange.sharing.domain.filters import (
    ItemsUnknown,
    RowFilter,
    is_within,
    require_filter,
)
from services.exchange.sharing.domain.masks import Masks, require_masks


class RequestInvalid(DomainError):
    """The members of the request contradict each other."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "request-invalid"


class ModeNotOffered(DomainError):
    """The owner does not offer the resource in this mode."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "mode-not-offered"


class OperationsUnknown(DomainError):
    """The owner's service has no operation of this name."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "operations-unknown"


class TermsNotNarrower(DomainError):
    """An answer or a narrowing covers more than what it answers or narrows, or just the same."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "terms-not-narrower"


@dataclass(frozen=True, slots=True)
class Terms:
    """What is covered, and nothing else.

    Attributes:
        modes: ways of receiving. For `call`, which stands alone, operations are covered, and
            otherwise items, with the rows that meet the filter and the masks that are on them.
    """

    modes: tuple[str, ...]
    items: tuple[str, ...]
    operations: tuple[str, ...]
    purposes: tuple[str, ...]
    row_filter: RowFilter = ()
    masks: Masks = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What is to be left of terms; None leaves a member as it is."""

    items: tuple[str, ...] | None = None
    operations: tuple[str, ...] | None = None
    purposes: tuple[str, ...] | None = None
    row_filter: RowFilter | None = None
    masks: Masks | None = None

    @property
    def is_empty(self) -> bool:
        """Tell whether it leaves everything as it is."""
        return self == Narrowing()


def require_consistent(terms: Terms) -> None:
    """Check terms by themselves.

    Raises:
        RequestInvalid: something is named twice, or what does not belong to the modes.
    """
    for name in ("modes", "items", "operations", "purposes"):
        _require_distinct(getattr(terms, name), f"/{name}")
    if Mode.CALL in terms.modes:
        _require_call(terms)
    elif not terms.items:
        raise RequestInvalid("Name at least one item.", pointer="/items")
    elif terms.operations:
        raise RequestInvalid("Operations belong to the mode call.", pointer="/operations")


def require_offered(terms: Terms, entry: Entry) -> None:
    """Check that the entry has what the terms name.

    Raises:
        ItemsUnknown, OperationsUnknown, ModeNotOffered: more is named than there is.
        ItemNotFilterable, FilterInvalid, MaskInvalid: of the row filter and the masks.
    """
    names = [item.name for item in entry.items]
    _require_known(terms.items, names, "/items", ItemsUnknown, "The entry has no item {}.")
    _require_known(
        terms.modes, entry.modes, "/modes", ModeNotOffered, "The owner does not offer the mode {}."
    )
    _require_known(
        terms.operations,
        entry.operations,
        "/operations",
        OperationsUnknown,
        "The owner's service has no operation {}.",
    )
    require_filter(terms.row_filter, entry)
    require_masks(terms.masks, terms.items, entry)


def narrowed(terms: Terms, by: Narrowing, kinds: Mapping[str, str]) -> Terms:
    """Return what `by` leaves of `terms`.

    Masks of items that are no longer covered go with them.

    Args:
        kinds: type of each item of the entry.

    Raises:
        TermsNotNarrower: `by` covers something that `terms` do not, or leaves nothing.
    """
    items = _fewer(terms.items, by.items, "items")
    masks: Masks = {name: mask for name, mask in terms.masks.items() if name in items}
    if by.masks is not None:
        for name, mask in masks.items():
            if by.masks.get(name) is not mask:
                raise TermsNotNarrower(
                    f"{name} is masked by {mask} already and stays so.", pointer="/masks"
                )
        masks = dict(by.masks)
    row_filter = terms.row_filter
    if by.row_filter is not None:
        if not is_within(by.row_filter, row_filter, kinds):
            raise TermsNotNarrower(
                "The row filter covers rows that were not covered before.", pointer="/row_filter"
            )
        row_filter = by.row_filter
    return replace(
        terms,
        items=items,
        operations=_fewer(terms.operations, by.operations, "operations"),
        purposes=_fewer(terms.purposes, by.purposes, "purposes"),
        row_filter=row_filter,
        masks=masks,
    )


def kinds_of(entry: Entry | None) -> Mapping[str, str]:
    """Return the type of each item."""
    return {} if entry is None else {item.name: item.type for item in entry.items}


def _require_call(terms: Terms) -> None:
    if terms.modes != (Mode.CALL,):
        raise RequestInvalid("The mode call stands alone.", pointer="/modes")
    for name in ("items", "row_filter", "masks"):
        if getattr(terms, name):
            raise RequestInvalid(
                "The owner's service answers for itself; name operations only.", pointer=f"/{name}"
            )
    if not terms.operations:
        raise RequestInvalid("Name at least one operation.", pointer="/operations")


def _require_distinct(names: Sequence[str], pointer: str) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise RequestInvalid(f"{name} is named twice.", pointer=f"{pointer}/{index}")


def _require_known(
    named: Sequence[str],
    known: Sequence[str],
    pointer: str,
    error: type[DomainError],
    text: str,
) -> None:
    for index, name in enumerate(named):
        if name not in known:
            raise error(text.format(name), pointer=f"{pointer}/{index}")


def _fewer(had: tuple[str, ...], left: tuple[str, ...] | None, name: str) -> tuple[str, ...]:
    if left is None:
        return had
    for index, value in enumerate(left):
        if value not in had or value in left[:index]:
            raise TermsNotNarrower(
                f"{value} was not covered before, or is named twice.", pointer=f"/{name}/{index}"
            )
    if had and not left:
        raise TermsNotNarrower("Nothing would be left.", pointer=f"/{name}")
    return left
