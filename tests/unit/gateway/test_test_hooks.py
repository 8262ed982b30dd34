"""Hooks that take a safeguard away exist for fault tests, never in production."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.settings import GatewaySettings

NEEDED = {
    "trust_domain": "datong.local",
    "tls_certificate_file": Path("gateway.pem"),
    "tls_key_file": Path("gateway.key"),
    "tls_ca_file": Path("ca.pem"),
    "kafka": "127.0.0.1:9092",
    "listen": "127.0.0.1:8443",
    "health_listen": "127.0.0.1:8080",
    "issuer": "https://identity.datong.example",
    "audience": "https://datong.example",
    "gateway": "gateway-0",
    "spool_directory": Path("spool"),
    "server_certificate_file": Path("server.pem"),
    "server_key_file": Path("server.key"),
    **{f"{part}_url": "https://127.0.0.1:1" for part in ("identity", "catalog", "sharing")},
    **{f"{part}_url": "https://127.0.0.1:1" for part in ("transfer", "audit")},
}
HOOKS = [name for name in GatewaySettings.model_fields if name.startswith("test_")]


def settings(**more: object) -> GatewaySettings:
    return GatewaySettings(**NEEDED | more)  # type: ignore[arg-type]


@pytest.mark.parametrize("hook", HOOKS)
def test_production_refuses_to_start_with_a_test_hook(hook: str) -> None:
    with pytest.raises(ValidationError, match=f"DATONG_{hook.upper()} is refused in production"):
        settings(environment="production", **{hook: True})


@pytest.mark.parametrize("hook", HOOKS)
def test_a_test_hook_in_use_is_told(hook: str) -> None:
    assert settings(environment="development").test_hooks == []
    assert settings(environment="development", **{hook: True}).test_hooks == [hook]


def test_production_calls_no_services_at_private_addresses() -> None:
    with pytest.raises(ValidationError, match="DATONG_ALLOW_PRIVATE_OWNERS is refused"):
        settings(environment="production", allow_private_owners=True)
    assert settings(environment="development", allow_private_owners=True).allow_private_owners
