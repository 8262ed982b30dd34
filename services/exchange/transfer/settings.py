"""Settings of transfer's processes."""

from pathlib import Path

from pydantic import Field

from kit.settings import DatabaseSettings


class TransferSettings(DatabaseSettings):
    """What every part has, where objects lie, and how much transfer does at the same time."""

    object_directory: Path = Field(
        description="Folder of chunks, effects and segments; one for all processes of transfer."
    )
    pseudonym_key_file: Path = Field(
        description="Master key of pseudonyms, for nobody else to read: 32 bytes or 64 hex digits."
        " Kept for good: with another one every pseudonym changes."
    )
    query_connections: int = Field(
        8, ge=1, le=100, description="Connections to PostgreSQL that answer queries."
    )
    connections: int = Field(
        6, ge=2, le=100, description="Connections to PostgreSQL for everything but queries."
    )
    loads: int = Field(
        2, ge=1, le=16, description="Uploads of rows that are checked at the same time."
    )
    work_concurrency: int = Field(
        2, ge=1, le=16, description="Items of work that one worker does at the same time."
    )
    work_lease: float = Field(
        10.0,
        gt=0,
        le=600,
        description="Seconds after which another worker takes over what one has stopped doing.",
    )
    chunk_retention: float = Field(
        86_400.0,
        ge=0,
        description="Seconds for which the chunks of a finished batch are kept.",
    )

    @property
    def pseudonym_key(self) -> bytes:
        """Return the master key of pseudonyms: 32 bytes; it must not be logged.

        Raises:
            ValueError: it is none, or others than the owner's group may read the file.
        """
        path = self.pseudonym_key_file
        if path.stat().st_mode & 0o037:
            raise ValueError(f"{path} is open to others; its mode is to be 0600")
        data = path.read_bytes()
        if len(data) != 32:
            data = bytes.fromhex(data.decode("ascii", "replace").strip())
        if len(data) != 32:
            raise ValueError(f"{path} holds no key of 32 bytes")
        return data
