"""Records that name a reason, by time: what was refused is found without what was released."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_record_reasoned",
        "record",
        ["at", "leaf"],
        postgresql_where=sa.text("reason IS NOT NULL"),
    )
