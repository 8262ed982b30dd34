"""One HTTP/1.1 connection over TLS by callbacks: cheap enough to load a gateway from one core."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field

import httptools

CONNECT_SECONDS = 10.0


class ConnectionLost(Exception):
    """The connection ended before the answer did: whether the call arrived is unknown."""


@dataclass
class Reply:
    """One whole answer.

    Attributes:
        headers: by lower-case name.
        clock: `time.monotonic()` when its last byte was read; the same clock for all processes.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    clock: float = 0.0


class Connection(asyncio.Protocol):
    """Sends calls one after the other; the answer to each is awaited."""

    def __init__(self) -> None:
        self.lost: Exception | None = None
        self.closes = False
        self.closed = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        self._begin()

    @classmethod
    async def open(cls, address: str, tls: ssl.SSLContext) -> "Connection":
        """Connect to `host:port`.

        Raises:
            OSError, TimeoutError: no connection, or no TLS.
        """
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_SECONDS):
            _, connection = await loop.create_connection(
                cls, host, int(port), ssl=tls, server_hostname=host
            )
        return connection

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        if self._transport is None or self.lost is not None:
            raise ConnectionLost(repr(self.lost))
        self._transport.write(data)

    async def reply(self) -> Reply:
        """Wait for the answer to what was sent.

        Raises:
            ConnectionLost: it will not come whole.
        """
        if self.lost is not None:
            raise ConnectionLost(repr(self.lost))
        self._waiting = asyncio.get_running_loop().create_future()
        return await self._waiting

    async def call(self, data: bytes, seconds: float = 60.0) -> Reply:
        """Send a whole call and wait for its answer.

        Raises:
            ConnectionLost: no whole answer came within `seconds`.
        """
        self.send(data)
        try:
            async with asyncio.timeout(seconds):
                return await self.reply()
        except TimeoutError as error:
            self.abort()
            raise ConnectionLost(f"no answer within {seconds:g} s") from error

    @property
    def usable(self) -> bool:
        """Whether another call may be sent."""
        return self.lost is None and not self.closes

    def close(self) -> None:
        """End the connection in order."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    # ---- asyncio.Protocol ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._end(error)
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or ConnectionResetError("closed by the gateway"))

    # ---- httptools ----

    def on_header(self, name: bytes, value: bytes) -> None:
        self._reply.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        reply, self._reply.status = self._reply, self._parser.get_status_code()
        if 100 <= reply.status < 200:
            self._clear()
            return
        reply.clock = time.monotonic()
        reply.body = b"".join(self._pieces)
        self.closes = not self._parser.should_keep_alive()
        waiting, self._waiting = self._waiting, None
        self._clear()
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    # ---- within ----

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._clear()

    def _clear(self) -> None:
        self._reply = Reply()
        self._pieces: list[bytes] = []

    def _end(self, error: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = error
        if not self.closed.done():
            self.closed.set_result(None)
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(ConnectionLost(repr(error)))
