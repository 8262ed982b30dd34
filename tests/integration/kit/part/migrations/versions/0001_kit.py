"""The tables of the kit, and one for effects of handlers."""

import sqlalchemy as sa
from alembic import op

from kit.migrate import create_kit_tables

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_kit_tables(op)  # type: ignore[arg-type]  # the module stands for the operations
    op.create_table("effect", sa.Column("name", sa.String(), nullable=False))
