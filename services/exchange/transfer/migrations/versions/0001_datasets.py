"""Datasets, and a schema for the tables of their rows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.migrate import create_kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)  # type: ignore[arg-type]  # the module stands for the operations
    op.execute("CREATE SCHEMA rows")
    op.create_table(
        "dataset",
        sa.Column("entry", sa.String(), nullable=False),
        sa.Column("resource", sa.String(), nullable=False),
        sa.Column("agency", sa.String(), nullable=False),
        sa.Column("entry_version", sa.Integer(), nullable=False),
        sa.Column("table_name", sa.String(), nullable=False),
        sa.Column("items", JSONB(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("loaded_by", sa.String(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entry", name="pk_dataset"),
        sa.UniqueConstraint("table_name", name="uq_dataset_table_name"),
    )
