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
from services.exchange.transfer.app import build_app, openapi_app
from services.exchange.transfer.consumer import Arrivals
from services.exchange.transfer.domain import Copies
from services.exchange.transfer.store import Context, FolderObjects, News, RowReader
from services.exchange.transfer.worker import Fitting
from tests.integration.transfer.conftest import CONSUMER, KEYS, OWNER, RESOURCE, Town
from tests.support.callers import AUDIENCE, ISSUER, Identities, gateway_client
from tests.support.processes import wait_for


@schemathesis.serializer("application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream")
def lines(_context: Any, value: Any) -> bytes:
    """Send generated texts as they are: most of them are no rows."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


schema = schemathesis.openapi.from_dict(openapi_app().openapi())


@dataclass(frozen=True)
class Server:
    """A server that takes every connection for the gateway's.

    Attributes:
        owner, consumer: headers of the owner's and of a consumer's system.
        known: parameters of paths that lead to something.
    """

    url: str
    owner: dict[str, str]
    consumer: dict[str, str]
    known: dict[str, str]


@pytest.fixture(scope="module")
def server(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The application on a local port, in a thread that has the event loop to itself."""
    made: list[Server] = []
    running: list[uvicorn.Server] = []
    folder = tmp_path_factory.mktemp("objects")

    async def serve() -> None:
        url = module_database_url
        await upgrade(url, "services.exchange.transfer")
        db, reader, identities = Db(url, "transfer"), RowReader(url, size=2), Identities()
        fitting = Fitting()
        arrivals = Arrivals(Copies(), identities.directory, on_grant=fitting.note)
        verifier = Verifier(ISSUER, AUDIENCE)
        context = Context(
            db, FolderObjects(folder), SystemClock(), copies=arrivals.copies, keys=KEYS
        )
        app = build_app(
            db,
            reader,
            identities.directory,
            arrivals,
            verifier,
            clock=SystemClock(),
            objects=context.objects,
            news=News(url),
            keys=KEYS,
        )
        async with gateway_client(app) as client:
            callers = identities.system(OWNER), identities.system(CONSUMER)
            town = Town(client, db, url, app, arrivals, identities, *callers, context, fitting)
            town.publish()
            town.give(modes=["query", "batch"])
            await town.publish_rows([{"code": "330106", "name": "西湖区", "level": 3}])
            known = {"resource": RESOURCE, "batch": await town.open()}
        queries = {"Datong-Purpose": "public-health", "Datong-Internal-Grant": f"{town.grant}@1"}
        owner = identities.headers(town.owner)
        consumer = identities.headers(town.consumer, **queries)

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
        made.append(Server(f"http://127.0.0.1:{port}", owner, consumer, known))
        await serving
        await reader.close()
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
@pytest.mark.parametrize("known", [True, False], ids=["what is there", "anything"])
def test_generated_calls_are_answered_as_documented(
    case: schemathesis.Case, server: Server, known: bool
) -> None:
    if known:
        case.path_parameters |= {
            name: server.known[name] for name in case.path_parameters if name in server.known
        }
    if case.query:  # a wait for news that never comes only takes time
        case.query.pop("wait", None)
    case.call_and_validate(
        base_url=server.url,
        headers=server.owner if "/batches" in case.operation.path else server.consumer,
        checks=[not_a_server_error, response_schema_conformance],
    )
