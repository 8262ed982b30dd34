"""How terms, laws and sides lie in rows of requests and grants alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, true
from sqlmodel import col, or_

from services.exchange.sharing.domain import Actor, Law, Mask, Terms
from services.exchange.sharing.domain.filters import as_data, from_data
from services.exchange.sharing.models import GrantRow, RequestRow


@dataclass(frozen=True, slots=True)
class Filters:
    """What a list of requests or grants is narrowed to; None narrows nothing."""

    resource: str | None = None
    state: str | None = None


def columns_of(terms: Terms, statutory: Law | None) -> dict[str, Any]:
    """Return the columns that terms, and the law that names the recipient, fill."""
    return {
        "items": list(terms.items),
        "modes": list(terms.modes),
        "operations": list(terms.operations),
        "purposes": list(terms.purposes),
        "row_filter": as_data(terms.row_filter),
        "masks": masks_data(terms),
        "statutory_title": None if statutory is None else statutory.title,
        "statutory_article": None if statutory is None else statutory.article,
    }


def terms_of(row: RequestRow | GrantRow) -> Terms:
    """Return the terms in a row."""
    return Terms(
        modes=tuple(row.modes),
        items=tuple(row.items),
        operations=tuple(row.operations),
        purposes=tuple(row.purposes),
        row_filter=from_data(row.row_filter),
        masks=masks_of(row.masks),
    )


def masks_data(terms: Terms) -> dict[str, str]:
    """Return masks as they are kept: mask by item."""
    return {name: mask.value for name, mask in terms.masks.items()}


def masks_of(data: Mapping[str, str]) -> dict[str, Mask]:
    """Return what `masks_data` was given."""
    return {name: Mask(mask) for name, mask in data.items()}


def law_of(title: str | None, article: str | None) -> Law | None:
    """Return the law in two columns, or None."""
    return None if title is None else Law(title, article or "")


def of_either_side(row: type[RequestRow] | type[GrantRow], actor: Actor) -> ColumnElement[bool]:
    """Return the condition that the actor's agency is one of the two; always for auditors."""
    if actor.sees_all:
        return true()
    return or_(col(row.consumer) == actor.agency, col(row.owner) == actor.agency)
