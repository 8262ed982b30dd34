"""The only reader of the environment: where identities, call logs and spools lie."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

IDENTITY_DIRECTORY = "DATONG_IDENTITY_DIRECTORY"
CALL_LOG = "DATONG_CALL_LOG"
SERVER_CA = "DATONG_SERVER_CA"
DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Settings:
    """What the environment says about this user."""

    identities: Path
    """Folder with one folder per identity name."""
    cache: Path
    """Folder for what may be deleted at any time."""
    identity: Path | None
    """Folder of the identity to use, when named."""
    call_log: Path | None
    """NDJSON file that every call is appended to, when named."""
    server_ca: Path | None
    """CA of the gateway's server certificate, when it is not one of the system's."""

    def directory(self, name: str = DEFAULT_NAME) -> Path:
        """Folder of the identity called `name`."""
        return self.identities / name


def read_settings() -> Settings:
    """Read the environment; empty variables count as absent."""
    return Settings(
        identities=(_path("XDG_CONFIG_HOME") or Path.home() / ".config") / "datong",
        cache=(_path("XDG_CACHE_HOME") or Path.home() / ".cache") / "datong",
        identity=_path(IDENTITY_DIRECTORY),
        call_log=_path(CALL_LOG),
        server_ca=_path(SERVER_CA),
    )


def _path(name: str) -> Path | None:
    value = os.environ.get(name)
    return Path(value) if value else None
