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

from kit.clock import SystemClock
from kit.db import Db
from kit.migrate import upgrade
from kit.tokens import Verifier
from services.exchange.sharing.app import build_app, openapi_app
from services.exchange.sharing.clients import Copies
from tests.support.callers import AUDIENCE, ISSUER, Identities
from tests.support.processes import wait_for

schema = schemathesis.openapi.from_dict(openapi_app().openapi())


@dataclass(frozen=True)
class Server:
    """A server that takes every connection for the gateway's, and the headers of its caller."""

    url: str
    headers: dict[str, str]


@pytest.fixture(scope="module")
def server(module_database_url: str) -> Iterator[Server]:
    """The application on a local port, in a thread that has the event loop to itself."""
    made: list[Server] = []
    running: list[uvicorn.Server] = []

    async def serve() -> None:
        await upgrade(module_database_url, "services.exchange.sharing")
        db, town = Db(module_database_url, "sharing"), Identities()
        verifier = Verifier(ISSUER, AUDIENCE)
        app = build_app(
            db, Copies(town.directory, lambda: True), verifier, clock=SystemClock(), bus_seconds=0.0
        )
        caller = town.person(
            "civil-affairs", "resource_administrator", "sharing_office_head", "auditor"
        )

        async def as_gateway(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope = {**scope, "extensions": {"tls": {"datong_peer": "gateway"}}}
            await app(scope, receive, send)

        config = uvicorn.Config(as_gateway, port=0, lifespan="off", log_config=None)
        running.append(uvicorn.Server(config))
        serving = asyncio.create_task(running[0].serve())
        while not running[0].started:
            await asyncio.sleep(0.01)
        port = running[0].servers[0].sockets[0].getsockname()[1]
        made.append(Server(f"http://127.0.0.1:{port}", town.headers(caller)))
        await serving
        await db.dispose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    wait_for(lambda: bool(made), 20, "the server")
    yield made[0]
    running[0].should_exit = True
    thread.join()


@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_calls_are_answered_as_documented(
    case: schemathesis.Case, server: Server
) -> None:
    case.call_and_validate(
        base_url=server.url,
        headers=server.headers,
        checks=[not_a_server_error, response_schema_conformance],
    )
