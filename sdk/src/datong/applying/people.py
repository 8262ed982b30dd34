"""The clients of all identities that take part, opened when needed; the longest unused close."""

from __future__ import annotations

import asyncio
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

MAX_OPEN = 128
"""Clients with open connections at once."""


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
            await self._close_unused(MAX_OPEN)

    async def _close_unused(self, most: int) -> None:
        idle = [name for name, each in self._open.items() if not each.users]
        closing = [self._open.pop(name) for name in idle[: max(0, len(self._open) - most)]]
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
