"""The listening socket of one worker: accepts, shakes hands, counts what fails."""

import asyncio
import socket
import ssl
import time
from typing import Final

from gateway.listener.connection import ClientConnection
from gateway.listener.path import DataPath
from kit.logging import get_logger
from kit.settings import host_and_port

HANDSHAKE_SECONDS: Final = 10.0
_BACKLOG: Final = 1024
_ACCEPTED_AT_ONCE: Final = 64
_REST_SECONDS: Final = 0.5
_UNKNOWN_AUTHORITY: Final = frozenset({2, 18, 19, 20, 21})
"""X509_V_ERR codes that mean: no chain to a CA of the departments."""

log = get_logger()


def listening_socket(address: str) -> socket.socket:
    """Return a socket that listens at `host:port`; workers of one gateway share the port.

    Raises:
        OSError: the address cannot be used.
    """
    host, port = host_and_port(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.setblocking(False)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


class Listener:
    """Accepts connections for a `DataPath`.

    A loop of its own instead of `create_server`, since each connection must take the newest TLS
    context and a failed handshake must be counted.
    """

    def __init__(self, path: DataPath, sock: socket.socket) -> None:
        self._path = path
        self._sock = sock
        self._handshakes: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """Return the port that is listened on."""
        return int(self._sock.getsockname()[1])

    def start(self) -> None:
        """Begin to accept."""
        asyncio.get_running_loop().add_reader(self._sock.fileno(), self._accept)

    async def stop(self) -> None:
        """Accept nothing more, give calls in hand `stop_seconds`, then cut the rest."""
        path = self._path
        if path.stopping:
            return
        path.stopping = True
        asyncio.get_running_loop().remove_reader(self._sock.fileno())
        self._sock.close()
        for handshake in tuple(self._handshakes):
            handshake.cancel()
        for connection in tuple(path.connections):
            connection.stop()
        end = time.monotonic() + path.settings.stop_seconds
        while path.in_hand and time.monotonic() < end:  # noqa: ASYNC110 - once, when stopping
            await asyncio.sleep(0.02)
        for connection in tuple(path.connections):
            connection.abort()
        await asyncio.sleep(0)

    def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                log.error("connection not accepted", error=repr(error))
                self._rest()
                return
            path = self._path
            if len(path.connections) + len(self._handshakes) >= path.settings.connections:
                path.counts.connections_refused += 1
                sock.close()
                continue
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            handshake = loop.create_task(self._shake_hands(sock))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    def _rest(self) -> None:
        """Accept nothing for a while: without file descriptors the loop would do nothing else."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._sock.fileno())
        loop.call_later(_REST_SECONDS, self._go_on)

    def _go_on(self) -> None:
        if not self._path.stopping:
            self.start()

    async def _shake_hands(self, sock: socket.socket) -> None:
        failed = self._path.counts.handshakes_failed
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: ClientConnection(self._path),
                sock,
                ssl=self._path.tls.context,
                ssl_handshake_timeout=HANDSHAKE_SECONDS,
                ssl_shutdown_timeout=2.0,
            )
        except ssl.SSLCertVerificationError as error:
            known = error.verify_code in _UNKNOWN_AUTHORITY
            failed["unknown-authority" if known else "certificate"] += 1
        except (OSError, TimeoutError):
            failed["tls"] += 1
