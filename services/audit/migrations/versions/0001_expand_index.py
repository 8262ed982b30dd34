"""Search index of the log: records, salts, how far it is indexed."""

import sqlalchemy as sa
from alembic import op

from kit.migrate import create_kit_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXTS = (
    "call",
    "caller",
    "caller_agency",
    "owner_agency",
    "resource",
    "grant_id",
    "purpose",
    "case_number",
    "route",
    "mode",
    "operation",
    "decision",
    "reason",
)
SEARCHED = (
    "call",
    "caller_agency",
    "owner_agency",
    "resource",
    "grant_id",
    "purpose",
    "case_number",
    "reason",
    "subject",
)


def _text(name: str, *, nullable: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.String(collation="C"), nullable=nullable)


def upgrade() -> None:
    create_kit_tables(op)  # type: ignore[arg-type]  # the module stands for its Operations
    op.create_table(
        "record",
        sa.Column("leaf", sa.BigInteger, autoincrement=False, nullable=False),
        _text("record", nullable=False),
        _text("type", nullable=False),
        _text("instance", nullable=False),
        _text("epoch", nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        _text("at", nullable=False),
        *(_text(name) for name in TEXTS),
        sa.Column("status", sa.SmallInteger),
        sa.Column("rows", sa.BigInteger),
        _text("event"),
        _text("subject"),
        _text("actor"),
        sa.PrimaryKeyConstraint("leaf", name="pk_record"),
    )
    op.create_index("ix_record_at", "record", ["at", "leaf"])
    op.create_index("ix_record_record", "record", ["record"])
    op.create_index("ix_record_epoch", "record", ["instance", "epoch", "sequence"])
    op.create_index(
        "ix_record_denied",
        "record",
        ["at", "leaf"],
        postgresql_where=sa.text("decision = 'denied'"),
    )
    for name in SEARCHED:
        op.create_index(
            f"ix_record_{name}",
            "record",
            [name, "at", "leaf"],
            postgresql_where=sa.text(f"{name} IS NOT NULL"),
        )
    op.create_table(
        "salt",
        _text("record", nullable=False),
        sa.Column("salt", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("record", name="pk_salt"),
    )
    progress = op.create_table(
        "progress",
        sa.Column("id", sa.SmallInteger, autoincrement=False, nullable=False),
        sa.Column("commit", sa.BigInteger, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_progress"),
    )
    op.bulk_insert(progress, [{"id": 1, "commit": -1, "size": 0}])
