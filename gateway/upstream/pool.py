"""Connections to one part: the last one that came back is the first to be given out."""

import asyncio
import ssl
import time
from collections import deque
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from gateway.turn import Turn
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.deadlines import Deadlines
from kit.logging import get_logger
from kit.tls import peer_part

IDLE_SECONDS: Final = 60.0
"""An idle connection is closed well before the part would close it (120 s)."""
CONNECT_SECONDS: Final = 5.0
MAX_WAITING: Final = 1024

log = get_logger()


class Asker(Protocol):
    """A call that waits for a connection."""

    @property
    def still_asks(self) -> bool:
        """Return whether it still wants one."""
        ...

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        """Take a connection; called during `Pool.ask` when one is idle."""
        ...

    def upstream_unavailable(self) -> None:
        """Learn that the part cannot be reached."""
        ...


class Pool:
    """At most `limit` mTLS connections to one part.

    Args:
        part: whose SPIFFE id the peer must have.
        url: `https://host:port`.
        context: presents the gateway's certificate.
        trust_domain: of the SPIFFE ids.
        waiting: calls that may wait for a connection.

    Attributes:
        full: a sentence for calls that get none.

    Raises:
        ValueError: `url` is not an https address with a port.
    """

    idle_seconds = IDLE_SECONDS

    def __init__(
        self,
        part: str,
        url: str,
        context: ssl.SSLContext,
        trust_domain: str,
        deadlines: Deadlines,
        turn: Turn,
        limit: int,
        waiting: int = MAX_WAITING,
    ) -> None:
        address = urlsplit(url)
        if address.scheme != "https" or not address.hostname or not address.port:
            raise ValueError(f"the address of {part} is not https://host:port")
        self.part = part
        self.host_line = b"\r\nHost: " + part.encode()
        self.full = f"Too many calls wait for {part}."
        self.reached = 0
        self.refused = 0
        self._address = (address.hostname, address.port)
        self._context = context
        self._trust_domain = trust_domain
        self._deadlines = deadlines
        self._turn = turn
        self._limit = limit
        self._may_wait = waiting
        self._open: set[UpstreamConnection] = set()
        self._opening = 0
        self._idle: list[UpstreamConnection] = []
        self._waiting: deque[Asker] = deque()
        self._attempts: set[asyncio.Task[None]] = set()
        self._closed = False

    def ask(self, asker: Asker) -> bool:
        """Give `asker` a connection now or later.

        Returns:
            False when too many wait already; nothing will come then.
        """
        idle = self._idle
        while idle:
            connection = idle.pop()
            if not connection.closing:
                asker.upstream_ready(connection)
                return True
        if self._closed or (self._is_full() and self._is_full_of_askers()):
            return False
        self._waiting.append(asker)
        self._open_more()
        return True

    def _is_full(self) -> bool:
        """Tell whether more wait than may, besides those for whom a connection is being opened."""
        return len(self._waiting) - self._opening >= self._may_wait

    def _is_full_of_askers(self) -> bool:
        """Forget calls that were given up while they waited; tell whether that made no room."""
        self._waiting = deque(asker for asker in self._waiting if asker.still_asks)
        return self._is_full()

    async def close(self) -> None:
        """Close all connections; those that carry a call are cut."""
        self._closed = True
        for attempt in tuple(self._attempts):
            attempt.cancel()
        await asyncio.gather(*self._attempts, return_exceptions=True)
        for connection in tuple(self._open):
            connection.abandon()

    @property
    def connections(self) -> int:
        """Return how many connections are open."""
        return len(self._open)

    # ---- for connections ----

    def connected(self, connection: UpstreamConnection) -> None:
        """Take a connection that has just been opened."""
        self.reached += 1
        self._open.add(connection)
        self._deadlines.add(connection)
        self.freed(connection)

    def freed(self, connection: UpstreamConnection) -> None:
        """Give the connection to whoever waits longest, or keep it idle."""
        asker = self._next()
        if asker is not None:
            asker.upstream_ready(connection)
            return
        connection.deadline = time.monotonic() + self.idle_seconds
        self._idle.append(connection)

    def lost(self, connection: UpstreamConnection) -> None:
        """Forget a connection and open another when calls wait."""
        self._open.discard(connection)
        self._deadlines.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._open_more()

    def knows(self, certificate: dict[str, Any] | None) -> bool:
        """Tell whether a peer certificate is that of the part."""
        found = peer_part(certificate, self._trust_domain)
        if found != self.part:
            log.error("wrong peer", wanted=self.part, found=found)
            return False
        return True

    # ---- opening ----

    def _next(self) -> Asker | None:
        while self._waiting:
            asker = self._waiting.popleft()
            if asker.still_asks:
                return asker
        return None

    def _open_more(self) -> None:
        while (
            not self._closed
            and self._opening < len(self._waiting)
            and self._opening + len(self._open) < self._limit
        ):
            self._opening += 1
            attempt = asyncio.get_running_loop().create_task(self._connect())
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempts.discard)

    async def _connect(self) -> None:
        """Open one connection; whoever waits longest learns when that fails."""
        connection = UpstreamConnection(self, self._turn)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._reach(connection)
        except (OSError, TimeoutError) as error:
            self._not_reached(error)
        finally:
            self._opening -= 1
        if not connection.known and not self._closed:
            self.refused += 1
            asker = self._next()
            if asker is not None:
                asker.upstream_unavailable()
            self._open_more()

    async def _reach(self, connection: UpstreamConnection) -> None:
        """Connect and shake hands.

        Raises:
            OSError: the part cannot be reached, or is not trusted.
        """
        host, port = self._address
        await asyncio.get_running_loop().create_connection(
            lambda: connection, host, port, ssl=self._context
        )

    def _not_reached(self, error: Exception) -> None:
        """Take note of why a connection was not opened."""
        log.warning("part not reached", peer=self.part, error=repr(error))
