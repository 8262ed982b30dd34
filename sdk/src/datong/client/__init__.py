"""The client: `AsyncClient` for asyncio, `Client` with the same methods without `await`."""

from datong.client.asynchronous import AsyncClient
from datong.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]
