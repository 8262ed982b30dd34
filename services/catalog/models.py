"""Tables of the catalogue; seen by the store and the migrations only."""

from datetime import date, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Date,
    DateTime,
    Index,
    MetaData,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)

_TRANSACTION: Final = text("(pg_current_xact_id()::text::bigint)")


def _instant(*, nullable: bool = False) -> Any:
    return Column(DateTime(timezone=True), nullable=nullable)


class _Row(SQLModel):
    """Base of all rows; the catalogue's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class EntryRow(_Row, table=True):
    """One entry; its row lock orders all changes of it.

    `changed_in` is the transaction that changed it last; the database writes it.
    """

    __tablename__ = "entry"

    id: str = Field(primary_key=True, sa_type=Text)
    agency: str = Field(index=True, sa_type=Text)
    resource: str = Field(unique=True, sa_type=Text)
    revision: int
    created_at: datetime = Field(sa_column=_instant())
    changed_in: int | None = Field(
        default=None,
        sa_column=Column(
            BigInteger,
            nullable=False,
            index=True,
            server_default=_TRANSACTION,
            onupdate=_TRANSACTION,
        ),
    )


class VersionRow(_Row, table=True):
    """One version of an entry; `content` is written only while it is a draft.

    `name`, `summary` and `share_class` repeat members of `content` for lists.
    """

    __tablename__ = "entry_version"
    __table_args__ = (
        CheckConstraint(
            "state IN ('draft', 'submitted', 'published', 'superseded', 'withdrawn', 'discarded')",
            "state",
        ),
        Index("ix_entry_version_state", "state", "entry"),
    )

    entry: str = Field(primary_key=True, sa_type=Text, foreign_key="entry.id")
    number: int = Field(primary_key=True)
    state: str = Field(sa_type=Text)
    name: str = Field(sa_type=Text)
    summary: str = Field(sa_type=Text)
    share_class: str = Field(sa_type=Text)
    content: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    writers: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    written_at: datetime = Field(sa_column=_instant())
    submitted_by: str | None = Field(None, sa_type=Text)
    submitted_at: datetime | None = Field(None, sa_column=_instant(nullable=True))
    decided_by: str | None = Field(None, sa_type=Text)
    decided_at: datetime | None = Field(None, sa_column=_instant(nullable=True))
    published_at: datetime | None = Field(None, sa_column=_instant(nullable=True))
    withdrawn_at: datetime | None = Field(None, sa_column=_instant(nullable=True))
    reason: str | None = Field(None, sa_type=Text)


class MissRow(_Row, table=True):
    """What people of one agency searched for in vain on one day, and how often."""

    __tablename__ = "search_miss"

    day: date = Field(primary_key=True, sa_type=Date)
    agency: str = Field(primary_key=True, sa_type=Text)
    query: str = Field(primary_key=True, sa_type=Text)
    searches: int
