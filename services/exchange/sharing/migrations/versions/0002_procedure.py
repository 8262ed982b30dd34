"""Requests that people answer step by step, row filters and masks, statutory recipients."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "sharing_0002"
down_revision = "sharing_0001"
branch_labels = None
depends_on = None

STATES = (
    "state IN ('drafted', 'submitted', 'supplement_asked', 'answered', 'granted',"
    " 'refused', 'withdrawn')"
)


def upgrade() -> None:
    _create_steps()
    _extend_requests()
    _extend_grants()
    _carry_requests_on()


def _create_steps() -> None:
    op.create_table(
        "request_step",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("request", "number", name="pk_request_step"),
        sa.ForeignKeyConstraint(["request"], ["request.id"], name="fk_request_step_request"),
    )


def _extend_requests() -> None:
    jsonb, text = postgresql.JSONB(), sa.Text()
    with_default: list[tuple[sa.Column[Any], str]] = [
        (sa.Column("version", sa.Integer(), nullable=False), "1"),
        (sa.Column("operations", postgresql.ARRAY(text), nullable=False), "{}"),
        (sa.Column("row_filter", jsonb, nullable=False), "[]"),
        (sa.Column("masks", jsonb, nullable=False), "{}"),
    ]
    for column, default in with_default:
        _add("request", column, default)
    without: list[sa.Column[Any]] = [
        sa.Column("statutory_title", text),
        sa.Column("statutory_article", text),
        sa.Column("answer", jsonb),
        sa.Column("grant", text),
        sa.Column("renews", text),
        sa.Column("refusal_reason", text),
        sa.Column("since", sa.DateTime(timezone=True)),
        sa.Column("due", sa.Date()),
    ]
    for column in without:
        op.add_column("request", column)
    op.drop_constraint(op.f("ck_request_state"), "request")
    op.create_check_constraint(op.f("ck_request_state"), "request", STATES)
    op.create_index(
        "ix_request_consumer_open",
        "request",
        ["consumer"],
        postgresql_where=sa.text("state IN ('drafted', 'supplement_asked')"),
    )
    op.create_index(
        "ix_request_owner_open",
        "request",
        ["owner"],
        postgresql_where=sa.text("state IN ('submitted', 'answered')"),
    )
    op.create_index("ix_request_entry", "request", ["entry", "id"])
    op.create_index("ix_request_renews", "request", ["renews"])


def _extend_grants() -> None:
    _add("grant", sa.Column("row_filter", postgresql.JSONB(), nullable=False), "[]")
    _add("grant", sa.Column("masks", postgresql.JSONB(), nullable=False), "{}")
    op.add_column("grant", sa.Column("statutory_title", sa.Text()))
    op.add_column("grant", sa.Column("statutory_article", sa.Text()))


def _carry_requests_on() -> None:
    """Requests so far were drafted by a person and decided by the platform in one moment."""
    op.execute("UPDATE request SET since = created_at")
    op.alter_column("request", "since", nullable=False)
    op.execute('UPDATE request SET "grant" = g.id FROM "grant" g WHERE g.request = request.id')
    op.execute(
        "INSERT INTO request_step (request, number, step, actor, at)"
        " SELECT id, 0, 'draft', requester, created_at FROM request"
        " UNION ALL SELECT id, 1, 'confirm', 'part/sharing', created_at FROM request"
    )


def _add(table: str, column: sa.Column[Any], default: str) -> None:
    """Add a column whose value in all rows so far is `default`."""
    column.server_default = sa.DefaultClause(default)
    op.add_column(table, column)
    op.alter_column(table, column.name, server_default=None)
