"""Create the tables of identity and those that every service has."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from kit.migrate import create_kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)  # type: ignore[arg-type]  # the module stands for the operations
    op.create_table(
        "agency",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("level", sa.Text, nullable=False),
        sa.Column("area_code", sa.Text, nullable=False),
        sa.Column("line", sa.Text),
        sa.Column("competent", sa.Text),
        sa.Column("audits", sa.Boolean, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agency"),
        sa.ForeignKeyConstraint(["competent"], ["agency.id"], name="fk_agency_competent"),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_agency_state")),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("agency", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("roles", ARRAY(sa.Text), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.ForeignKeyConstraint(["agency"], ["agency.id"], name="fk_person_agency"),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_person_state")),
        sa.CheckConstraint(
            "NOT roles @> '{platform_operator,auditor}'", name=op.f("ck_person_roles")
        ),
    )
    op.create_index("ix_person_agency_id", "person", ["agency", "id"])
    op.create_table(
        "system",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("agency", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_system"),
        sa.ForeignKeyConstraint(["agency"], ["agency.id"], name="fk_system_agency"),
        sa.CheckConstraint("state IN ('active', 'suspended')", name=op.f("ck_system_state")),
    )
    op.create_index("ix_system_agency_id", "system", ["agency", "id"])
    op.create_table(
        "code",
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("digest", name="pk_code"),
        sa.CheckConstraint("kind IN ('person', 'system')", name=op.f("ck_code_kind")),
    )
    op.create_index(
        "ix_code_holder", "code", ["holder"], postgresql_where=sa.text("used_at IS NULL")
    )
    _create_credentials_and_keys()


def _create_credentials_and_keys() -> None:
    op.create_table(
        "credential",
        sa.Column("thumbprint", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("agency", sa.Text, nullable=False),
        sa.Column("serial", sa.Text, nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("not_after", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("thumbprint", name="pk_credential"),
        sa.UniqueConstraint("serial", name="uq_credential_serial"),
        sa.ForeignKeyConstraint(["agency"], ["agency.id"], name="fk_credential_agency"),
        sa.CheckConstraint("kind IN ('person', 'system')", name=op.f("ck_credential_kind")),
    )
    op.create_index("ix_credential_agency_thumbprint", "credential", ["agency", "thumbprint"])
    op.create_index(
        "ix_credential_revoked",
        "credential",
        ["not_after"],
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "key",
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("use", sa.Text, nullable=False),
        sa.Column("material", JSONB, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("retire_at", sa.DateTime(timezone=True)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kid", name="pk_key"),
        sa.CheckConstraint("use IN ('token', 'client_ca')", name=op.f("ck_key_use")),
        sa.CheckConstraint(
            "stage IN ('next', 'current', 'previous', 'retired')", name=op.f("ck_key_stage")
        ),
    )
    # At most one key signs and one is next; a CA is `current` beside them.
    op.create_index(
        "uq_key_signing",
        "key",
        ["stage"],
        unique=True,
        postgresql_where=sa.text("use = 'token' AND stage IN ('next', 'current')"),
    )
