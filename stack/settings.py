"""Settings of the stack; the only module here that reads the environment."""

import os
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

# What a child may inherit; everything else that it needs is given to it by name.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "SSL_CERT_FILE", "CI")
# Order of the addresses behind `DATONG_STACK_PORT`; the gateway's comes first.
FIXED = ("gateway", "postgres", "kafka", "identity", "catalog", "sharing", "transfer", "audit")


class StackSettings(BaseSettings):
    """Servers of one's own and fixed ports; without them the stack starts its own on free ones."""

    model_config = SettingsConfigDict(env_prefix="DATONG_", frozen=True, extra="ignore")

    postgres_url_file: Path | None = Field(
        None, description="File with the URL of a role that may create roles and databases."
    )
    kafka: str | None = Field(None, description="Bootstrap servers of a Kafka of one's own.")
    stack_port: int | None = Field(
        None,
        ge=1024,
        le=65000,
        description="The gateway's port; the seven after it are postgres, kafka, identity, "
        "catalog, sharing, transfer, audit. Free ports when unset.",
    )

    @property
    def administrator_url(self) -> str | None:
        """URL of one's own PostgreSQL; it holds a password."""
        if self.postgres_url_file is None:
            return None
        return self.postgres_url_file.read_text(encoding="utf-8").strip()

    def fixed_port(self, name: str) -> int | None:
        """Return the fixed port for an address, None for a free one."""
        if self.stack_port is None or name not in FIXED:
            return None
        return self.stack_port + FIXED.index(name)


def inherited_environment(**more: str) -> dict[str, str]:
    """Return the environment of a child: a few of our variables, and `more`."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | more
