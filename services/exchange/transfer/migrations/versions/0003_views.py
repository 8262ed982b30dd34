"""Projections are of views: items, row filter and masks. Rows go by their key alone."""

from hashlib import sha256
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from kit.canonical import canonical

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("projection", sa.Column("view", JSONB()))
    op.add_column("projection", sa.Column("view_digest", sa.String()))
    _carry_projections_on()
    op.alter_column("projection", "view", nullable=False)
    op.alter_column("projection", "view_digest", nullable=False)
    op.drop_index("uq_projection_entry_items", "projection")
    op.create_index("uq_projection_entry_view", "projection", ["entry", "view_digest"], unique=True)
    op.drop_column("projection", "items")
    # Any version of the grant is newer than 0: its terms are looked at once.
    op.add_column("subscription", sa.Column("grant_version", sa.BigInteger(), server_default="0"))
    op.alter_column("subscription", "grant_version", nullable=False, server_default=None)
    _forget_arrival()


def _carry_projections_on() -> None:
    connection = op.get_bind()
    update = sa.text(
        "UPDATE projection SET view = :view, view_digest = :digest WHERE id = :id"
    ).bindparams(sa.bindparam("view", type_=JSONB))
    found = connection.execute(sa.text("SELECT id, items FROM projection")).all()
    for projection, items in found:
        view: dict[str, Any] = {
            "items": list(items),
            "row_filter": [],
            "masks": {},
            "consumer": None,
        }
        digest = sha256(canonical(view)).hexdigest()
        connection.execute(update, {"id": projection, "view": view, "digest": digest})


def _forget_arrival() -> None:
    """Pages whose key must not be told go by a hash of it, which tells no more than the rows."""
    for (table,) in op.get_bind().execute(sa.text("SELECT table_name FROM dataset")).all():
        op.execute(f'ALTER TABLE rows."{table}" DROP COLUMN arrival')
