"""Generated calls: no answer is a server error, every answer is what the document promises."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from services.identity.app import openapi_app
from tests.integration.identity.town import Seed, Town, relay_stand_in
from tests.support.processes import wait_for

schema = schemathesis.openapi.from_dict(openapi_app().openapi())


@dataclass(frozen=True)
class Server:
    """A server that takes every connection for the gateway's, and callers' headers."""

    url: str
    operator: dict[str, str]
    officer: dict[str, str]


@pytest.fixture(scope="module")
def server(seed: Seed) -> Iterator[Server]:
    """The application on a local port in a thread, which has the event loop to itself."""
    made: list[Server] = []
    running: list[uvicorn.Server] = []

    async def serve() -> None:
        town = Town(seed.url, seed.authority)

        async def as_gateway(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope = {**scope, "extensions": {"tls": {"datong_peer": "gateway"}}}
            await town.app(scope, receive, send)

        config = uvicorn.Config(as_gateway, port=0, lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        running.append(server)
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        made.append(
            Server(
                f"http://127.0.0.1:{port}",
                await town.headers(seed.operator),
                await town.headers(seed.officer),
            )
        )
        async with relay_stand_in(seed.url):
            await serving
        await town.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    wait_for(lambda: bool(made), 20, "the server")
    yield made[0]
    running[0].should_exit = True
    thread.join()


@schema.parametrize()
@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_calls_are_answered_as_documented(
    case: schemathesis.Case, server: Server
) -> None:
    operators = ("/agencies", "/credentials")
    operator = any(case.path.startswith(f"/identity/v1{path}") for path in operators)

    case.call_and_validate(
        base_url=server.url,
        headers=server.operator if operator else server.officer,
        checks=[not_a_server_error, response_schema_conformance],
    )
