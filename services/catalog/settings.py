"""Settings of the catalogue's processes."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from kit.settings import DatabaseSettings


class CatalogSettings(DatabaseSettings):
    """What every part has, and which addresses an owner's service may have."""

    allow_private_owners: bool = Field(
        False,
        description="Let services of owners have private and loopback addresses, as on one "
        "machine; refused in production.",
    )

    @model_validator(mode="after")
    def _refuse_private_owners(self) -> Self:
        if self.environment == "production" and self.allow_private_owners:
            raise ValueError("DATONG_ALLOW_PRIVATE_OWNERS is refused in production")
        return self


class ApiSettings(CatalogSettings):
    """What the API needs besides."""

    index_directory: Path = Field(
        description="Folder of the search index, of one process alone; made when absent. It may be "
        "lost: the index is then made anew from the database."
    )
