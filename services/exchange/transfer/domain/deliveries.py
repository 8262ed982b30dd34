"""Subscriptions, deliveries and receipts: who receives which items, and what both sides count."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from kit.errors import FactValue
from services.exchange.transfer.domain import refusals
from services.exchange.transfer.domain.entries import Entry, Grant, Layout
from services.exchange.transfer.domain.masks import Mask
from services.exchange.transfer.domain.values import MAX_INTEGER
from services.exchange.transfer.domain.views import View, view_of

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_RANGE: Final = re.compile(r"bytes=([0-9]{0,19})-([0-9]{0,19})", re.ASCII)


class Start(StrEnum):
    """What a subscription begins with: the whole table, or the next change."""

    BEGINNING = "beginning"
    NOW = "now"


class SubscriptionState(StrEnum):
    """An ended subscription receives nothing more, and never begins again."""

    ACTIVE = "active"
    ENDED = "ended"


class DeliveryKind(StrEnum):
    """The whole table at a version, or what one batch changed."""

    TABLE = "table"
    CHANGES = "changes"


class ReceiptState(StrEnum):
    """Whether both sides counted the same."""

    AGREED = "agreed"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Subscription:
    """One system that receives the items of a resource under one grant.

    Attributes:
        system, agency: of the consumer, plain ids.
        projection, view: what is delivered.
        grant_version: of the grant whose terms the view is.
        version: of the dataset, handed out last; None while the whole table is being prepared.
        sequence: of its last delivery; 0 before the first.
    """

    id: str
    resource: str
    entry: str
    grant: str
    system: str
    agency: str
    grant_version: int
    projection: str
    view: View
    starts: Start
    state: SubscriptionState
    version: int | None
    sequence: int
    created_at: datetime

    @property
    def items(self) -> tuple[str, ...]:
        """Return the items that are delivered, in the order of their columns."""
        return self.view.items

    @property
    def active(self) -> bool:
        """Tell whether deliveries are still made for it."""
        return self.state is SubscriptionState.ACTIVE


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of a delivery, as it is stored.

    Attributes:
        digest: SHA-256 of its bytes in hex, which is also the name of its object.
    """

    number: int
    rows: int
    bytes: int
    digest: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What one side counted of one delivery.

    Attributes:
        added, updated, deleted: rows of each operation.
        rows, digest: by `contracts/rows.md`, of the whole table for a subscription from the
            beginning, of the delivered rows for one from now.
    """

    added: int
    updated: int
    deleted: int
    rows: int
    digest: str

    def as_json(self) -> dict[str, str | int]:
        """Return the five members by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ProjectedVersion:
    """What the platform knows of one projected version.

    Attributes:
        rows, digest: of the whole projected table then; None when it was never read.
        delivered_digest: of the added and updated rows alone.
    """

    version: int
    kind: DeliveryKind
    batch: str | None
    added: int
    updated: int
    deleted: int
    rows: int | None
    digest: str | None
    delivered_digest: str


@dataclass(frozen=True)
class Delivery:
    """What one subscription is handed of one projected version, and its receipt, if any.

    Attributes:
        view: through which it was made.
    """

    id: str
    sequence: int
    kind: DeliveryKind
    batch: str | None
    version: int
    created_at: datetime
    segments: tuple[Segment, ...]
    receipt: ReceiptState | None
    view: View


@dataclass(frozen=True)
class Receipt:
    """Both sides' figures of one delivery."""

    delivery: str
    state: ReceiptState
    platform: Figures
    consumer: Figures
    received_at: datetime


def choose_items(asked: Sequence[str] | None, entry: Entry, grant: Grant) -> tuple[str, ...]:
    """Return the items that a subscription delivers, in the order of the entry.

    Args:
        asked: names, or None for all that is granted.

    Raises:
        EntryWithoutKey, ItemUnknown, ItemsNotGranted, KeyNotGranted: as their names say.
    """
    layout = entry.layout
    if not layout.key:
        raise refusals.EntryWithoutKey(
            f"The entry of the resource {entry.resource} has no key: its rows cannot be followed.",
            facts={"resource": entry.resource, "entry": entry.id},
        )
    if asked is not None:
        _require_known(asked, entry)
        _require_granted(asked, grant)
    chosen = [
        item.name
        for item in layout.items
        if (item.name in grant.items if asked is None else item.name in asked)
    ]
    missing = lost_key(view_of(chosen, grant), layout)
    if missing:
        raise refusals.KeyNotGranted(
            f"Rows are told apart by {', '.join(i.name for i in layout.key)}; "
            f"{', '.join(missing)} is not among the items, or masked so that rows look alike.",
            pointer=None if asked is None else "/items",
            facts={"key": [item.name for item in layout.key], "missing": missing},
        )
    return tuple(chosen)


def is_covered(view: View, grant: Grant) -> bool:
    """Tell whether the grant, as it is now, covers what was delivered through `view`."""
    return grant.items.issuperset(view.items) and view == view_of(view.items, grant)


def require_covered(subscription: str, view: View, grant: Grant) -> None:
    """Check that the grant, as it is now, still covers what was delivered through `view`.

    Raises:
        ItemsNotGranted, TermsChanged: the grant was narrowed, in its items or otherwise.
    """
    if is_covered(view, grant):
        return
    facts: dict[str, FactValue] = {
        "grant": grant.id,
        "grant_version": grant.version,
        "subscription": subscription,
    }
    refused = [name for name in view.items if name not in grant.items]
    if refused:
        raise refusals.ItemsNotGranted(
            f"The grant {grant.id} does not cover {', '.join(refused)} any more; the next delivery "
            f"of the subscription {subscription} brings the table without.",
            facts=facts | {"items": refused, "granted": sorted(grant.items)},
        )
    raise refusals.TermsChanged(
        f"The grant {grant.id} covers other rows, or less of their values, than when this was "
        f"delivered; the next delivery of the subscription {subscription} brings the table as "
        "it is granted now.",
        facts=facts,
    )


def _require_known(names: Sequence[str], entry: Entry) -> None:
    unknown = [name for name in names if name not in entry.layout.by_name]
    if unknown:
        raise refusals.ItemUnknown(
            f"The entry has no item {', '.join(unknown)}.",
            pointer="/items",
            facts={"items": unknown, "known": list(entry.layout.by_name)},
        )


def _require_granted(names: Sequence[str], grant: Grant) -> None:
    refused = [name for name in names if name not in grant.items]
    if refused:
        raise refusals.ItemsNotGranted(
            f"The grant {grant.id} does not cover {', '.join(refused)}.",
            pointer="/items",
            facts={
                "grant": grant.id,
                "grant_version": grant.version,
                "items": refused,
                "granted": sorted(grant.items),
            },
        )


def lost_key(view: View, layout: Layout) -> list[str]:
    """Return items of the key without which no row can be followed.

    They are not seen, or masked by something that makes different values alike.
    """
    masks = dict(view.masks)
    return [
        item.name
        for item in layout.key
        if item.name not in view.items or masks.get(item.name, Mask.PSEUDONYM) is not Mask.PSEUDONYM
    ]


def is_over(grant: Grant | None, now: datetime, *, current: bool = True) -> bool:
    """Tell whether a grant was ended or has expired: nothing more is made under it.

    A suspended one may be resumed, and one that is unknown here may yet arrive: deliveries under
    these are made, and fetched once a call is allowed again.

    Args:
        current: whether this is how the grant is now; otherwise it may have been prolonged.
    """
    if grant is None or not grant.readable:
        return False
    expired = grant.valid_until is not None and now >= grant.valid_until
    return grant.state == "ended" or (current and expired)


def platform_figures(projected: ProjectedVersion, starts: Start) -> Figures:
    """Return what the platform counted of a delivery, for a subscription that began so.

    Raises:
        ValueError: the whole table of this version is not known; a subscription from the
            beginning is only handed versions whose table is.
    """
    delivered = projected.added + projected.updated
    rows, digest = projected.rows, projected.digest
    if starts is Start.NOW:
        rows, digest = delivered, projected.delivered_digest
    if rows is None or digest is None:
        raise ValueError(f"the projected table is not known at version {projected.version}")
    return Figures(projected.added, projected.updated, projected.deleted, rows, digest)


def compare(platform: Figures, consumer: Figures) -> ReceiptState:
    """Return whether both sides counted the same."""
    return ReceiptState.AGREED if platform == consumer else ReceiptState.DIFFERS


def read_figures(value: Any) -> Figures:
    """Return the figures that a JSON body states, read strictly.

    Raises:
        BodyInvalid: with a pointer to each member that is wrong.
    """
    if not isinstance(value, dict):
        raise refusals.BodyInvalid("A JSON object is expected.", pointer="")
    counts = ("added", "updated", "deleted", "rows")
    errors = [
        (f"/{name}", "A count from 0 to 2^53 - 1 is expected, as a JSON number.")
        for name in counts
        if not _is_count(value, name)
    ]
    digest = value.get("digest")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        errors.append(("/digest", "64 lower-case hexadecimal digits are expected."))
    errors += [
        (f"/{_escaped(name)}", "A receipt has no such member.")
        for name in value
        if name not in (*counts, "digest")
    ]
    if errors:
        raise refusals.BodyInvalid(f"{len(errors)} members are not valid.", errors=errors[:50])
    return Figures(**value)


def _is_count(body: Mapping[str, Any], name: str) -> bool:
    # bool is a subclass of int, so the type is compared and not tested.
    return type(body.get(name)) is int and 0 <= body[name] <= MAX_INTEGER


def _escaped(name: str) -> str:
    return name[:80].replace("~", "~0").replace("/", "~1")


def byte_range(
    header: str | None, if_range: str | None, etag: str, size: int
) -> tuple[int, int] | None:
    """Return first and last byte (inclusive) of the one range asked for, or None for the whole.

    A header that is no range of bytes, or names several, is passed over (RFC 9110 section 14.2).

    Args:
        if_range: `If-Range`; with any other ETag than `etag` the whole is answered.
        size: of the whole, in bytes, above 0.

    Raises:
        RangeNotSatisfiable: no byte of it exists.
    """
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        length = int(last)
        if length:
            return max(0, size - length), size - 1
    elif last and int(last) < int(first):
        return None
    elif int(first) < size:
        return int(first), min(int(last) if last else size, size - 1)
    raise refusals.RangeNotSatisfiable(
        f"The segment has {size} bytes.", facts={"bytes": size, "range": (header or "")[:200]}
    )
