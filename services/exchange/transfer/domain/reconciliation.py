"""Reconciliation: the figures of all sides, side by side, per batch and per day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final

from services.exchange.transfer.domain.deliveries import DeliveryKind, Figures

ZONE: Final = "Asia/Shanghai"
"""Where days begin and end."""
MAX_DAYS: Final = 366


class ReconciliationState(StrEnum):
    """Of a delivery: its receipt's, or none yet. Of a batch: that of its worst delivery."""

    PENDING = "pending"
    AGREED = "agreed"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Whose figures are shown: all of a batch to its owner, a consumer's own deliveries to it.

    Figures of the whole table are the owner's. A consumer could echo them in its receipt, and
    would learn of rows and values beyond its grant.

    Attributes:
        agency: plain id of the agency that asks.
        sees_all: an auditor asks.
    """

    agency: str
    sees_all: bool


@dataclass(frozen=True)
class ReconciledDelivery:
    """One delivery of a batch; the platform's figures are told once the receipt has come."""

    delivery: str
    sequence: int
    subscription: str
    agency: str
    system: str
    kind: DeliveryKind
    state: ReconciliationState
    platform: Figures | None
    consumer: Figures | None
    received_at: datetime | None


@dataclass(frozen=True)
class Reconciliation:
    """One effective batch as all sides counted it.

    Attributes:
        declared: by the owner, None when nothing was.
        platform: rows, quarantined, added, updated, deleted, unchanged, table_rows.
        digest: of the whole table after the batch. All three are None for a consumer.
    """

    batch: str
    version: int
    sealed_at: datetime
    declared: Mapping[str, int | str] | None
    platform: Mapping[str, int] | None
    digest: str | None
    deliveries: Sequence[ReconciledDelivery]
    state: ReconciliationState


@dataclass(frozen=True, slots=True)
class ReconciledDay:
    """Sums over the batches that were sealed on one day, and over their deliveries.

    Those over rows are None for a consumer.
    """

    day: date
    batches: int
    declared_rows: int | None
    rows: int | None
    quarantined: int | None
    added: int | None
    updated: int | None
    deleted: int | None
    deliveries: int
    agreed: int
    differs: int
    pending: int


def read_day(text: str) -> date | None:
    """Return the day that `YYYY-MM-DD` writes, or None when it writes none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Other forms of ISO 8601 are read as well, and the last day has no day after it.
    return day if day.isoformat() == text and day < date.max else None


def is_period(first: date, last: date) -> bool:
    """Tell whether the days from `first` to `last`, both included, are a period to report on."""
    return timedelta(0) <= last - first < timedelta(days=MAX_DAYS)
