"""Tables of the search index. All but `salt` can be rebuilt from the log."""

from typing import ClassVar

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    text,
)
from sqlmodel import Field, SQLModel

from kit.db import NAMING


class Row(SQLModel):
    """Base of audit's tables, with metadata of its own."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)


def _text(*, nullable: bool = True, primary_key: bool = False) -> Column[str]:
    """Return a text column that compares bytes: ids and RFC 3339 instants sort as they should."""
    return Column(String(collation="C"), nullable=nullable, primary_key=primary_key)


class RecordRow(Row, table=True):
    """What can be searched of one record; the record itself lies in the log at `leaf`."""

    __tablename__: ClassVar[str] = "record"

    leaf: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    record: str = Field(sa_column=_text(nullable=False))
    type: str = Field(sa_column=_text(nullable=False))
    instance: str = Field(sa_column=_text(nullable=False))
    epoch: str = Field(sa_column=_text(nullable=False))
    sequence: int = Field(sa_column=Column(BigInteger, nullable=False))
    at: str = Field(sa_column=_text(nullable=False))
    call: str | None = Field(sa_column=_text())
    caller: str | None = Field(sa_column=_text())
    caller_agency: str | None = Field(sa_column=_text())
    owner_agency: str | None = Field(sa_column=_text())
    resource: str | None = Field(sa_column=_text())
    grant_id: str | None = Field(sa_column=_text())
    purpose: str | None = Field(sa_column=_text())
    case_number: str | None = Field(sa_column=_text())
    route: str | None = Field(sa_column=_text())
    mode: str | None = Field(sa_column=_text())
    operation: str | None = Field(sa_column=_text())
    decision: str | None = Field(sa_column=_text())
    reason: str | None = Field(sa_column=_text())
    status: int | None = Field(sa_column=Column(SmallInteger))
    rows: int | None = Field(sa_column=Column(BigInteger))
    event: str | None = Field(sa_column=_text())
    subject: str | None = Field(sa_column=_text())
    actor: str | None = Field(sa_column=_text())

    __table_args__ = (
        Index("ix_record_at", "at", "leaf"),
        Index("ix_record_record", "record"),
        Index("ix_record_epoch", "instance", "epoch", "sequence"),
        Index("ix_record_denied", "at", "leaf", postgresql_where=text("decision = 'denied'")),
        Index("ix_record_reasoned", "at", "leaf", postgresql_where=text("reason IS NOT NULL")),
        *(
            Index(
                f"ix_record_{name}",
                name,
                "at",
                "leaf",
                postgresql_where=text(f"{name} IS NOT NULL"),
            )
            for name in (
                "call",
                "caller_agency",
                "owner_agency",
                "resource",
                "grant_id",
                "purpose",
                "case_number",
                "reason",
                "subject",
            )
        ),
    )


class SaltRow(Row, table=True):
    """The salt of one record's digests. Erasing the row makes the digests meaningless."""

    __tablename__: ClassVar[str] = "salt"

    record: str = Field(sa_column=_text(nullable=False, primary_key=True))
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class ProgressRow(Row, table=True):
    """How far the log is indexed: one row."""

    __tablename__: ClassVar[str] = "progress"

    id: int = Field(default=1, sa_column=Column(SmallInteger, primary_key=True))
    commit: int = Field(sa_column=Column(BigInteger, nullable=False))
    size: int = Field(sa_column=Column(BigInteger, nullable=False))
