"""What one turn of the event loop brings is worked off together: heard, decided, then sent.

After each system call the processor has forgotten the branches that it had learned (such is the
price of the mitigations in the kernel), and the interpreter is nothing but branches: between the
reads and writes of a busy worker, the same Python takes twice its time. So all that the sockets
brought is read first; then all of it is worked off in a row; then all is written. One call alone
waits for nobody: its turn ends with it.
"""

import asyncio
from collections import deque
from typing import Final, Protocol

from kit.logging import get_logger

AT_ONCE: Final = 1 << 14
"""Bytes. More than that is taken, and written, at once: of a connection that brings much, the loop
reads on and on, and must hear first whether it may; and whoever sends much must hear first whether
the other side takes it."""
MOST: Final = 256
"""Writes that wait for the end of a turn; then they go, and the next begin to wait."""

log = get_logger()


class Receiver(Protocol):
    """A connection that something was received on."""

    def take(self, data: bytes) -> None:
        """Act on received bytes."""
        ...

    def fail(self) -> None:
        """End at once, after a fault of ours."""
        ...


class Turn:
    """The turns of one worker's loop. As a context, the same for what comes from elsewhere.

    Whatever is written to one transport stays in order; `flush` before a transport is closed.
    """

    __slots__ = ("_collects", "_heard", "_loop", "_writes")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heard: list[tuple[Receiver, bytes]] = []
        self._writes: deque[tuple[asyncio.WriteTransport, bytes]] = deque()
        self._collects = False

    def hear(self, receiver: Receiver, data: bytes) -> None:
        """Have `receiver` take `data` when all that is there has been read, in order."""
        heard = self._heard
        heard.append((receiver, data))
        if len(data) > AT_ONCE:
            self.work()
        elif len(heard) == 1:
            self._loop.call_soon(self.work)

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write at the end of the turn, or at once when there is none, or `data` is large."""
        writes = self._writes
        if self._collects and len(data) <= AT_ONCE and len(writes) < MOST:
            writes.append((transport, data))
        else:
            self.flush()
            transport.write(data)

    def flush(self) -> None:
        """Write all that waits for the end of the turn."""
        writes = self._writes
        while writes:
            # One by one: a transport that takes all may call back, and have more written.
            transport, data = writes.popleft()
            try:
                transport.write(data)
            except Exception:
                log.exception("fault in a transport")

    def work(self) -> None:
        """Work off what has been heard, and write."""
        heard, self._heard = self._heard, []
        with self:
            for receiver, data in heard:
                try:
                    receiver.take(data)
                except Exception:
                    # A fault of ours must not take other connections with it.
                    log.exception("fault in a connection")
                    self._fail(receiver)

    def _fail(self, receiver: Receiver) -> None:
        try:
            receiver.fail()
        except Exception:
            log.exception("connection not ended")

    def __enter__(self) -> None:
        """Begin to collect what is written."""
        self._collects = True

    def __exit__(self, *_: object) -> None:
        """Write it."""
        try:
            self.flush()
        finally:
            self._collects = False
