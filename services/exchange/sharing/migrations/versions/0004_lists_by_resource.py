"""Indexes of lists that auditors narrow: by resource, and to grants that are not active."""

import sqlalchemy as sa
from alembic import op

revision = "sharing_0004"
down_revision = "sharing_0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_request_resource", "request", ["resource", "id"])
    op.create_index("ix_grant_resource", "grant", ["resource", "id"])
    op.create_index(
        "ix_grant_inactive",
        "grant",
        ["state", "id"],
        postgresql_where=sa.text("state <> 'active'"),
    )
