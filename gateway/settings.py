"""Settings of one gateway worker; read from the environment here and nowhere else."""

from functools import cached_property
from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from kit.ids import PLAIN_ID
from kit.settings import PartSettings

PARTS: Final = ("identity", "catalog", "sharing", "transfer", "audit")
"""The parts behind the gateway, each with one address."""


class GatewaySettings(PartSettings):
    """One worker is one slot of one gateway; its instance is `<gateway>/<slot>`."""

    gateway: str = Field(pattern=PLAIN_ID, description="Name of the gateway, such as gateway-0.")
    slot: int = Field(0, ge=0, lt=64, description="This worker among those of the gateway.")
    spool_directory: Path = Field(
        description="Folder of the gateway's evidence on a persistent volume; a folder per slot."
    )
    spool_limit: int = Field(
        1 << 30, ge=1 << 20, description="Bytes of evidence kept before data calls are refused."
    )
    server_certificate_file: Path = Field(description="PEM certificate that callers see.")
    server_key_file: Path = Field(description="PEM private key of that certificate.")
    client_ca_file: Path | None = Field(
        None,
        description="PEM certificates of CAs that issue client certificates, besides those that "
        "identity publishes; may appear after the start.",
    )
    identity_url: str = Field(description="https://host:port of identity.")
    catalog_url: str = Field(description="https://host:port of catalog.")
    sharing_url: str = Field(description="https://host:port of sharing.")
    transfer_url: str = Field(description="https://host:port of transfer.")
    audit_url: str = Field(description="https://host:port of audit.")
    contracts_directory: Path = Field(
        Path(__file__).resolve().parent.parent / "contracts",
        description="Folder with openapi/gateway.v1.yaml and problems.yaml.",
    )
    connections: int = Field(
        4096, ge=1, description="Client connections at once; more are closed before TLS."
    )
    calls: int = Field(
        1024, ge=1, description="Calls in hand at once; more are refused as `overloaded`."
    )
    upstream_connections: int = Field(
        64, ge=1, description="Connections to each part; calls over that wait in a queue."
    )
    slow_connections: int = Field(
        256,
        ge=1,
        description="Connections to each part for calls that wait for news or move large bodies; "
        "as many more wait in a queue.",
    )
    slow_calls: int = Field(
        32, ge=1, description="Calls of that kind that one caller may have in hand at once."
    )
    owner_connections: int = Field(
        64,
        ge=1,
        description="Connections to each service of an owner; as many more wait in a queue, and "
        "one caller gets half of them at most.",
    )
    allow_private_owners: bool = Field(
        False,
        description="Call services of owners at private and loopback addresses too, as on one "
        "machine; refused in production.",
    )
    header_seconds: float = Field(10.0, gt=0, description="A head that takes longer is refused.")
    body_seconds: float = Field(
        30.0,
        gt=0,
        description="A small body must be there in this time; a large one must go on, and bring "
        "4 KiB a second after twice this time.",
    )
    idle_seconds: float = Field(75.0, gt=0, description="A silent connection is then closed.")
    call_seconds: float = Field(
        30.0, gt=0, description="Time for an answer when Datong-Timeout does not say otherwise."
    )
    stop_seconds: float = Field(
        10.0, ge=0, description="Time that calls in hand are given when the worker stops."
    )
    test_release_before_record: bool = Field(
        False,
        description="Test hook, refused in production: answers leave some milliseconds before "
        "their record is written, so that the kill test can show that it finds losses.",
    )
    test_skip_second_check: bool = Field(
        False,
        description="Test hook, refused in production: answers leave without a second decision, "
        "so that the revocation test can show that it finds late releases.",
    )

    @model_validator(mode="after")
    def _refuse_in_production(self) -> Self:
        if self.environment == "production":
            for hook in self.test_hooks:
                raise ValueError(f"DATONG_{hook.upper()} is refused in production")
            if self.allow_private_owners:
                raise ValueError("DATONG_ALLOW_PRIVATE_OWNERS is refused in production")
        return self

    @property
    def test_hooks(self) -> list[str]:
        """Return the names of the test hooks that are in use."""
        hooks = ("test_release_before_record", "test_skip_second_check")
        return [hook for hook in hooks if getattr(self, hook)]

    @property
    def instance(self) -> str:
        """Return the name under which this worker's records are numbered."""
        return f"{self.gateway}/{self.slot}"

    @cached_property
    def part_urls(self) -> dict[str, str]:
        """Return the address of each part."""
        return {part: str(getattr(self, f"{part}_url")) for part in PARTS}
