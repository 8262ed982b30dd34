"""Spools for tests: evidence with small segments, what lies in them, disks that fail or forget."""

import asyncio
import json
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.evidence import Evidence
from gateway.evidence.disk import Disk, LocalDisk, SpoolFile
from gateway.evidence.segment import Entry, NotASegment, read_commits, read_entries, read_header

SALT = bytes(range(32))
FIELDS: dict[str, Any] = {
    "call": "019aa5f0-0000-7000-8000-00000000ca11",
    "route": "query",
    "caller": "system/019aa500-0000-7000-8000-000000000005",
    "resource": "xzqh-divisions",
    "purpose": "public-health",
    "items": ["code", "name"],
    "decision": "allowed",
    "status": 200,
}


def an_evidence(directory: Path, **settings: Any) -> Evidence:
    """Return evidence of slot 0 below `directory`; a failed disk is an error of the test."""
    fatal: list[Exception] = settings.pop("fatal", [])
    return Evidence(
        **{
            "instance": "gateway-0/0",
            "directory": directory,
            "slot": 0,
            "limit": 64 << 20,
            "on_fatal": fatal.append,
            "beat_seconds": 3600.0,
        }
        | settings
    )


def put(evidence: Evidence, **fields: Any) -> "asyncio.Future[None]":
    """Append a call's record; the future is done when it is durable."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    evidence.append(
        FIELDS | fields,
        SALT,
        lambda: None if done.done() else done.set_result(None),
        lambda error: None if done.done() else done.set_exception(error),
    )
    return done


def entries_of(directory: Path, slot: int = 0) -> list[Entry]:
    """Return what whole commits of a slot's segments hold, oldest first."""
    found: list[Entry] = []
    for path in sorted((directory / str(slot)).glob("*.spool")):
        data = path.read_bytes()
        try:
            _, begin = read_header(data)
        except NotASegment:
            continue
        for _, body in read_commits(data, begin):
            found.extend(read_entries(body))
    return found


def records_of(directory: Path, slot: int = 0) -> list[dict[str, Any]]:
    """Return the records that lie in a slot, oldest first."""
    return [json.loads(entry.record) for entry in entries_of(directory, slot)]


class FailingDisk(LocalDisk):
    """A disk on which a write or a sync fails when `fails` says so, or takes until `let_go`."""

    def __init__(self) -> None:
        self.fails: str | None = None
        self.let_go = threading.Event()
        self.let_go.set()

    def create(self, path: Path) -> SpoolFile:
        return _FailingFile(self, super().create(path))


class _FailingFile:
    def __init__(self, disk: FailingDisk, file: SpoolFile) -> None:
        self._disk = disk
        self._file = file

    def write(self, data: bytes) -> None:
        if self._disk.fails == "write":
            self._file.write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")
        self._file.write(data)

    def sync(self) -> None:
        self._disk.let_go.wait()
        if self._disk.fails == "sync":
            raise OSError(5, "Input/output error")
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class ForgetfulDisk:
    """A disk that, at a power cut, forgets what came after the last sync.

    Killing a process never empties the page cache, so this stands in for the cut: it notes what
    was synced and lays out, in another folder, what a machine would find after the cut.

    Args:
        syncs: false skips every fdatasync, as a control run does.
        syncs_names: false skips every sync of the folder.
    """

    def __init__(self, seed: int, *, syncs: bool = True, syncs_names: bool = True) -> None:
        self.syncs = syncs
        self.syncs_names = syncs_names
        self.guard = threading.Lock()
        self._random = random.Random(seed)
        self._disk: Disk = LocalDisk()
        self.written: dict[Path, bytearray] = {}
        self.synced: dict[Path, int] = {}
        self._named: set[Path] = set()

    def create(self, path: Path) -> SpoolFile:
        with self.guard:
            self.written[path] = bytearray()
            self.synced[path] = 0
        return _ForgetfulFile(self, path, self._disk.create(path))

    def sync_directory(self, path: Path) -> None:
        if self.syncs_names:
            with self.guard:
                self._named |= {known for known in self.written if known.parent == path}

    def remove(self, path: Path) -> None:
        self._disk.remove(path)
        with self.guard:
            self.written.pop(path, None)

    def cut_power(self, target: Path) -> None:
        """Write to `target` what is left: synced bytes, and of the rest a torn piece at most."""
        with self.guard:
            for path, data in self.written.items():
                if path not in self._named:
                    continue
                synced = self.synced[path]
                kept = bytes(data[:synced])
                torn = bytearray(data[synced : self._random.randint(synced, len(data))])
                if torn:
                    torn[self._random.randrange(len(torn))] ^= 0xFF
                copy = target / path.parent.name / path.name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(kept + torn)


class _ForgetfulFile:
    def __init__(self, disk: ForgetfulDisk, path: Path, file: SpoolFile) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def write(self, data: bytes) -> None:
        self._file.write(data)
        with self._disk.guard:
            self._disk.written[self._path] += data

    def sync(self) -> None:
        if self._disk.syncs:
            with self._disk.guard:
                self._disk.synced[self._path] = len(self._disk.written[self._path])

    def close(self) -> None:
        self._file.close()


async def eventually(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until `true()`; fail after `seconds`."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)
