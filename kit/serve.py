"""Running processes: uvicorn with the peer's identity in the scope, probes, a clean stop."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator, Sequence
from typing import Any

import uvicorn
from typing_extensions import override
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kit import tls
from kit.health import Ready, health_app
from kit.logging import get_logger
from kit.settings import PartSettings, host_and_port

log = get_logger()


class _Server(uvicorn.Server):
    """A server that leaves signals to `run_process`, which runs two of them."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def peer_protocol(trust_domain: str) -> type[HttpToolsProtocol]:
    """Return uvicorn's protocol with `extensions.tls.datong_peer` in the scope.

    That is the part which the verified peer certificate names; uvicorn itself passes no
    certificate on.
    """

    class PeerProtocol(HttpToolsProtocol):
        _tls: dict[object, object]

        @override
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            ssl_object = transport.get_extra_info("ssl_object")
            certificate = ssl_object.getpeercert() if ssl_object is not None else None
            self._tls = {"datong_peer": tls.peer_part(certificate, trust_domain)}

        @override
        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["extensions"] = {"tls": self._tls}

    return PeerProtocol


async def run_process(
    settings: PartSettings,
    *,
    app: Any = None,
    background: Sequence[Coroutine[Any, Any, None]] = (),
    ready: Ready,
) -> None:
    """Run one process until SIGTERM or SIGINT.

    Args:
        app: the ASGI application behind the mTLS listener; None for relays and consumers.
        background: what runs beside it. When one of them ends, the process ends; an error of it
            is raised after everything has stopped.
        ready: what `/health/ready` answers.
    """
    servers = [_health_server(settings, ready)]
    if app is not None:
        servers.append(_api_server(settings, app))
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    tasks: list[asyncio.Task[Any]] = [loop.create_task(work) for work in background]
    serving: list[asyncio.Task[Any]] = [loop.create_task(server.serve()) for server in servers]
    stopping: asyncio.Task[Any] = loop.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, *serving, stopping], return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for server in servers:
        server.should_exit = True
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, *serving, return_exceptions=True)
    for task in done:
        if task is not stopping and not task.cancelled():
            error = task.exception()
            if error is not None:
                raise error


def _health_server(settings: PartSettings, ready: Ready) -> _Server:
    host, port = host_and_port(settings.health_listen)
    return _Server(
        uvicorn.Config(
            health_app(ready),
            host=host,
            port=port,
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            proxy_headers=False,
            server_header=False,
        )
    )


def _api_server(settings: PartSettings, app: Any) -> _Server:
    host, port = host_and_port(settings.listen)
    return _Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            http=peer_protocol(settings.trust_domain),
            loop="uvloop",
            ws="none",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=120,
            timeout_graceful_shutdown=10,
            ssl_certfile=str(settings.tls_certificate_file),
            ssl_keyfile=str(settings.tls_key_file),
            ssl_ca_certs=str(settings.tls_ca_file),
            ssl_context_factory=lambda _config, _default: tls.server_context(settings),
        )
    )
