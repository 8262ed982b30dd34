"""Settings of audit's processes."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from kit.settings import DatabaseSettings


class Settings(DatabaseSettings):
    """What all processes of audit need."""

    object_directory: Path = Field(description="Folder of the log: commits, tiles, bundles.")
    log_origin: str = Field(
        description="Name of the log: first line of checkpoints, such as `datong.example/log`.",
        pattern=r"^[^\s+]{1,200}$",
    )


class WriterSettings(Settings):
    """What the log writer needs besides; only it holds the signing key."""

    log_key_file: Path = Field(description="Ed25519 seed of the log: 32 bytes or 64 hex digits.")
    last_checkpoint_file: Path = Field(
        description="Last signed checkpoint, on another volume than the object directory."
    )
    test_hook: Literal["none", "overwrite-commits", "stop-before-commit"] = Field(
        "none", description="Breaks a safeguard for fault tests; refused in production."
    )
    test_stop_at: int = Field(
        1, ge=1, description="Commit before which `stop-before-commit` stops."
    )

    @model_validator(mode="after")
    def _no_hooks_in_production(self) -> Self:
        if self.environment == "production" and self.test_hook != "none":
            raise ValueError("test hooks are refused in production")
        return self
