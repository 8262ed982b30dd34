"""Connections to owners' services: TLS 1.3, addresses looked at, a pool for each service."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

from typing_extensions import override

from gateway.domain import OwnService
from gateway.turn import Turn
from gateway.upstream.breaker import REST_SECONDS, Breaker
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.deadlines import Deadlines
from gateway.upstream.shared import SharedPool
from kit.addresses import is_public
from kit.logging import get_logger

IDLE_SECONDS: Final = 15.0
"""Servers of all kinds stand there; many close an idle connection before a minute is over."""
MAX_ADDRESSES: Final = 4
"""Addresses of a name that are tried, one after the other."""
MAX_POOLS: Final = 256
"""Pools that are kept though nobody uses them."""
_MAX_BREAKERS: Final = 256
"""Breakers that a pool keeps though they have nothing to remember."""

_LOOKING: Final = ThreadPoolExecutor(16, "names-of-owners")

Allows = Callable[[str], bool]
"""Tells whether an IP address may be connected to."""
Resolve = Callable[[str, int], Awaitable[list[str]]]
"""From host and port to IP addresses; raises `OSError` when there are none."""

log = get_logger()


class AddressRefused(OSError):
    """The host leads to an address that this platform does not call."""


async def resolve(host: str, port: int) -> list[str]:
    """Return the IP addresses of a host, as the system resolves it.

    In threads of their own: a name server of an owner that does not answer holds one for long,
    and the names of parts must not wait for it.

    Raises:
        OSError: it has none.
    """
    look = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_LOOKING, look)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def any_address(_address: str) -> bool:
    """Allow every address, private and loopback ones too."""
    return True


def owner_context(ca: str | None, certificate: Path, key: Path) -> ssl.SSLContext:
    """Return a context for one service; blocks while files are read.

    Args:
        ca: PEM certificates that are trusted, and no others; None for those of the system.
        certificate, key: PEM files of what the gateway presents when it is asked.

    Raises:
        OSError, ValueError: one of them cannot be used (`ssl.SSLError` is an `OSError`).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if ca is None:
        context.load_default_certs()
    else:
        # What the owner names is trusted by itself, also when it is an intermediate CA.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=ca)
    context.load_cert_chain(certificate, key)
    return context


class OwnerPool(SharedPool):
    """At most `limit` connections to one service of an owner.

    Args:
        owner: agency whose service it is.
        make_context: see `owner_context`; called with the CA, in a thread.
        resolve: looks a host up, each time that connections are opened.
        allows: which of the addresses that it leads to may be connected to.
        limit, share: see `SharedPool`.
        rest: see `Breaker`.

    Attributes:
        cause: why the last connection was not opened, as the fact `cause` of the refusal.
    """

    idle_seconds = IDLE_SECONDS

    def __init__(
        self,
        owner: str,
        service: OwnService,
        make_context: Callable[[str | None], ssl.SSLContext],
        deadlines: Deadlines,
        turn: Turn,
        limit: int,
        share: int,
        *,
        resolve: Resolve,
        allows: Allows,
        rest: float = REST_SECONDS,
    ) -> None:
        host = f"[{service.host}]" if ":" in service.host else service.host
        place = f"{host}:{service.port}"
        # The context is made when it is needed first; until then this one trusts nobody.
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        super().__init__(
            "the owner's service", f"https://{place}", nobody, "", deadlines, turn, limit, share
        )
        self.owner = owner
        self.cause = "unreachable"
        self.origin = f"https://{place}".encode()
        self.host_line = b"\r\nHost: " + place.encode()
        self._ca = service.ca
        self._make_context = make_context
        self._made: ssl.SSLContext | None = None
        self._resolve = resolve
        self._allows = allows
        self._rest = rest
        self._breakers: dict[str, Breaker] = {}
        self._looking: asyncio.Task[list[str]] | None = None

    def breaker(self, operation: str) -> Breaker:
        """Return the breaker of an operation: one that hangs closes no other to its callers."""
        found = self._breakers.get(operation)
        if found is None:
            if len(self._breakers) >= _MAX_BREAKERS:
                self._breakers = {k: each for k, each in self._breakers.items() if each.is_open}
            found = self._breakers[operation] = Breaker(self._rest)
        return found

    @property
    def circuits_open(self) -> int:
        """Return how many operations are left alone, since they failed again and again."""
        return sum(breaker.is_open for breaker in self._breakers.values())

    @property
    def is_taken(self) -> bool:
        """Return whether all connections carry calls, so that the service is not to blame."""
        return len(self._open) >= self._limit and not self._idle

    @property
    def is_idle(self) -> bool:
        """Return whether nobody would miss the pool."""
        return not (self._open or self._waiting or self._opening or self.circuits_open)

    @override
    async def close(self) -> None:
        await super().close()
        if self._looking is not None:
            self._looking.cancel()

    @override
    def knows(self, certificate: dict[str, Any] | None) -> bool:
        """Return True: TLS has compared the certificate with the host's name."""
        return True

    @override
    async def _reach(self, connection: UpstreamConnection) -> None:
        host, port = self._address
        addresses = await self._look_up(host, port)
        # Whoever answers for the name answers again at each connection: what is connected to is
        # the address that was looked at, and one that leads inside spoils them all.
        if not all(map(self._allows, addresses)):
            raise AddressRefused(f"{host} leads to an address that is not allowed")
        error: OSError = OSError(f"{host} has no address")
        for address in addresses[:MAX_ADDRESSES]:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, address, port, ssl=self._made, server_hostname=host
                )
            except OSError as failure:
                error = failure
            else:
                return
        raise error

    async def _look_up(self, host: str, port: int) -> list[str]:
        """Look the host up, once for all connections that are being opened.

        A name server that does not answer holds one thread, however many calls wait for it.
        """
        if self._looking is None:
            self._looking = asyncio.ensure_future(self._prepare(host, port))
            self._looking.add_done_callback(self._looked)
        return await asyncio.shield(self._looking)

    async def _prepare(self, host: str, port: int) -> list[str]:
        if self._made is None:
            self._made = await asyncio.to_thread(self._context_of_service)
        return await self._resolve(host, port)

    def _looked(self, looking: asyncio.Task[list[str]]) -> None:
        self._looking = None
        if not looking.cancelled():
            looking.exception()  # All who waited for it may have gone.

    def _context_of_service(self) -> ssl.SSLContext:
        try:
            return self._make_context(self._ca)
        except (OSError, ValueError) as error:
            raise ssl.SSLCertVerificationError(f"no context: {error!r}") from error

    @override
    def _not_reached(self, error: Exception) -> None:
        self.cause = _cause(error)
        log.warning(
            "owner's service not reached",
            owner=self.owner,
            peer=self.origin.decode(),
            cause=self.cause,
            error=repr(error),
        )


def _cause(error: Exception) -> str:
    if isinstance(error, AddressRefused):
        return "address"
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    return "tls" if isinstance(error, ssl.SSLError) else "unreachable"


class OwnerPools:
    """The pools of all services that are called, each made when it is first needed.

    Args:
        make_context: see `OwnerPool`.
        limit: connections to one service.
        share: calls of one caller to one service at once; at most half of the connections.
        allows, resolve, rest: see `OwnerPool`.
    """

    def __init__(
        self,
        make_context: Callable[[str | None], ssl.SSLContext],
        deadlines: Deadlines,
        turn: Turn,
        limit: int,
        share: int,
        *,
        allows: Allows = is_public,
        resolve: Resolve = resolve,
        rest: float = REST_SECONDS,
    ) -> None:
        self._make_context = make_context
        self._deadlines = deadlines
        self._turn = turn
        self._limit = limit
        self._share = min(share, max(1, limit // 2))
        self._allows = allows
        self._resolve = resolve
        self._rest = rest
        self._pools: dict[tuple[str, str, int, str | None], OwnerPool] = {}

    def __iter__(self) -> Iterator[OwnerPool]:
        return iter(list(self._pools.values()))

    def pool(self, owner: str, service: OwnService) -> OwnerPool:
        """Return the pool of a service.

        Two owners never share one: else whoever names another's address could spoil it for him.
        """
        key = (owner, service.host, service.port, service.ca)
        found = self._pools.get(key)
        if found is None:
            if len(self._pools) >= MAX_POOLS:
                self._pools = {k: pool for k, pool in self._pools.items() if not pool.is_idle}
            found = self._pools[key] = OwnerPool(
                owner,
                service,
                self._make_context,
                self._deadlines,
                self._turn,
                self._limit,
                self._share,
                resolve=self._resolve,
                allows=self._allows,
                rest=self._rest,
            )
        return found

    async def close(self) -> None:
        """Close all connections; those that carry a call are cut."""
        for pool in self._pools.values():
            await pool.close()
