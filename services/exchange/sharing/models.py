"""Tables of sharing; seen by the store and the migrations only."""

from datetime import date, datetime
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Column, DateTime, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)


def _instant() -> Any:
    return Column(DateTime(timezone=True), nullable=False)


def _texts() -> Any:
    return Column(ARRAY(Text), nullable=False)


def _json(*, nullable: bool = False) -> Any:
    return Column(JSONB(none_as_null=True), nullable=nullable)


class _Row(SQLModel):
    """Base of all rows; sharing's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class RequestRow(_Row, table=True):
    """One request; its row lock orders all steps of it.

    `row_filter` is a list of conditions, `masks` an object, `answer` an object or null. `grant` is
    the grant that the request led to, and `renews` the one that it asks to prolong: the same, once
    that is granted.
    """

    __tablename__ = "request"
    __table_args__ = (
        CheckConstraint(
            "state IN ('drafted', 'submitted', 'supplement_asked', 'answered', 'granted',"
            " 'refused', 'withdrawn')",
            "state",
        ),
        Index("ix_request_consumer", "consumer", "id"),
        Index("ix_request_owner", "owner", "id"),
        Index(
            "ix_request_consumer_open",
            "consumer",
            postgresql_where=text("state IN ('drafted', 'supplement_asked')"),
        ),
        Index(
            "ix_request_owner_open",
            "owner",
            postgresql_where=text("state IN ('submitted', 'answered')"),
        ),
        Index("ix_request_entry", "entry", "id"),
        Index("ix_request_resource", "resource", "id"),
        Index("ix_request_renews", "renews"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    version: int
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
    operations: list[str] = Field(sa_column=_texts())
    purposes: list[str] = Field(sa_column=_texts())
    row_filter: list[dict[str, Any]] = Field(sa_column=_json())
    masks: dict[str, str] = Field(sa_column=_json())
    valid_from: datetime = Field(sa_column=_instant())
    valid_until: datetime = Field(sa_column=_instant())
    statutory_title: str | None = Field(None, sa_type=Text)
    statutory_article: str | None = Field(None, sa_type=Text)
    state: str = Field(sa_type=Text)
    answer: dict[str, Any] | None = Field(None, sa_column=_json(nullable=True))
    grant: str | None = Field(None, sa_type=Text)
    renews: str | None = Field(None, sa_type=Text)
    refusal_code: str | None = Field(None, sa_type=Text)
    refusal_reason: str | None = Field(None, sa_type=Text)
    law_title: str | None = Field(None, sa_type=Text)
    law_article: str | None = Field(None, sa_type=Text)
    since: datetime = Field(sa_column=_instant())
    due: date | None = None
    created_at: datetime = Field(sa_column=_instant())


class RequestStepRow(_Row, table=True):
    """One step that was taken in a request; never changed."""

    __tablename__ = "request_step"

    request: str = Field(primary_key=True, sa_type=Text, foreign_key="request.id")
    number: int = Field(primary_key=True)
    step: str = Field(sa_type=Text)
    actor: str = Field(sa_type=Text)
    at: datetime = Field(sa_column=_instant())
    reason: str | None = Field(None, sa_type=Text)


class GrantRow(_Row, table=True):
    """One grant; its row lock orders all changes of it."""

    __tablename__ = "grant"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'suspended', 'ended')", "state"),
        Index("ix_grant_consumer", "consumer", "id"),
        Index("ix_grant_owner", "owner", "id"),
        Index("ix_grant_entry", "entry", "id"),
        Index("ix_grant_resource", "resource", "id"),
        Index("ix_grant_inactive", "state", "id", postgresql_where=text("state <> 'active'")),
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
    row_filter: list[dict[str, Any]] = Field(sa_column=_json())
    masks: dict[str, str] = Field(sa_column=_json())
    valid_from: datetime = Field(sa_column=_instant())
    valid_until: datetime = Field(sa_column=_instant())
    statutory_title: str | None = Field(None, sa_type=Text)
    statutory_article: str | None = Field(None, sa_type=Text)
    state: str = Field(sa_type=Text)
    reason: str | None = Field(None, sa_type=Text)
    created_at: datetime = Field(sa_column=_instant())
    changed_at: datetime = Field(sa_column=_instant())
    suspended_by: str | None = Field(None, sa_type=Text)


class WithdrawnEntryRow(_Row, table=True):
    """One entry whose withdrawal was handled; it never comes back."""

    __tablename__ = "withdrawn_entry"

    entry: str = Field(primary_key=True, sa_type=Text)
    handled_at: datetime = Field(sa_column=_instant())
