"""The demo's town on a stack under test: people, systems, one entry, grants, an auditor's notes."""

import json
from collections.abc import Sequence
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import uuid4

from datong import AsyncClient, CallLog, Identity
from datong.verifier.notes import LogKey, open_checkpoint
from kit.clock import SystemClock, rfc3339
from stack.demo.divisions import divisions
from stack.demo.entries import DIVISIONS, DIVISIONS_ENTRY, ITEMS, PURPOSE, publish_entry
from stack.demo.town import Town, found
from stack.supervisor import Stack
from tests.support.load import LanePlan
from tests.support.processes import wait_until

ROWS = 400


class TestTown:
    """A town whose systems call; `found_town` makes it.

    Attributes:
        grants: id of the grant by the system's short name.
        calls: log of all calls that the town's clients make.
    """

    __test__ = False  # not a class of tests

    def __init__(self, stack: Stack, town: Town, directory: Path) -> None:
        self.stack = stack
        self.town = town
        self.directory = directory
        self.entry = ""
        self.grants: dict[str, str] = {}

    def client(self, name: str) -> AsyncClient:
        """Return somebody's client: `consumer`, `administrator`, `auditor`, …"""
        return self.town.client(name)

    def identity(self, name: str) -> Identity:
        """Return somebody's certificate and key."""
        return self.town.identities[name]

    @property
    def calls(self) -> Path:
        """The log of the calls of all clients here."""
        return self.town.calls.path

    async def grant(self, *systems: str) -> None:
        """Have each of the systems be granted the entry, by a request of its own."""
        now = SystemClock().now()
        for system in systems:
            request = await self.client("requester").create_request(
                DIVISIONS,
                systems=[self.identity(system).id],
                items=list(ITEMS),
                modes=["query", "batch"],
                purposes=[PURPOSE],
                basis="传染病防治法第三十八条",
                scenario="传染病病例按现住址统计到乡镇街道",
                valid_from=rfc3339(now - timedelta(minutes=1)),
                valid_until=rfc3339(now + timedelta(days=365)),
            )
            self.grants[system] = request["grant"]["id"]

    async def load(self) -> dict[str, Any]:
        """Have the owner publish some rows; return the batch, which is effective."""
        rows = b"".join(json.dumps(row).encode() + b"\n" for row in islice(divisions(), ROWS))
        owner = self.client("publisher")
        batch = await owner.open_batch(DIVISIONS, idempotency_key=str(uuid4()))
        await owner.put_chunk(DIVISIONS, batch["id"], 0, rows, content_type="application/x-ndjson")
        await owner.seal_batch(DIVISIONS, batch["id"], chunks=1)
        done: dict[str, Any] = await owner.get_batch(DIVISIONS, batch["id"], wait=30)
        assert done["state"] == "effective", done
        return done

    async def suspend(self, system: str) -> dict[str, Any]:
        """Suspend the system's grant; return the answer."""
        answer: dict[str, Any] = await self.client("administrator").suspend_grant(
            self.grants[system], "核查用途"
        )
        return answer

    async def resume(self, system: str) -> None:
        """Resume it."""
        await self.client("administrator").resume_grant(self.grants[system], "核查完毕")

    def lane(self, system: str, *, name: str = "", gateway: str = "", **more: Any) -> LanePlan:
        """Return a lane of a load: that system, asking for rows by their keys."""
        bodies = [
            json.dumps({"key": {"code": row["code"]}, "items": list(ITEMS)})
            for row in islice(divisions(), ROWS)
        ]
        return LanePlan(
            name=name or system,
            identity=str(self.identity(system).directory),
            gateway=gateway or self.stack.address("gateway"),
            resource=DIVISIONS,
            purpose=PURPOSE,
            bodies=bodies,
            **more,
        )

    # ---- the auditor ----

    @property
    def log_key(self) -> Path:
        """The log's key as the auditor noted it."""
        return self.directory / "log.vkey"

    @property
    def checkpoint(self) -> Path:
        """The first checkpoint that the auditor noted."""
        return self.directory / "checkpoint"

    async def note_log(self) -> None:
        """Note the log's key and its first checkpoint."""
        auditor = self.client("auditor")
        text = await auditor.get_log_key()
        self.log_key.write_text(text + "\n", encoding="utf-8")
        key = LogKey.from_vkey(text.strip())

        async def noted() -> bool:
            note = await auditor.get_checkpoint()
            self.checkpoint.write_bytes(note)
            return open_checkpoint(note, key).size > 0

        await wait_until(noted, 30, "a checkpoint that covers something")

    async def download(self, name: str) -> Path:
        """Download the evidence package as it is now."""
        target = self.directory / name
        await self.client("auditor").download_package(target)
        return target

    async def close(self) -> None:
        """Close all clients."""
        await self.town.close()


async def found_town(
    stack: Stack, directory: Path, *, granted: Sequence[str] = ("consumer",)
) -> TestTown:
    """Enrol everybody on a new stack, publish the entry, grant it to `granted`.

    Args:
        directory: new folder for identities, call log and the auditor's notes.
    """
    operator, security = (
        file.read_text(encoding="utf-8").strip() for file in await stack.bootstrap()
    )
    directory.mkdir(parents=True, exist_ok=True)
    town = Town(
        stack.address("gateway"),
        stack.certificates.ca,
        directory / "identities",
        CallLog(directory / "calls.ndjson"),
    )
    made = TestTown(stack, town, directory)
    await found(town, (operator, security))
    await made.note_log()
    made.entry = await publish_entry(town, DIVISIONS_ENTRY)
    await made.grant(*granted)
    return made
