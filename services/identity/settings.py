"""Settings of identity's processes."""

from pathlib import Path

from pydantic import Field

from kit.settings import DatabaseSettings


class IdentitySettings(DatabaseSettings):
    """What every part has, and where the private keys of the platform lie."""

    authority_directory: Path = Field(
        description="Folder (0700) with the departments' CA and the token keys, each file 0600."
    )
