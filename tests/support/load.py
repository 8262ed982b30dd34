"""A program that makes calls without pause: `python -m tests.support.load PLAN.json`.

A *lane* is one system calling one address over some connections. Each call is logged in the
format of the SDK's call log before its first byte leaves, and its outcome after, so that
`datong verify --calls` joins the log. A lost connection leaves the outcome unknown; the lane
connects anew and goes on. SIGTERM ends it when the calls in flight are over.

The lines are written, not synced: this process is never killed in the tests.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import uvloop

from datong import Identity
from datong.calls import new_call_id, now_text
from tests.support.load_connection import Connection, ConnectionLost, Reply

STOP_SECONDS = 5.0
RENEW_SECONDS = 60.0


@dataclass
class LanePlan:
    """What a lane does.

    Attributes:
        identity: folder of the calling system.
        gateway: `host:port`.
        bodies: queries, asked at random.
        rate: calls begun in a second, by all connections together.
        calls_per_connection: about that many calls, then a new connection, which may lead to
            another worker of the gateway; 0: connections are kept.
    """

    name: str
    identity: str
    gateway: str
    resource: str
    purpose: str
    bodies: list[str]
    connections: int = 8
    rate: float = 200.0
    calls_per_connection: int = 0


@dataclass
class LoadPlan:
    """All lanes, and the file that their calls are logged in."""

    log: str
    lanes: list[LanePlan] = field(default_factory=list)

    def write(self, target: Path) -> None:
        """Write what `read` reads."""
        target.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, source: Path) -> "LoadPlan":
        """Read a plan."""
        plan = json.loads(source.read_text(encoding="utf-8"))
        return cls(plan["log"], [LanePlan(**lane) for lane in plan["lanes"]])


class Log:
    """The call log; beside the SDK's fields each line has its lane and a monotonic instant."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event: str, call: str, lane: str, **fields: Any) -> None:
        line = {"event": event, "call": call, "at": now_text(), "lane": lane}
        line["clock"] = fields.pop("clock", None) or time.monotonic()
        line.update({name: value for name, value in fields.items() if value is not None})
        os.write(self._file, json.dumps(line, separators=(",", ":")).encode() + b"\n")


class Lane:
    """One system that calls."""

    def __init__(self, plan: LanePlan, log: Log) -> None:
        self._plan = plan
        self._log = log
        self._identity = Identity.load(Path(plan.identity))
        self._tls = self._identity.tls()
        self._path = f"/data/v1/{plan.resource}/query"
        self._bodies = [(body.encode(), sha256(body.encode()).hexdigest()) for body in plan.bodies]
        self._token = ""
        self._token_until = 0.0
        self._renewing = asyncio.Lock()
        self._next_turn = time.monotonic()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin no further call."""
        self._stopping.set()

    async def run(self) -> None:
        """Call until stopped."""
        await asyncio.gather(*(self._connection() for _ in range(self._plan.connections)))

    async def _connection(self) -> None:
        """Call over one connection after the other."""
        while not self._stopping.is_set():
            try:
                connection = await Connection.open(self._plan.gateway, self._tls)
            except (OSError, TimeoutError):
                await self._pause(0.1)
                continue
            left = self._calls_left()
            try:
                while left > 0 and connection.usable and await self._turn():
                    await self._call(connection)
                    left -= 1
            except ConnectionLost:
                await self._pause(0.02)
            finally:
                connection.close()

    def _calls_left(self) -> int:
        about = self._plan.calls_per_connection
        return random.randint(about // 2 + 1, about * 3 // 2) if about else sys.maxsize

    async def _turn(self) -> bool:
        """Wait until the next call is due by the rate; False when stopped meanwhile."""
        now = time.monotonic()
        self._next_turn = max(self._next_turn, now - 0.1) + 1 / self._plan.rate
        if self._next_turn > now:
            await self._pause(self._next_turn - now)
        return not self._stopping.is_set()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _call(self, connection: Connection) -> None:
        if time.time() > self._token_until:
            async with self._renewing:
                if time.time() > self._token_until and not await self._renew(connection):
                    return
        body, digest = random.choice(self._bodies)
        headers = f"Authorization: Bearer {self._token}\r\nDatong-Purpose: {self._plan.purpose}\r\n"
        reply = await self._attempt(
            connection, "query", self._path, "application/json", headers, body, digest
        )
        if reply.status == 401:
            self._token_until = 0.0

    async def _renew(self, connection: Connection) -> bool:
        form = {"grant_type": "client_credentials", "client_id": self._identity.id}
        body = urlencode(form).encode()
        reply = await self._attempt(
            connection,
            "issue_token",
            "/identity/v1/token",
            "application/x-www-form-urlencoded",
            "",
            body,
            sha256(body).hexdigest(),
        )
        if reply.status != 200:
            return False
        answer = json.loads(reply.body)
        self._token = answer["access_token"]
        self._token_until = time.time() + max(1.0, answer["expires_in"] - RENEW_SECONDS)
        return True

    async def _attempt(
        self,
        connection: Connection,
        operation: str,
        path: str,
        media: str,
        headers: str,
        body: bytes,
        digest: str,
    ) -> Reply:
        """Make one call under a new id; logged before and after."""
        call, lane = new_call_id(), self._plan.name
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self._plan.gateway}\r\nContent-Type: {media}\r\n"
            f"Content-Length: {len(body)}\r\nDatong-Call: {call}\r\n{headers}\r\n"
        )
        request = {"request_digest": digest, "request_bytes": len(body)}
        self._log.write(
            "sent",
            call,
            lane,
            operation=operation,
            method="POST",
            path=path,
            certificate=self._identity.thumbprint,
            purpose=self._plan.purpose if operation == "query" else None,
            **request,
        )
        try:
            reply = await connection.call(head.encode() + body)
        except BaseException as error:
            self._log.write("unknown", call, lane, error=f"{type(error).__name__}: {error}")
            raise
        self._log.write(
            "answered",
            call,
            lane,
            clock=reply.clock,
            status=reply.status,
            code=_code_of(reply),
            answer_digest=sha256(reply.body).hexdigest(),
            answer_bytes=len(reply.body),
            evidence=reply.headers.get("datong-evidence"),
            salt=reply.headers.get("datong-salt"),
            **request,
        )
        return reply


def _code_of(reply: Reply) -> str | None:
    if reply.status < 400:
        return None
    try:
        return str(json.loads(reply.body)["code"])
    except (ValueError, KeyError, TypeError):
        return "no-problem-document"


async def main(plan: LoadPlan) -> None:
    """Run all lanes until SIGTERM."""
    log = Log(plan.log)
    lanes = [Lane(lane, log) for lane in plan.lanes]
    running = [asyncio.create_task(lane.run()) for lane in lanes]
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait([waiting, *running], return_when=asyncio.FIRST_COMPLETED)
    for lane in lanes:
        lane.stop()
    _, late = await asyncio.wait(running, timeout=STOP_SECONDS)
    for task in late:
        task.cancel()  # their outcome is logged as unknown
    for result in await asyncio.gather(*running, return_exceptions=True):
        if isinstance(result, Exception):
            raise result


if __name__ == "__main__":
    uvloop.run(main(LoadPlan.read(Path(sys.argv[1]))))
