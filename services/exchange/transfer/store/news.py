"""News: who waits for something is woken when it happens, also by another process.

NOTIFY tells a channel at commit. What was missed while a connection was lost is found by looking
again: whoever waits checks what it waits for after each call, and each second without news.
"""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from sqlalchemy import text

from kit.db import Tx
from kit.notices import listen

CHANNEL: Final = "transfer_news"
AGAIN_SECONDS: Final = 1.0
"""The longest wait without a new look."""


async def tell(tx: Tx, subject: str) -> None:
    """Wake at commit whoever waits for news of `subject`, such as `batch/<id>`."""
    await notify(tx, CHANNEL, subject)


async def notify(tx: Tx, channel: str, payload: str = "") -> None:
    """Tell `channel` at commit."""
    connection = await tx.connection()
    await connection.execute(
        text("SELECT pg_notify(:channel, :payload)").bindparams(channel=channel, payload=payload)
    )


class Watch:
    """One who waits for news of a subject; made by `News.watch`."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def wake(self) -> None:
        """End the present wait, or the next one."""
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news since the last wait, at most `seconds`; tell whether there were any.

        Without news it returns after a second at the latest: look again then.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(seconds, AGAIN_SECONDS))):
                await self._event.wait()
        came = self._event.is_set()
        self._event.clear()
        return came


class News:
    """The news of one process."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._watches: dict[str, set[Watch]] = defaultdict(set)
        self._over = False

    @property
    def over(self) -> bool:
        """Tell whether the process stops: then nobody waits any longer."""
        return self._over

    async def run(self) -> None:
        """Listen until cancelled; then wake all who wait, so that they answer what they have."""
        try:
            await listen(self._url, CHANNEL, self.hear)
        finally:
            self._over = True
            self.hear("")

    def hear(self, subject: str) -> None:
        """Wake those who wait for `subject`; all, when it is empty."""
        heard = list(self._watches) if not subject else [subject]
        for name in heard:
            for watch in self._watches.get(name, ()):
                watch.wake()

    @contextlib.contextmanager
    def watch(self, subject: str) -> Iterator[Watch]:
        """Watch `subject` within the block.

        Open it before the first look, so that nothing is missed between look and wait.
        """
        watch = Watch()
        self._watches[subject].add(watch)
        try:
            yield watch
        finally:
            self._watches[subject].discard(watch)
            if not self._watches[subject]:
                del self._watches[subject]
