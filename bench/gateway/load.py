"""The load of all rivals: keep-alive TLS 1.3 connections with a client certificate, closed loop.

`python -m bench.gateway.load` reads its plan as JSON from standard input and prints its figures as
JSON: every answer must be 200 with the expected body, or the run fails.
"""

import asyncio
import itertools
import json
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop
from typing_extensions import override


@dataclass
class Plan:
    """What to send where: `calls` in all over `connections`, to each of `paths` in turn."""

    port: int
    connections: int
    calls: int
    token: str
    method: str
    paths: list[str]
    purpose: str
    certificate: str
    key: str
    ca: str
    body_length: int

    def call(self, path: str) -> bytes:
        """Return the bytes of one call; one that reads has no body."""
        head = (
            f"{self.method} {path} HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n"
            f"authorization: Bearer {self.token}\r\ndatong-purpose: {self.purpose}\r\n"
        )
        if self.method == "GET":
            return f"{head}accept: application/json\r\n\r\n".encode()
        body = '{"where":{"parent_code":"3301"}}'
        return (
            f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()


@dataclass
class Tally:
    """What came back."""

    left: int
    total: int
    good: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One connection: sends the next call when an answer is complete."""

    def __init__(
        self, calls: Iterator[bytes], length: int, tally: Tally, done: asyncio.Event
    ) -> None:
        self._calls = calls
        self._length = length
        self._tally = tally
        self._done = done
        self._buffer = b""
        self._sent_at = 0.0

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; `send` begins."""
        self.transport = cast(asyncio.Transport, transport)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """A connection that ends while calls are left is wrong."""
        if self._tally.left > 0:
            self._tally.wrong.append(f"connection lost: {exc!r}")
            self._done.set()

    def send(self) -> None:
        """Send one call if any is left."""
        if self._tally.left > 0:
            self._tally.left -= 1
            self._sent_at = time.perf_counter()
            self.transport.write(next(self._calls))

    @override
    def data_received(self, data: bytes) -> None:
        """Check a complete answer and send the next call."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        # A refusal may be shorter than the expected answer: it is wrong at once, not waited for.
        right = self._buffer.startswith(b"HTTP/1.1 200 ")
        if head < 0 or (right and len(self._buffer) < head + 4 + self._length):
            return
        tally = self._tally
        tally.seconds.append(time.perf_counter() - self._sent_at)
        if right and len(self._buffer) == head + 4 + self._length:
            tally.good += 1
        else:
            tally.wrong.append(self._buffer[:900].decode("latin-1"))
        self._buffer = b""
        self.send()
        if tally.wrong or (tally.left == 0 and len(tally.seconds) >= tally.total):
            self._done.set()


async def _run(plan: Plan) -> dict[str, Any]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(plan.ca)
    context.load_cert_chain(plan.certificate, plan.key)
    tally, done = Tally(plan.calls, plan.calls), asyncio.Event()
    loop = asyncio.get_running_loop()
    # All connections take from the same calls: of several, none comes twice in a row on one.
    calls = itertools.cycle([plan.call(path) for path in plan.paths])
    callers = []
    for _ in range(plan.connections):
        _, caller = await loop.create_connection(
            lambda: Caller(calls, plan.body_length, tally, done),
            "127.0.0.1",
            plan.port,
            ssl=context,
            server_hostname="localhost",
        )
        callers.append(caller)
    # A gateway whose loop stood still during the handshakes first reads what it may have missed.
    await asyncio.sleep(1)
    began = time.perf_counter()
    for caller in callers:
        caller.send()
    await asyncio.wait_for(done.wait(), 120)
    took = time.perf_counter() - began
    for caller in callers:
        caller.transport.abort()
    ordered = sorted(tally.seconds)
    return {
        "good": tally.good,
        "wrong": tally.wrong[:3],
        "seconds": took,
        "p50_ms": ordered[len(ordered) // 2] * 1000 if ordered else None,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000 if ordered else None,
    }


if __name__ == "__main__":
    print(json.dumps(uvloop.run(_run(Plan(**json.load(sys.stdin))))))
