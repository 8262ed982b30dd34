"""The thread that makes records durable: one write and one fdatasync for all that wait.

Whatever arrives during a commit forms the next, so the size of a commit follows the load (group
commit); on a fast disk commits keep a pace of milliseconds. The first error of a write or a sync is
the last thing that it does: what the disk holds is then unknown, and a retried fdatasync may
succeed without having written.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from gateway.evidence.disk import Disk, SpoolFile
from gateway.evidence.segment import Entry, Header, pack_commit, pack_header
from gateway.evidence.slot import SUFFIX, Segment

Release = Callable[[], None]
Failed = Callable[[Exception], None]

SYNC_SAMPLES: Final = 1024
PACE: Final = 0.001
MAX_PACE: Final = 0.005
PACE_OF_RECORD: Final = 0.00025
"""Seconds between the beginnings of two commits: by the records of the first, within bounds."""


class Waiting(NamedTuple):
    """A record that is not durable yet, and whom to tell."""

    entry: Entry
    release: Release
    failed: Failed


@dataclass(frozen=True, slots=True)
class Commit:
    """What became durable: records, where they lie, and how long the fdatasync took.

    Args:
        number: of the segment that they lie in.
        opened: that segment, when this commit is its first.
        end: durable bytes of that segment.
    """

    records: list[Waiting]
    number: int
    opened: Segment | None
    end: int
    sync_seconds: float


class Committer:
    """Writes the segments of one epoch.

    Args:
        folder: the slot's folder.
        first_number: number of the first segment.
        segment_bytes: size after which the next commit begins a new segment.
        on_durable, on_failed: called **in the thread**; they hand over to the loop.
    """

    def __init__(
        self,
        disk: Disk,
        folder: Path,
        instance: str,
        epoch: str,
        *,
        first_number: int,
        segment_bytes: int,
        on_durable: Callable[[Commit], None],
        on_failed: Callable[[Exception, list[Waiting]], None],
    ) -> None:
        self._disk = disk
        self._folder = folder
        self._instance = instance
        self._epoch = epoch
        self._number = first_number - 1
        self._segment_bytes = segment_bytes
        self._on_durable = on_durable
        self._on_failed = on_failed
        self._pending: list[Waiting] = []
        self._guard = threading.Lock()
        # A lock as a binary semaphore: closed while nothing waits. `threading.Event` does the
        # same with a condition in Python, at several times the cost per commit.
        self._gate = threading.Lock()
        self._gate.acquire()
        self._stopping = False
        self._file: SpoolFile | None = None
        self._end = 0
        self._thread = threading.Thread(target=self._run, name="evidence-committer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Queue a record; from the loop. Returns at once."""
        with self._guard:
            self._pending.append(waiting)
            first = len(self._pending) == 1
        if first:
            self._gate.release()

    def take(self) -> list[Waiting]:
        """Take everything that is queued."""
        with self._guard:
            taken = self._pending
            self._pending = []
        return taken

    def stop(self) -> None:
        """Commit what is queued and end the thread. Blocks; nothing may be put any more."""
        self._stopping = True
        with self._guard:
            idle = not self._pending
        if idle and self._thread.is_alive():
            self._gate.release()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._gate.acquire()
            batch = self.take()
            pace = min(MAX_PACE, max(PACE, PACE_OF_RECORD * len(batch)))
            due = time.perf_counter() + pace
            if batch:
                try:
                    commit = self._commit(batch)
                except Exception as error:  # noqa: BLE001 - whoever waits must be told, whatever it was
                    self._on_failed(error, batch)
                    return
                self._on_durable(commit)
            if self._stopping and not self._pending:
                break
            # A fast disk would sync every record for itself, at 100 µs each with the changes
            # between threads: the more records come, the longer they are let gather. A record
            # that comes alone never waits.
            early = due - time.perf_counter()
            if early > 0 and not self._stopping:
                time.sleep(early)
        if self._file is not None:
            self._file.close()

    def _commit(self, batch: list[Waiting]) -> Commit:
        """Write and sync `batch`; the first commit of a segment also makes its name durable."""
        data = pack_commit([waiting.entry for waiting in batch])
        opened = None
        file = self._file
        if file is None or self._end >= self._segment_bytes:
            if file is not None:
                file.close()
            self._number += 1
            path = self._folder / f"{self._number:012d}{SUFFIX}"
            file = self._file = self._disk.create(path)
            first = batch[0].entry.sequence
            data = pack_header(Header(self._instance, self._epoch, first)) + data
            self._end = 0
            opened = Segment(self._number, path, self._instance, self._epoch, first, first - 1, 0)
        file.write(data)
        began = time.perf_counter()
        file.sync()
        took = time.perf_counter() - began
        if opened is not None:
            self._disk.sync_directory(self._folder)
        self._end += len(data)
        return Commit(batch, self._number, opened, self._end, took)
