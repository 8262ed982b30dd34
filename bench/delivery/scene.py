"""A platform with an owner and a consumer, and what both of them run."""

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import asyncpg

from bench.delivery.rows import ENTRY, ITEMS, RESOURCE, create_table
from bench.delivery.stages import Stages, read_stages
from bench.delivery.usage import Meter, Usage, run, start, stop
from datong import CallLog
from kit.clock import SystemClock, rfc3339
from stack.demo.entries import PURPOSE, publish_entry
from stack.demo.town import Town, found
from stack.supervisor import Stack
from stack.supervisor.servers import create_database

RECEIPT_SECONDS: Final = 600.0
OURS: Final = ("transfer-api", "transfer-work", "gateway-slot-0", "gateway-slot-1")
"""Processes whose memory has a budget, beside the departments' own programs."""


@dataclass(frozen=True)
class Run:
    """One batch from the owner's file to the consumer's receipt.

    Attributes:
        usage: by process; `publish` and `receive` are the departments'.
        rows: counted in the consumer's table.
        load: of the machine over the last minute, at its end; ours included.
    """

    file_format: str
    stages: Stages
    usage: dict[str, Usage]
    rows: int
    state: str
    load: float


class Scene:
    """A running platform on which everybody is enrolled.

    Args:
        directory: of identities, logs and the consumer's database URL.
    """

    def __init__(self, stack: Stack, directory: Path) -> None:
        self._stack = stack
        self._directory = directory
        self._town = Town(
            stack.address("gateway"),
            stack.certificates.ca,
            directory / "identities",
            CallLog(directory / "town.ndjson"),
        )
        self._url_file = directory / "consumer.url"

    async def found(self) -> None:
        """Enrol everybody, and give the consumer a database in the platform's PostgreSQL."""
        codes = [file.read_text(encoding="utf-8").strip() for file in await self._stack.bootstrap()]
        await found(self._town, (codes[0], codes[1]))
        url = self._stack.administrator_url
        await create_database(url, "consumer", self._url_file)

    async def close(self) -> None:
        """Close all clients."""
        await self._town.close()

    async def copy(self, file: Path) -> float:
        """Return the seconds that plain `COPY` of a CSV file into a keyed table takes."""
        connection = await asyncpg.connect(self._url())
        try:
            await connection.execute("DROP TABLE IF EXISTS floor")
            await connection.execute(create_table("floor"))
            began = time.perf_counter()
            await connection.copy_to_table("floor", source=file, format="csv", header=True)
            took = time.perf_counter() - began
            await connection.execute("DROP TABLE floor")
        finally:
            await connection.close()
        await self._checkpoint()
        return took

    async def deliver(self, file: Path, file_format: str) -> Run:
        """Publish a file to a consumer that waits for it; return when its receipt is answered."""
        resource = f"{RESOURCE}-{file_format}"
        await self._grant(resource)
        table = f"residents_{file_format}"
        publisher, receiver = (
            self._directory / f"{name}-{file_format}.ndjson" for name in ("publish", "receive")
        )
        meter = Meter({name: self._stack.pid(name) for name in self._stack.watched})
        log = self._directory / f"{file_format}.log"
        waiting = start(self._receive(resource, table, receiver), log)
        try:
            published = await run(self._publish(resource, file, publisher), log)
            finished_at = json.loads(published.output)["batch"]["finished_at"]
            stages = await self._receipt(publisher, receiver, finished_at, waiting)
        finally:
            received = await stop(waiting)
        load = os.getloadavg()[0]
        usage = meter.read() | {"publish": published.usage, "receive": received}
        rows, state = await self._held(table)
        await self._checkpoint()
        return Run(file_format, stages, usage, rows, state, load)

    async def _grant(self, resource: str) -> None:
        """Publish the entry, and have the consumer's system be granted all of it."""
        await publish_entry(self._town, ENTRY | {"resource": resource})
        now = SystemClock().now()
        await self._town.client("requester").create_request(
            resource,
            systems=[self._town.identities["consumer"].id],
            items=[item["name"] for item in ITEMS],
            modes=["batch"],
            purposes=[PURPOSE],
            basis="传染病防治法第三十八条",
            scenario="传染病病例按现住址统计到社区",
            valid_from=rfc3339(now - timedelta(minutes=1)),
            valid_until=rfc3339(now + timedelta(days=1)),
        )

    def _datong(self, who: str, calls: Path, *arguments: str) -> list[str]:
        identity = str(self._town.identities[who].directory)
        options = ["--identity", identity, "--call-log", str(calls), "--json"]
        after = self._town.revisions.header()
        options += ["--after", after] if after else []
        return [sys.executable, "-m", "datong", *options, *arguments]

    def _publish(self, resource: str, file: Path, calls: Path) -> list[str]:
        return self._datong("publisher", calls, "publish", resource, str(file))

    def _receive(self, resource: str, table: str, calls: Path) -> list[str]:
        options = ["--into", self._url(), "--table", table, "--purpose", PURPOSE, "--follow"]
        return self._datong("consumer", calls, "receive", resource, *options)

    async def _receipt(
        self, publisher: Path, receiver: Path, finished_at: str, waiting: subprocess.Popen[bytes]
    ) -> Stages:
        """Wait for the receipt of what became effective at `finished_at`."""
        deadline = time.monotonic() + RECEIPT_SECONDS
        while waiting.poll() is None and time.monotonic() < deadline:
            stages = read_stages(publisher, receiver, finished_at)
            if stages is not None:
                return stages
            await asyncio.sleep(0.1)
        raise SystemExit(f"No receipt came; see {self._directory}.")

    async def _held(self, table: str) -> tuple[int, str]:
        """Return the rows of the consumer's table, and the state of the last delivery's receipt."""
        connection = await asyncpg.connect(self._url())
        try:
            rows = await connection.fetchval(f"SELECT count(*) FROM {table}")
        finally:
            await connection.close()
        connection = await asyncpg.connect(self._stack.database_url("transfer"))
        try:
            state = await connection.fetchval(
                "SELECT receipt_state FROM delivery ORDER BY created_at DESC LIMIT 1"
            )
        finally:
            await connection.close()
        return int(rows), str(state)

    async def _checkpoint(self) -> None:
        """Let no run pay for what the one before left to be written."""
        connection = await asyncpg.connect(self._stack.administrator_url)
        try:
            await connection.execute("CHECKPOINT")
        finally:
            await connection.close()

    def _url(self) -> str:
        return self._url_file.read_text(encoding="utf-8").strip()
