"""Rows of identity's database. They stay in the store."""

from datetime import datetime
from typing import Any, ClassVar, Final

from sqlalchemy import CheckConstraint, Column, DateTime, Index, MetaData, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlmodel import Field, SQLModel

from kit.db import NAMING

METADATA: Final = MetaData(naming_convention=NAMING)


def _instant(*, nullable: bool = False) -> Any:
    return Column(DateTime(timezone=True), nullable=nullable)


class _Row(SQLModel):
    """Base of all rows; identity's tables have metadata of their own."""

    metadata: ClassVar[MetaData] = METADATA


class AgencyRow(_Row, table=True):
    """An agency."""

    __tablename__ = "agency"
    __table_args__ = (CheckConstraint("state IN ('active', 'suspended')", "state"),)

    id: str = Field(primary_key=True, sa_type=Text)
    name: str = Field(sa_type=Text)
    level: str = Field(sa_type=Text)
    area_code: str = Field(sa_type=Text)
    line: str | None = Field(sa_type=Text)
    competent: str | None = Field(sa_type=Text, foreign_key="agency.id")
    audits: bool
    state: str = Field(sa_type=Text)
    version: int


class PersonRow(_Row, table=True):
    """A person with roles."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'suspended')", "state"),
        CheckConstraint("NOT roles @> '{platform_operator,auditor}'", "roles"),
        Index("ix_person_agency_id", "agency", "id"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    agency: str = Field(sa_type=Text, foreign_key="agency.id")
    name: str = Field(sa_type=Text)
    roles: list[str] = Field(sa_column=Column(ARRAY(Text), nullable=False))
    state: str = Field(sa_type=Text)
    version: int


class SystemRow(_Row, table=True):
    """A system."""

    __tablename__ = "system"
    __table_args__ = (
        CheckConstraint("state IN ('active', 'suspended')", "state"),
        Index("ix_system_agency_id", "agency", "id"),
    )

    id: str = Field(primary_key=True, sa_type=Text)
    agency: str = Field(sa_type=Text, foreign_key="agency.id")
    name: str = Field(sa_type=Text)
    state: str = Field(sa_type=Text)
    version: int


class CodeRow(_Row, table=True):
    """A one-time code, by the SHA-256 of its secret."""

    __tablename__ = "code"
    __table_args__ = (
        CheckConstraint("kind IN ('person', 'system')", "kind"),
        Index("ix_code_holder", "holder", postgresql_where=text("used_at IS NULL")),
    )

    digest: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    holder: str = Field(sa_type=Text)
    expires_at: datetime = Field(sa_column=_instant())
    used_at: datetime | None = Field(sa_column=_instant(nullable=True))


class CredentialRow(_Row, table=True):
    """A certificate that was issued."""

    __tablename__ = "credential"
    __table_args__ = (
        CheckConstraint("kind IN ('person', 'system')", "kind"),
        Index("ix_credential_agency_thumbprint", "agency", "thumbprint"),
        Index(
            "ix_credential_revoked", "not_after", postgresql_where=text("revoked_at IS NOT NULL")
        ),
        Index("ix_credential_renewed_from", "renewed_from"),
    )

    thumbprint: str = Field(primary_key=True, sa_type=Text)
    kind: str = Field(sa_type=Text)
    holder: str = Field(sa_type=Text)
    agency: str = Field(sa_type=Text, foreign_key="agency.id")
    serial: str = Field(sa_type=Text, unique=True)
    not_before: datetime = Field(sa_column=_instant())
    not_after: datetime = Field(sa_column=_instant())
    revoked_at: datetime | None = Field(sa_column=_instant(nullable=True))
    version: int
    renewed_from: str | None = Field(sa_type=Text, foreign_key="credential.thumbprint")


class KeyRow(_Row, table=True):
    """A public key of identity; private keys lie in the authority's folder."""

    __tablename__ = "key"
    __table_args__ = (
        CheckConstraint("use IN ('token', 'client_ca')", "use"),
        CheckConstraint("stage IN ('next', 'current', 'previous', 'retired')", "stage"),
        Index(
            "uq_key_signing",
            "stage",
            unique=True,
            postgresql_where=text("use = 'token' AND stage IN ('next', 'current')"),
        ),
    )

    kid: str = Field(primary_key=True, sa_type=Text)
    use: str = Field(sa_type=Text)
    material: dict[str, Any] = Field(sa_column=Column(JSONB, nullable=False))
    stage: str = Field(sa_type=Text)
    retire_at: datetime | None = Field(sa_column=_instant(nullable=True))
    version: int
