"""Batches, their effects, and what subscribers are handed of them."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    _carry_datasets_on()
    _create_batches()
    _create_deliveries()
    op.create_table(
        "work",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        _text("lane"),
        _text("kind"),
        sa.Column("subject", JSONB(), nullable=False),
        _instant("created_at"),
        _text("claimed_by", nullable=True),
        _instant("claimed_until", nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        _text("failure", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_work"),
    )
    op.create_index("ix_work_lane_id", "work", ["lane", "id"])


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(), nullable=nullable)


def _count(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def _number(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.Integer(), nullable=nullable)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _carry_datasets_on() -> None:
    """Keep what was loaded; rows without a key cannot be told apart, and must be published anew."""
    connection = op.get_bind()
    datasets = connection.execute(sa.text("SELECT entry, table_name, items FROM dataset"))
    for entry, table, items in datasets.all():
        if any(item["key"] for item in items):
            op.execute(f'ALTER TABLE rows."{table}" RENAME COLUMN line TO arrival')
            op.execute(
                f'ALTER TABLE rows."{table}" ALTER COLUMN arrival ADD GENERATED ALWAYS AS IDENTITY'
            )
            op.execute(
                f"SELECT setval(pg_get_serial_sequence('rows.\"{table}\"', 'arrival'),"  # noqa: S608 - a name of ours
                f' coalesce(max(arrival), 0) + 1, false) FROM rows."{table}"'
            )
        else:
            op.execute(f'DROP TABLE rows."{table}"')
            connection.execute(
                sa.text("DELETE FROM dataset WHERE entry = :entry").bindparams(entry=entry)
            )
    op.add_column("dataset", sa.Column("version", sa.BigInteger(), server_default="1"))
    op.alter_column("dataset", "version", nullable=False, server_default=None)
    op.drop_column("dataset", "loaded_by")
    op.alter_column("dataset", "loaded_at", new_column_name="updated_at")


def _create_batches() -> None:
    op.create_table(
        "batch",
        _text("id"),
        _text("entry"),
        _number("entry_version"),
        _text("resource"),
        _text("agency"),
        _text("mode"),
        _text("state"),
        sa.Column("items", JSONB(), nullable=False),
        sa.Column("declared", JSONB()),
        _count("quarantine_limit"),
        _text("opened_by"),
        _instant("opened_at"),
        _instant("sealed_at", nullable=True),
        _instant("finished_at", nullable=True),
        _number("chunks", nullable=True),
        _count("rows", nullable=True),
        _count("quarantined", nullable=True),
        _count("added", nullable=True),
        _count("updated", nullable=True),
        _count("deleted", nullable=True),
        _count("unchanged", nullable=True),
        _count("version", nullable=True),
        sa.Column("reset", sa.Boolean(), nullable=False),
        _count("table_rows", nullable=True),
        _text("table_digest", nullable=True),
        _text("refusal_code", nullable=True),
        _text("refusal_detail", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
    )
    op.create_index("ix_batch_entry_opened_at", "batch", ["entry", "opened_at"])
    op.create_index("ix_batch_resource_sealed_at", "batch", ["resource", "sealed_at"])
    op.create_index("uq_batch_entry_version", "batch", ["entry", "version"], unique=True)
    op.create_table(
        "chunk",
        _text("batch"),
        _number("number"),
        _text("digest"),
        _count("bytes"),
        _count("rows"),
        _count("quarantined"),
        _text("object"),
        sa.PrimaryKeyConstraint("batch", "number", name="pk_chunk"),
    )
    op.create_table(
        "quarantined_row",
        _text("batch"),
        _number("chunk"),
        _count("row"),
        _text("item"),
        _text("rule"),
        _text("detail"),
        sa.PrimaryKeyConstraint("batch", "chunk", "row", "item", "rule", name="pk_quarantined_row"),
    )
    op.create_table(
        "effect_segment",
        _text("batch"),
        _number("number"),
        _text("object"),
        _count("bytes"),
        _count("rows"),
        sa.PrimaryKeyConstraint("batch", "number", name="pk_effect_segment"),
    )


def _create_deliveries() -> None:
    op.create_table(
        "projection",
        _text("id"),
        _text("entry"),
        sa.Column("items", ARRAY(sa.Text()), nullable=False),
        _count("version", nullable=True),
        _count("rows", nullable=True),
        _text("digest", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_projection"),
    )
    op.create_index("uq_projection_entry_items", "projection", ["entry", "items"], unique=True)
    op.create_table(
        "projected",
        _text("projection"),
        _count("version"),
        _text("kind"),
        _text("batch", nullable=True),
        _count("added"),
        _count("updated"),
        _count("deleted"),
        _count("rows", nullable=True),
        _text("digest", nullable=True),
        _text("delivered_digest"),
        _instant("made_at"),
        sa.PrimaryKeyConstraint("projection", "version", "kind", name="pk_projected"),
    )
    op.create_table(
        "projected_segment",
        _text("projection"),
        _count("version"),
        _text("kind"),
        _number("number"),
        _text("object"),
        _count("bytes"),
        _count("rows"),
        sa.PrimaryKeyConstraint(
            "projection", "version", "kind", "number", name="pk_projected_segment"
        ),
    )
    op.create_table(
        "subscription",
        _text("id"),
        _text("resource"),
        _text("entry"),
        _text("grant_id"),
        _text("system"),
        _text("agency"),
        _text("projection"),
        _text("starts"),
        _text("state"),
        _count("version", nullable=True),
        _count("sequence"),
        _instant("created_at"),
        _instant("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_subscription"),
    )
    op.create_index(
        "uq_subscription_active",
        "subscription",
        ["grant_id", "system"],
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    )
    op.create_index("ix_subscription_projection", "subscription", ["projection"])
    op.create_table(
        "delivery",
        _text("id"),
        _text("subscription"),
        _count("sequence"),
        _text("projection"),
        _count("version"),
        _text("kind"),
        _text("batch", nullable=True),
        _instant("created_at"),
        sa.Column("receipt", JSONB()),
        _text("receipt_state", nullable=True),
        _instant("received_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
    )
    op.create_index(
        "uq_delivery_subscription_sequence", "delivery", ["subscription", "sequence"], unique=True
    )
    op.create_index("ix_delivery_batch", "delivery", ["batch"])
