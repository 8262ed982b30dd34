"""Requests, grants, and the tables of the kit.

Revision ID: sharing_0001
Revises:
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from kit.migrate import create_kit_tables

revision = "sharing_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_kit_tables(op)  # type: ignore[arg-type]  # the module stands for the operations
    texts = postgresql.ARRAY(sa.Text())
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "request",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("requester", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("entry_version", sa.Integer(), nullable=False),
        sa.Column("share_class", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("scenario", sa.Text(), nullable=False),
        sa.Column("systems", texts, nullable=False),
        sa.Column("items", texts, nullable=False),
        sa.Column("modes", texts, nullable=False),
        sa.Column("purposes", texts, nullable=False),
        sa.Column("valid_from", instant, nullable=False),
        sa.Column("valid_until", instant, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("refusal_code", sa.Text(), nullable=True),
        sa.Column("law_title", sa.Text(), nullable=True),
        sa.Column("law_article", sa.Text(), nullable=True),
        sa.Column("created_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_request"),
        sa.CheckConstraint("state IN ('granted', 'refused')", name=op.f("ck_request_state")),
    )
    op.create_index("ix_request_consumer", "request", ["consumer", "id"])
    op.create_index("ix_request_owner", "request", ["owner", "id"])
    op.create_table(
        "grant",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("entry_version", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("consumer", sa.Text(), nullable=False),
        sa.Column("share_class", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("systems", texts, nullable=False),
        sa.Column("items", texts, nullable=False),
        sa.Column("modes", texts, nullable=False),
        sa.Column("operations", texts, nullable=False),
        sa.Column("purposes", texts, nullable=False),
        sa.Column("valid_from", instant, nullable=False),
        sa.Column("valid_until", instant, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("changed_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_grant"),
        sa.UniqueConstraint("request", name="uq_grant_request"),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name="fk_grant_request"),
        sa.CheckConstraint(
            "state IN ('active', 'suspended', 'ended')", name=op.f("ck_grant_state")
        ),
    )
    op.create_index("ix_grant_consumer", "grant", ["consumer", "id"])
    op.create_index("ix_grant_owner", "grant", ["owner", "id"])
    op.create_index("ix_grant_entry", "grant", ["entry", "id"])
