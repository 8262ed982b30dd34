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
"""Bytes. More than that is taken at once: of a connection that brings much, the loop reads on and
on, and must hear first whether it may."""

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
            self._work()
        elif len(heard) == 1:
            self._loop.call_soon(self._work)

    def write(self, transport: asyncio.WriteTransport, data: bytes) -> None:
        """Write at the end of the turn, or at once when there is none."""
        if self._collects:
            self._writes.append((transport, data))
        else:
            transport.write(data)

    def flush(self) -> None:
        """Write all that waits for the end of the turn."""
        writes = self._writes
        while writes:
            # One by one: a transport that takes all may call back, and have more written.
            transport, data = writes.popleft()
            transport.write(data)

    def _work(self) -> None:
        heard, self._heard = self._heard, []
        with self:
            for receiver, data in heard:
                try:
                    receiver.take(data)
                except Exception:
                    # A fault of ours must not take other connections with it.
                    log.exception("fault in a connection")
                    receiver.fail()

    def __enter__(self) -> None:
        """Begin to collect what is written."""
        self._collects = True

    def __exit__(self, *_: object) -> None:
        """Write it."""
        self.flush()
        self._collects = False
