"""Settings of transfer's processes."""

from pydantic import Field

from kit.settings import DatabaseSettings


class TransferSettings(DatabaseSettings):
    """What every part has, and how many connections transfer opens."""

    query_connections: int = Field(
        8, ge=1, le=100, description="Connections to PostgreSQL that answer queries."
    )
    loads: int = Field(2, ge=1, le=16, description="Uploads of rows that run at the same time.")
