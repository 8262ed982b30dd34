"""The clients of all identities that take part, opened when needed; the longest unused close."""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from datong.applying.folders import Folders
from datong.calls import CallLog
from datong.client import AsyncClient
from datong.errors import InputInvalid
from datong.identity import Identity

MAX_OPEN = 1024
"""Clients with open connections at once, some 130 KiB each.

Files go round the agencies. With fewer places than people who sign, every step would find its
client just closed, and pay for another handshake, which is dearer than the step itself.
Where the process may open few files, half of these.
"""


def _places() -> int:
    try:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (OSError, ValueError):
        return MAX_OPEN
    return MAX_OPEN if soft == resource.RLIM_INFINITY else max(1, min(MAX_OPEN, soft // 2))


@dataclass
class _Open:
    client: AsyncClient
    users: int = 0


@dataclass
class People:
    """Clients by name of identity.

    Attributes:
        gateway, server_ca: for enrolment; those of an identity at hand when None.
    """

    folders: Folders
    gateway: str | None = None
    server_ca: Path | None = None
    call_log: CallLog | None = None
    _most: int = field(default_factory=_places)
    _open: OrderedDict[str, _Open] = field(default_factory=OrderedDict)

    @asynccontextmanager
    async def client(self, name: str) -> AsyncIterator[AsyncClient]:
        """The client of an identity, which stays open while it is used.

        Raises:
            IdentityUnusable: there is no such identity.
        """
        held = self._open.get(name)
        if held is None:
            client = AsyncClient(
                self.folders.path(name), gateway=self.gateway, call_log=self.call_log
            )
            held = self._open[name] = _Open(client)
        self._open.move_to_end(name)
        held.users += 1
        try:
            yield held.client
        finally:
            held.users -= 1
            await self._close_unused(self._most)

    async def _close_unused(self, most: int) -> None:
        over = len(self._open) - most
        if over <= 0:
            return
        idle = [name for name, each in self._open.items() if not each.users]
        closing = [self._open.pop(name) for name in idle[:over]]
        await asyncio.gather(*(each.client.close() for each in closing))

    def address(self, name: str) -> tuple[str, Path | None]:
        """Where to enrol: the address of the gateway and its CA, as `name` knows them.

        Raises:
            InputInvalid: nobody knows.
        """
        identity = Identity.load(self.folders.path(name))
        gateway = self.gateway or identity.gateway
        if not gateway:
            raise InputInvalid("The address of the gateway is missing.", next_step="Add --gateway.")
        return gateway, self.server_ca or identity.server_ca_file

    async def close(self) -> None:
        """Close all clients."""
        await self._close_unused(0)
