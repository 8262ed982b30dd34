"""Tables of transfer. Rows of datasets lie in tables of their own, in the schema `rows`."""

from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import BigInteger, Column, DateTime, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)


class _Row(SQLModel):
    """Base of all rows; transfer's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class DatasetRow(_Row, table=True):
    """One dataset, as it was loaded last.

    Keyed by its entry, so that an entry that takes a resource over from a withdrawn one never
    shows the rows of that one.
    """

    __tablename__ = "dataset"

    entry: str = Field(primary_key=True)
    resource: str
    agency: str
    entry_version: int
    table_name: str = Field(unique=True)
    items: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    rows: int = Field(sa_column=Column(BigInteger, nullable=False))
    digest: str
    loaded_by: str
    loaded_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
