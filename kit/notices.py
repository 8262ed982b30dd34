"""Hearing what PostgreSQL's channels are told, so that nobody has to ask again and again."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

import asyncpg

from kit.logging import get_logger

AGAIN_SECONDS: Final = 1.0
"""How long a lost connection is left alone."""

log = get_logger()


async def listen(url: str, channel: str, heard: Callable[[str], None]) -> None:
    """Call `heard` with what `channel` is told, on a connection of its own, until cancelled.

    After each start of a connection it is called with an empty text: anything may have happened
    before.
    """
    while True:
        try:
            await _listen_once(url, channel, heard)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("no news", channel=channel, error=str(error))
        await asyncio.sleep(AGAIN_SECONDS)


async def _listen_once(url: str, channel: str, heard: Callable[[str], None]) -> None:
    connection = await asyncpg.connect(
        url, timeout=5, server_settings={"application_name": f"datong-{channel.replace('_', '-')}"}
    )
    ended = asyncio.Event()
    connection.add_termination_listener(lambda *_: ended.set())
    try:
        await connection.add_listener(channel, lambda _c, _p, _n, payload: heard(payload))
        heard("")
        await ended.wait()
    finally:
        with contextlib.suppress(Exception):
            await connection.close(timeout=1)
