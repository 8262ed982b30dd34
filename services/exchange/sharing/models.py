"""Tables of sharing; seen by the store and the migrations only."""

from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Column, DateTime, Index, MetaData, Text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)


def _instant() -> Any:
    return Column(DateTime(timezone=True), nullable=False)


def _texts() -> Any:
    return Column(ARRAY(Text), nullable=False)


class _Row(SQLModel):
    """Base of all rows; sharing's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class RequestRow(_Row, table=True):
    """One request with its answer; never changed."""

    __tablename__ = "request"
    __table_args__ = (
        CheckConstraint("state IN ('granted', 'refused')", "state"),
        Index("ix_request_consumer", "consumer", "id"),
        Index("ix_request_owner", "owner", "id"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    requester: str = Field(sa_type=Text)
    consumer: str = Field(sa_type=Text)
    owner: str = Field(sa_type=Text)
    resource: str = Field(sa_type=Text)
    entry: str = Field(sa_type=Text)
    entry_version: int
    share_class: str = Field(sa_type=Text)
    basis: str = Field(sa_type=Text)
    scenario: str = Field(sa_type=Text)
    systems: list[str] = Field(sa_column=_texts())
    items: list[str] = Field(sa_column=_texts())
    modes: list[str] = Field(sa_column=_texts())
    purposes: list[str] = Field(sa_column=_texts())
    valid_from: datetime = Field(sa_column=_instant())
    valid_until: datetime = Field(sa_column=_instant())
    state: str = Field(sa_type=Text)
    refusal_code: str | None = Field(None, sa_type=Text)
    law_title: str | None = Field(None, sa_type=Text)
    law_article: str | None = Field(None, sa_type=Text)
    created_at: datetime = Field(sa_column=_instant())


class GrantRow(_Row, table=True):
    """One grant; its row lock orders all changes of it."""

    __tablename__ = "grant"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'suspended', 'ended')", "state"),
        Index("ix_grant_consumer", "consumer", "id"),
        Index("ix_grant_owner", "owner", "id"),
        Index("ix_grant_entry", "entry", "id"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    version: int
    request: str = Field(unique=True, sa_type=Text, foreign_key="request.id")
    resource: str = Field(sa_type=Text)
    entry: str = Field(sa_type=Text)
    entry_version: int
    owner: str = Field(sa_type=Text)
    consumer: str = Field(sa_type=Text)
    share_class: str = Field(sa_type=Text)
    basis: str = Field(sa_type=Text)
    systems: list[str] = Field(sa_column=_texts())
    items: list[str] = Field(sa_column=_texts())
    modes: list[str] = Field(sa_column=_texts())
    operations: list[str] = Field(sa_column=_texts())
    purposes: list[str] = Field(sa_column=_texts())
    valid_from: datetime = Field(sa_column=_instant())
    valid_until: datetime = Field(sa_column=_instant())
    state: str = Field(sa_type=Text)
    reason: str | None = Field(None, sa_type=Text)
    created_at: datetime = Field(sa_column=_instant())
    changed_at: datetime = Field(sa_column=_instant())
