"""A relay that stops itself (SIGSTOP) once, between claiming a row and sending it.

`python -m tests.faults.stopped_relay URL BOOTSTRAP PART TOPIC [stop] [unfenced | late]`: `stop`
makes it stop itself. The others take a safeguard away: `unfenced` sends without a transaction,
`late` opens its producer after the claim, and so fences its successor.
"""

import asyncio
import os
import signal
import sys
from typing import Any

import asyncpg
from typing_extensions import override

from kit.relay import Relay


class StoppedRelay(Relay):
    """The shipped relay; it only stops at the worst moment."""

    armed = True

    @override
    async def _claim(self, connection: asyncpg.Connection) -> list[dict[str, Any]]:
        rows = await super()._claim(connection)
        if rows and self.armed:
            self.armed = False
            os.kill(os.getpid(), signal.SIGSTOP)
        return rows


class UnfencedRelay(StoppedRelay):
    """Without the safeguard: messages are sent outside of any transaction."""

    @override
    def _producer_options(self) -> dict[str, Any]:
        options = super()._producer_options()
        del options["transactional_id"], options["transaction_timeout_ms"]
        return options

    @override
    async def _transact(self, messages: list[tuple[str, bytes, bytes]]) -> None:
        assert self._producer is not None
        for topic, key, value in messages:
            await self._producer.send_and_wait(topic, value=value, key=key)


class LateRelay(StoppedRelay):
    """Without the safeguard: the producer is opened after rows were claimed."""

    @override
    async def _claim(self, connection: asyncpg.Connection) -> list[dict[str, Any]]:
        rows = await super()._claim(connection)
        if rows:
            await self._close_producer()
            await self._has_producer()
        return rows


def main(url: str, bootstrap: str, part: str, topic: str, *flags: str) -> None:
    """Run the relay until it is killed or fenced."""
    kinds = {"unfenced": UnfencedRelay, "late": LateRelay}
    kind = next((kinds[flag] for flag in flags if flag in kinds), StoppedRelay)
    relay = kind(url, part, [topic], {"bootstrap_servers": bootstrap})
    relay.armed = "stop" in flags
    asyncio.run(relay.run())


if __name__ == "__main__":
    main(*sys.argv[1:])
