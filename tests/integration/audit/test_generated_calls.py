"""Generated calls: no answer is a server error, every answer is what the document promises."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance

from kit.db import Db
from kit.migrate import upgrade
from services.audit.app import openapi_app
from tests.integration.audit.platform import Gateway, Place
from tests.integration.audit.test_api import Town
from tests.support.processes import wait_for

schema = schemathesis.openapi.from_dict(openapi_app().openapi())


@pytest.fixture(scope="module")
def server(
    module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """The application on a local port with a small log, and an auditor's headers."""
    folder: Path = tmp_path_factory.mktemp("log")
    made: list[tuple[str, dict[str, str]]] = []
    running: list[uvicorn.Server] = []

    async def serve() -> None:
        await upgrade(module_database_url, "services.audit")
        db = Db(module_database_url, "audit", pool=3)
        town = Town(Place(folder, "", ""), db)
        await town.add(*(Gateway().call() for _ in range(3)))

        async def as_gateway(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope = {**scope, "extensions": {"tls": {"datong_peer": "gateway"}}}
            await town.app(scope, receive, send)

        config = uvicorn.Config(as_gateway, port=0, lifespan="off", log_config=None)
        running.append(uvicorn.Server(config))
        serving = asyncio.create_task(running[0].serve())
        while not running[0].started:
            await asyncio.sleep(0.01)
        port = running[0].servers[0].sockets[0].getsockname()[1]
        made.append((f"http://127.0.0.1:{port}", town.identities.headers(town.auditor)))
        await serving
        await town.client.aclose()
        await db.dispose()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    wait_for(lambda: bool(made), 20, "the server")
    yield made[0]
    running[0].should_exit = True
    thread.join()


@schema.parametrize()
@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_generated_calls_are_answered_as_documented(
    case: schemathesis.Case, server: tuple[str, dict[str, str]]
) -> None:
    url, headers = server
    case.call_and_validate(
        base_url=url, headers=headers, checks=[not_a_server_error, response_schema_conformance]
    )
