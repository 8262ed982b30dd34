"""Settings that every part has.

A part's own `settings.py` extends these; nothing else reads the environment. Secrets come from
files and never from variables.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class PartSettings(BaseSettings):
    """Read from the environment with the prefix `DATONG_`; frozen; no defaults for trust."""

    model_config = SettingsConfigDict(env_prefix="DATONG_", frozen=True, extra="ignore")

    environment: Literal["development", "production"] = Field(
        "production", description="`production` refuses test hooks and development doubles."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severity that is logged."
    )
    trust_domain: str = Field(description="SPIFFE trust domain of the platform's own processes.")
    tls_certificate_file: Path = Field(
        description="PEM certificate of this part; one URI SAN `spiffe://<trust domain>/<part>`."
    )
    tls_key_file: Path = Field(description="PEM private key of that certificate.")
    tls_ca_file: Path = Field(description="PEM of the internal CA that peers are checked against.")
    kafka: str = Field(description="Bootstrap servers, `host:port` separated by commas.")
    kafka_tls_ca_file: Path | None = Field(
        None, description="CA of the brokers; set, Kafka is spoken over TLS with our certificate."
    )
    listen: str = Field("127.0.0.1:0", description="`host:port` of the mTLS listener.")
    health_listen: str = Field(
        "127.0.0.1:0", description="`host:port` of the plain listener for health and metrics."
    )
    issuer: str = Field(description="Issuer identifier of access tokens.")
    audience: str = Field(description="Audience of access tokens.")
    stale_after: float = Field(
        60.0, gt=0, description="Seconds without a beat after which permissions are not fresh."
    )


class DatabaseSettings(PartSettings):
    """Settings of a part that has a database of its own."""

    postgres_url_file: Path = Field(
        description="File with `postgresql://user:password@host:port/database`."
    )

    @property
    def postgres_url(self) -> str:
        """Return the database URL; it holds a password and must not be logged."""
        return self.postgres_url_file.read_text(encoding="utf-8").strip()


def host_and_port(address: str) -> tuple[str, int]:
    """Split `host:port`; IPv6 hosts stand in brackets.

    Raises:
        ValueError: no port, or not between 0 and 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)
