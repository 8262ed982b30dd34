"""One table between an owner and two consumers, kept by the programs that departments run."""

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from kit.clock import SystemClock, rfc3339
from stack.demo.entries import PURPOSE, publish_entry
from stack.folders import CHECKOUT
from stack.process import Process
from stack.settings import inherited_environment
from stack.supervisor import Stack
from stack.supervisor.servers import create_database
from stack.supervisor.watch import until_ended
from tests.support.delivered import Consumer, Inspection
from tests.support.departments import Program
from tests.support.load_run import LoadedCall
from tests.support.processes import wait_until
from tests.support.register import ENTRY, NAMES, Batch, Register
from tests.support.town import TestTown

ITEMS_OF = {"consumer": NAMES, "stranger": ["number", "line", "name", "insured"]}
"""What each of the receiving systems is granted; the keys are among them."""
DATONG = ("-m", "datong")
QUIET_SECONDS = 90.0


@dataclass
class Exchange:
    """The owner's register, its consumers, and the programs of all of them.

    Attributes:
        logs: of calls, by program.
        draw: chooses moments.
        receiver: what follows `python` to run the receiving program.
        published: batches that their publisher knows to be effective.
    """

    town: TestTown
    directory: Path
    resource: str
    register: Register
    draw: random.Random
    receiver: Sequence[str] = DATONG
    consumers: list[Consumer] = field(default_factory=list)
    publisher: Program = field(init=False)
    receivers: dict[str, Program] = field(default_factory=dict)
    published: int = 0

    def __post_init__(self) -> None:
        self.publisher = self._program("publisher")

    @property
    def stack(self) -> Stack:
        """The platform."""
        return self.town.stack

    @property
    def programs(self) -> list[Program]:
        """All programs of departments."""
        return [self.publisher, *self.receivers.values()]

    @property
    def logs(self) -> list[Path]:
        """The logs of calls of all programs."""
        return [self._log(name) for name in ("publisher", *self.receivers)]

    # ---- before ----

    async def found(self) -> None:
        """Publish the entry, grant it, and give each consumer a database of its own."""
        await publish_entry(self.town.town, ENTRY | {"resource": self.resource})
        name = self.resource.replace("-", "_")
        for system, items in ITEMS_OF.items():
            now = SystemClock().now()
            await self.town.client("requester").create_request(
                self.resource,
                systems=[self.town.identity(system).id],
                items=items,
                modes=["query", "batch"],
                purposes=[PURPOSE],
                basis="传染病防治法第三十八条",
                scenario="传染病病例按户统计",
                valid_from=rfc3339(now - timedelta(minutes=1)),
                valid_until=rfc3339(now + timedelta(days=365)),
            )
            url_file = self.directory / f"{system}.url"
            await create_database(self.stack.administrator_url, f"{system}_{name}", url_file)
            url = url_file.read_text(encoding="utf-8").strip()
            self.consumers.append(Consumer(system, url, "households", items))
            self.receivers[system] = self._program(system)

    def _program(self, name: str) -> Program:
        return Program(name, self.directory / f"{name}.log")

    def _log(self, name: str) -> Path:
        return self.directory / f"{name}.calls.ndjson"

    def _options(self, name: str) -> list[str]:
        options = ["--identity", str(self.town.identity(name).directory)]
        options += ["--call-log", str(self._log(name))]
        after = self.town.town.revisions.header()
        return options + (["--after", after] if after else [])

    # ---- the programs ----

    async def publish(self, batch: Batch) -> None:
        """Have the owner's program publish a batch, however often it is killed meanwhile."""
        command = [*DATONG, *self._options("publisher"), "publish", self.resource, str(batch.file)]
        command += ["--mode", batch.mode]
        for figure in ("added", "updated", "deleted"):
            command += [f"--{figure}", str(getattr(batch, figure))]
        await self.publisher.succeed(command)
        self.published += 1

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[None]:
        """Keep the consumers' programs running within the block."""
        tasks = [
            asyncio.create_task(self.receivers[consumer.name].keep(self._receive(consumer)))
            for consumer in self.consumers
        ]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _receive(self, consumer: Consumer) -> list[str]:
        options = ["--into", consumer.url, "--table", consumer.table]
        options += ["--spool", str(self.directory / f"{consumer.name}.spool")]
        options += ["--purpose", PURPOSE, "--follow"]
        return [*self.receiver, *self._options(consumer.name), "receive", self.resource, *options]

    async def publish_until(self, enough: asyncio.Event, *, snapshot_each: int = 8) -> None:
        """Publish one batch after the other until `enough` is set, and the last one is done."""
        while not enough.is_set():
            is_snapshot = len(self.register.batches) % snapshot_each == 0
            await self.publish(self.register.snapshot() if is_snapshot else self.register.changes())

    def receipts(self, system: str) -> int:
        """Return how many receipts of that system were answered so far."""
        return sum(
            call.operation == "put_receipt" and call.status == 200
            for call in read_calls(self._log(system))
        )

    async def differences(self) -> int:
        """Return how many receipts differ from what was delivered."""
        connection = await asyncpg.connect(self.stack.database_url("transfer"))
        try:
            found: int = await connection.fetchval(
                "SELECT count(*) FROM delivery JOIN subscription s ON s.id = subscription"
                " WHERE receipt_state = 'differs' AND s.resource = $1",
                self.resource,
            )
            return found
        finally:
            await connection.close()

    @asynccontextmanager
    async def table_held(self) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Let nobody change the owner's table within the block.

        Yields:
            Waits for the first who tries; returns the port of that client.
        """
        holding = await asyncpg.connect(self.stack.database_url("transfer"))
        try:
            async with holding.transaction():
                name = await holding.fetchval(
                    "SELECT table_name FROM dataset WHERE resource = $1", self.resource
                )
                await holding.execute(f'LOCK TABLE rows."{name}" IN SHARE MODE')
                yield lambda: _waiting_port(holding)
        finally:
            await holding.close()

    # ---- the end ----

    async def settle(self) -> None:
        """Wait until nothing is left to do: no work, and a receipt for all that was delivered."""

        async def settled() -> bool:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                connection = await asyncpg.connect(self.stack.database_url("transfer"))
                try:
                    left: int = await connection.fetchval(
                        "SELECT (SELECT count(*) FROM work)"
                        " + (SELECT count(*) FROM delivery WHERE receipt_state IS NULL)"
                        " + (SELECT count(*) FROM outbox WHERE published_at IS NULL)"
                    )
                finally:
                    await connection.close()
                return left == 0
            return False

        await wait_until(settled, QUIET_SECONDS, "all work done, all deliveries receipted")

    async def sweep(self) -> None:
        """Remove all objects that nothing names, as an operator does."""
        plan = self.stack.plans["transfer-api"]
        process = Process(
            name="sweep",
            command=[sys.executable, *plan.arguments[:-1], "sweep", "--older-than", "0"],
            log_file=self.directory / "sweep.log",
            environment=inherited_environment(**plan.environment),
            directory=CHECKOUT,
        )
        process.start()
        assert await until_ended(process, 30), process.output()
        assert process.returncode == 0, process.output()

    async def inspect(self) -> list[str]:
        """Sweep, and return what is wrong with tables, counts, deliveries, facts and objects."""
        await self.sweep()
        inspection = Inspection(self.stack.database_url("transfer"), self.resource, self.register)
        await inspection.tables(self.consumers)
        await inspection.batches()
        await inspection.deliveries()
        await inspection.leftovers()
        await inspection.facts(self.stack.kafka)
        objects = self.stack.plans["transfer-api"].environment["DATONG_OBJECT_DIRECTORY"]
        await inspection.objects(Path(objects))
        return inspection.problems


async def kill_at_random(exchange: Exchange, moments: Mapping[str, int]) -> list[str]:
    """Kill each victim so many times at random moments, each when the one before is felt no more.

    Args:
        moments: times by victim: a process of the stack, `publisher`, or a consumer's name.

    Returns:
        The victims in the order of their deaths.
    """
    victims = [victim for victim, times in moments.items() for _ in range(times)]
    exchange.draw.shuffle(victims)
    for victim in victims:
        await _until(time.monotonic() + exchange.draw.uniform(0.0, 1.5))
        if victim in exchange.stack.watched:
            exchange.stack.kill(victim)
            await exchange.stack.wait_ready(victim)
        elif victim == "publisher":
            await exchange.publisher.kill()
        else:
            await exchange.receivers[victim].kill()
        await _progress(exchange, victim)
    return victims


async def _progress(exchange: Exchange, victim: str) -> None:
    """Wait until both sides have gone on: one more batch, one more receipt of each consumer."""
    published = exchange.published
    receipts = {name: exchange.receipts(name) for name in exchange.receivers}
    await wait_until(
        lambda: (
            exchange.published > published
            and all(exchange.receipts(name) > before for name, before in receipts.items())
        ),
        QUIET_SECONDS,
        f"a batch and its receipts after {victim} was killed",
    )


async def _until(instant: float) -> None:
    await wait_until(lambda: time.monotonic() > instant, 60)


async def _waiting_port(holding: asyncpg.Connection) -> int:
    """Wait until somebody waits for a lock of this connection; return that client's port."""
    found: list[int] = []

    async def waits() -> bool:
        port = await holding.fetchval(
            "SELECT client_port FROM pg_stat_activity"
            " WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
        )
        found.extend([port] if port is not None else [])
        return bool(found)

    await wait_until(waits, 30, "somebody wants to change the table")
    return found[0]


def read_calls(log: Path) -> list[LoadedCall]:
    """Read the SDK's log of calls."""
    calls: dict[str, LoadedCall] = {}
    if not log.exists():
        return []
    for line in log.read_bytes().split(b"\n"):
        event = _event(line)
        if event.get("event") == "sent":
            calls[event["call"]] = LoadedCall(event["call"], log.stem, event["operation"], 0.0)
        elif event.get("event") == "answered":
            calls[event["call"]].outcome = event
    return list(calls.values())


def _event(line: bytes) -> dict[str, Any]:
    """Return one line of the log; nothing for one that a kill cut off, or that is being written."""
    try:
        event: dict[str, Any] = json.loads(line)
        return event
    except ValueError:
        return {}
