"""Keep from which certificate a certificate was renewed, so that one revocation reaches both.

Certificates issued before have no origin: which of them was a renewal is told by the facts only.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("credential", sa.Column("renewed_from", sa.Text))
    op.create_foreign_key(
        "fk_credential_renewed_from", "credential", "credential", ["renewed_from"], ["thumbprint"]
    )
    op.create_index("ix_credential_renewed_from", "credential", ["renewed_from"])
