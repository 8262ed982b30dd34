"""The processes as they are run: the API over mTLS for the gateway alone, the relay beside it."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from kit.topics import TOPICS, state_topics_of
from services.identity.events import CHANGE
from stack.certificates import TRUST_DOMAIN, Pair, issue
from stack.kafka import Kafka
from stack.ports import free_port
from stack.process import Process
from tests.integration.identity.town import Seed, environment
from tests.support.kafka import create_topics
from tests.support.processes import wait_until


def client_of(ca: Path, pair: Pair | None) -> httpx.AsyncClient:
    """Return a client that trusts the internal CA and presents `pair`."""
    context = ssl.create_default_context(cafile=ca)
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    return httpx.AsyncClient(verify=context)


async def is_up(address: str) -> bool:
    """Tell whether a process says that it is ready."""
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(f"http://{address}/health/ready")).status_code == 200
        except httpx.TransportError:
            return False


async def test_api_and_relay_run_and_only_the_gateway_is_heard(
    seed: Seed,
    own_kafka: Kafka,
    tmp_path: Path,
    start_process: Callable[..., Process],
) -> None:
    names = [*state_topics_of("identity"), CHANGE]
    await create_topics(own_kafka.bootstrap, {name: TOPICS[name].settings for name in names})
    made = issue(tmp_path / "tls", ["identity", "gateway", "catalog"], datetime.now(UTC))
    mine = made.parts["identity"]
    values = environment(seed.url, seed.authority, tmp_path) | {
        "DATONG_TRUST_DOMAIN": TRUST_DOMAIN,
        "DATONG_TLS_CERTIFICATE_FILE": str(mine.certificate),
        "DATONG_TLS_KEY_FILE": str(mine.key),
        "DATONG_TLS_CA_FILE": str(made.ca),
        "DATONG_KAFKA": own_kafka.bootstrap,
    }
    listen, health, relay_health = (f"127.0.0.1:{free_port()}" for _ in range(3))
    module = ("-m", "services.identity")
    api = start_process(*module, "api", **values, DATONG_LISTEN=listen, DATONG_HEALTH_LISTEN=health)
    relay = start_process(*module, "relay", **values, DATONG_HEALTH_LISTEN=relay_health)
    await wait_until(lambda: is_up(health), 30, "the API")
    await wait_until(lambda: is_up(relay_health), 30, "the relay")

    async with client_of(made.ca, made.parts["gateway"]) as gateway:
        answer = await gateway.get(f"https://{listen}/identity/v1/ca")
        token = await gateway.post(
            f"https://{listen}/identity/v1/token",
            data={"grant_type": "client_credentials", "client_id": seed.operator.id},
            headers=seed.operator.presenting(),
        )
    async with client_of(made.ca, made.parts["catalog"]) as catalog:
        refused = await catalog.get(f"https://{listen}/identity/v1/ca")

    assert answer.text.startswith("-----BEGIN CERTIFICATE-----")
    assert token.status_code == 200
    assert (refused.status_code, refused.json()["code"]) == (403, "not-through-gateway")
    async with client_of(made.ca, None) as nobody:
        with pytest.raises(httpx.TransportError):
            await nobody.get(f"https://{listen}/identity/v1/ca")
    api.stop()
    relay.stop()
    assert (api.returncode, relay.returncode) == (0, 0)
