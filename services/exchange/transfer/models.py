"""Tables of transfer. Rows of datasets lie in tables of their own, in the schema `rows`."""

from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Column, DateTime, Index, Integer, MetaData, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)


def _instant() -> Any:
    return Field(sa_column=Column(DateTime(timezone=True), nullable=False))


def _maybe_instant() -> Any:
    return Field(default=None, sa_column=Column(DateTime(timezone=True)))


def _count() -> Any:
    return Field(sa_column=Column(BigInteger, nullable=False))


def _maybe_count() -> Any:
    return Field(default=None, sa_column=Column(BigInteger))


class _Row(SQLModel):
    """Base of all rows; transfer's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class DatasetRow(_Row, table=True):
    """One dataset as its last effective batch left it.

    Keyed by its entry, so that an entry that takes a resource over from a withdrawn one never
    shows the rows of that one. `version` counts effective batches.
    """

    __tablename__ = "dataset"

    entry: str = Field(primary_key=True)
    resource: str
    agency: str
    entry_version: int
    table_name: str = Field(unique=True)
    items: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    version: int = _count()
    rows: int = _count()
    digest: str
    updated_at: datetime = _instant()


class BatchRow(_Row, table=True):
    """One publication by the owner; immutable once sealed.

    `state`: open, sealed, effective, refused, abandoned. `items` is the layout that its chunks
    are checked by. `version` is the version of the dataset that it made; `reset` says that it
    also changed the layout, so that nothing before it can be carried on from.
    """

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_entry_opened_at", "entry", "opened_at"),
        Index("ix_batch_resource_sealed_at", "resource", "sealed_at"),
        Index("uq_batch_entry_version", "entry", "version", unique=True),
    )

    id: str = Field(primary_key=True)
    entry: str
    entry_version: int
    resource: str
    agency: str
    mode: str
    state: str
    items: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    declared: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    quarantine_limit: int = _count()
    opened_by: str
    opened_at: datetime = _instant()
    sealed_at: datetime | None = _maybe_instant()
    finished_at: datetime | None = _maybe_instant()
    chunks: int | None = Field(default=None, sa_column=Column(Integer))
    """Number of chunks, once sealed."""
    rows: int | None = _maybe_count()
    quarantined: int | None = _maybe_count()
    added: int | None = _maybe_count()
    updated: int | None = _maybe_count()
    deleted: int | None = _maybe_count()
    unchanged: int | None = _maybe_count()
    version: int | None = _maybe_count()
    reset: bool = False
    table_rows: int | None = _maybe_count()
    table_digest: str | None = None
    refusal_code: str | None = None
    refusal_detail: str | None = None


class ChunkRow(_Row, table=True):
    """One chunk of a batch; `object` holds its good rows as canonical texts."""

    __tablename__ = "chunk"

    batch: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    digest: str
    bytes: int = _count()
    rows: int = _count()
    quarantined: int = _count()
    object: str


class QuarantinedRow(_Row, table=True):
    """One fault of one row that was not taken; `row` counts from 1 in its chunk."""

    __tablename__ = "quarantined_row"

    batch: str = Field(primary_key=True)
    chunk: int = Field(primary_key=True)
    row: int = Field(sa_column=Column(BigInteger, primary_key=True))
    item: str = Field(primary_key=True)
    """Empty when the fault is of the whole row."""
    rule: str = Field(primary_key=True)
    detail: str


class EffectSegmentRow(_Row, table=True):
    """One piece of what an effective batch did to the rows of its dataset."""

    __tablename__ = "effect_segment"

    batch: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    object: str
    bytes: int = _count()
    rows: int = _count()


class ProjectionRow(_Row, table=True):
    """What all subscriptions with the same view of an entry share.

    `view`: items, row filter, masks and, when there are pseudonyms, whose; `view_digest` is the
    SHA-256 of its canonical JSON. `version`, `rows`, `digest`: the version of the dataset that was
    projected last, and the projected table then; null before the first.
    """

    __tablename__ = "projection"
    __table_args__ = (Index("uq_projection_entry_view", "entry", "view_digest", unique=True),)

    id: str = Field(primary_key=True)
    entry: str
    view: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    view_digest: str
    version: int | None = _maybe_count()
    rows: int | None = _maybe_count()
    digest: str | None = None


class ProjectedRow(_Row, table=True):
    """One projected version: `kind` table (the whole table) or changes (since the one before).

    `rows` and `digest` are of the whole projected table at that version; null when nobody has
    received that table, so that it was never read. `delivered_digest` is of the added and updated
    rows alone.
    """

    __tablename__ = "projected"

    projection: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(BigInteger, primary_key=True))
    kind: str = Field(primary_key=True)
    batch: str | None = None
    added: int = _count()
    updated: int = _count()
    deleted: int = _count()
    rows: int | None = _maybe_count()
    digest: str | None = None
    delivered_digest: str
    made_at: datetime = _instant()


class ProjectedSegmentRow(_Row, table=True):
    """One segment of a projected version; its object's name holds its SHA-256."""

    __tablename__ = "projected_segment"

    projection: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(BigInteger, primary_key=True))
    kind: str = Field(primary_key=True)
    number: int = Field(primary_key=True)
    object: str
    bytes: int = _count()
    rows: int = _count()


class SubscriptionRow(_Row, table=True):
    """One system that receives deliveries under one grant.

    `grant_version`: of the grant whose terms its projection is. `starts`: beginning or now.
    `version`: the dataset version handed out last, null while its
    first table delivery is being made. `sequence`: of its last delivery.
    """

    __tablename__ = "subscription"
    __table_args__ = (
        Index(
            "uq_subscription_active",
            "grant_id",
            "system",
            unique=True,
            postgresql_where=text("state = 'active'"),
        ),
        Index("ix_subscription_projection", "projection"),
    )

    id: str = Field(primary_key=True)
    resource: str
    entry: str
    grant_id: str
    grant_version: int = _count()
    system: str
    agency: str
    projection: str
    starts: str
    state: str
    version: int | None = _maybe_count()
    sequence: int = _count()
    created_at: datetime = _instant()
    ended_at: datetime | None = _maybe_instant()


class DeliveryRow(_Row, table=True):
    """What one subscription is handed out of one projected version, and its receipt.

    `receipt_state`: null (pending), agreed, differs. `receipt`: the consumer's five figures.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        Index("uq_delivery_subscription_sequence", "subscription", "sequence", unique=True),
        Index("ix_delivery_batch", "batch"),
    )

    id: str = Field(primary_key=True)
    subscription: str
    sequence: int = _count()
    projection: str
    version: int = _count()
    kind: str
    batch: str | None = None
    """The batch that made the version; also of a `table` delivery."""
    created_at: datetime = _instant()
    receipt: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    receipt_state: str | None = None
    received_at: datetime | None = _maybe_instant()


class WorkRow(_Row, table=True):
    """One thing that a worker has to do; done in order per `lane`, and then removed."""

    __tablename__ = "work"
    __table_args__ = (Index("ix_work_lane_id", "lane", "id"),)

    id: int | None = Field(
        default=None, sa_column=Column(BigInteger, primary_key=True, autoincrement=True)
    )
    lane: str
    kind: str
    subject: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = _instant()
    claimed_by: str | None = None
    claimed_until: datetime | None = _maybe_instant()
    attempts: int = Field(default=0, sa_column=Column(Integer, nullable=False))
    failure: str | None = None
