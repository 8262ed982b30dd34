"""Entries whose withdrawal was handled, and who suspended a grant."""

import sqlalchemy as sa
from alembic import op

revision = "sharing_0003"
down_revision = "sharing_0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "withdrawn_entry",
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("entry", name="pk_withdrawn_entry"),
    )
    op.add_column("grant", sa.Column("suspended_by", sa.Text()))
    # Nobody wrote down who it was; the owner could resume every grant so far.
    op.execute("UPDATE \"grant\" SET suspended_by = 'owner' WHERE state = 'suspended'")
