"""Evidence of one worker: its epoch, its numbered records, and who waits for them to be durable."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final

from gateway.evidence.committer import SYNC_SAMPLES, Commit, Committer, Failed, Release, Waiting
from gateway.evidence.disk import Disk, LocalDisk
from gateway.evidence.recent import Recent
from gateway.evidence.record import Instants, record_bytes
from gateway.evidence.segment import Entry
from gateway.evidence.slot import Segment, Slot
from kit.ids import uuid7
from kit.logging import get_logger

BEAT_SECONDS: Final = 10.0
REFUSALS_SECONDS: Final = 60.0
LOCK_SECONDS: Final = 30.0
"""A neighbour that ships an orphaned slot gives it back sooner, also when the bus fails it."""
MAX_SEGMENT: Final = 16 << 20
NOTHING_AROUND: Final = nullcontext()

log = get_logger()


class EvidenceUnavailable(Exception):
    """A record cannot be made durable; what it would have released must be refused."""


class SpoolFull(EvidenceUnavailable):
    """The spool has reached its limit, because audit has not accepted records for long."""


class Evidence:
    """The spool of one slot, written by one process.

    Everything here runs on the event loop; one thread of its own writes and syncs. Nothing in
    `append` waits: `release` is called on the loop once the record is durable.

    Args:
        instance: `<gateway>/<slot>`, at most 128 characters.
        directory: the gateway's spool directory; the slot has a folder in it.
        slot: this worker's slot.
        limit: bytes that the slot's folder may take. The last eighth is kept for records of the
            control plane: data calls are refused before (`full`).
        on_fatal: called once, on the loop, after the first failed write or sync, when all that
            waited have been told; the process must end then and never sync again.
        disk: where segments lie; another one only in tests.
        together: surrounds the callbacks of all records that became durable at once.
        now: nanoseconds since 1970, for `at`.
        beat_seconds, refusals_seconds: how often the epoch beats, and refusals are summed up.
    """

    def __init__(
        self,
        *,
        instance: str,
        directory: Path,
        slot: int,
        limit: int,
        on_fatal: Callable[[Exception], None],
        disk: Disk | None = None,
        together: AbstractContextManager[None] = NOTHING_AROUND,
        now: Callable[[], int] = time.time_ns,
        beat_seconds: float = BEAT_SECONDS,
        refusals_seconds: float = REFUSALS_SECONDS,
    ) -> None:
        self.instance = instance
        self.directory = directory
        self.epoch = uuid7()
        self.slot = Slot(directory, slot)
        self.segments: list[Segment] = []
        """Of this slot, oldest first, predecessors' included; only `trim` removes."""
        self.recent = Recent()
        self.news = asyncio.Event()
        """Set when records became durable; the shipper clears it."""
        self._limit = limit
        self._soft_limit = limit - limit // 8
        self._on_fatal = on_fatal
        self._disk: Disk = disk or LocalDisk()
        self._together = together
        self._now = now
        self._beat_seconds = beat_seconds
        self._refusals_seconds = refusals_seconds
        self._instants = Instants()
        self._committer: Committer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refused: Exception | None = EvidenceUnavailable("the spool is not open yet")
        self._next = 0
        self._used = 0
        self._refusals: Counter[str] = Counter()
        self._timers: list[asyncio.TimerHandle] = []
        self._syncs: deque[float] = deque(maxlen=SYNC_SAMPLES)
        self.durable_records = 0
        self.commits = 0

    # ---- life ----

    async def start(self) -> None:
        """Lock and recover the slot, open an epoch, and return when its record is durable.

        Raises:
            SlotHeld: another process has the slot.
            OSError: the folder cannot be used.
            EvidenceUnavailable: the first record could not be made durable.
        """
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self.slot.lock, LOCK_SECONDS)
        try:
            await self._open()
        except BaseException:
            self.slot.unlock()
            raise
        self._every(self._beat_seconds, self._beat)
        self._every(self._refusals_seconds, self._summarise)

    async def _open(self) -> None:
        self.segments.extend(await asyncio.to_thread(self.slot.recover))
        self._used = sum(segment.size for segment in self.segments)
        before = self.segments[-1] if self.segments else None
        self._committer = Committer(
            self._disk,
            self.slot.path,
            self.instance,
            self.epoch,
            first_number=1 if before is None else before.number + 1,
            segment_bytes=min(MAX_SEGMENT, self._limit // 16),
            on_durable=self._from_thread,
            on_failed=self._failed_in_thread,
        )
        self._committer.start()
        self._refused = None
        fields: dict[str, Any] = {"type": "epoch"}
        if before is not None:
            fields |= {
                "previous_epoch": before.epoch,
                "previous_sequence": before.last_sequence,
            }
        await self._append_own(fields)

    async def stop(self) -> None:
        """Write what was counted and the `end` record, and return when they are durable.

        Later appends fail. The lock stays until `close`, so that the shipper can finish.
        """
        for timer in self._timers:
            timer.cancel()
        committer = self._committer
        if committer is None:
            return
        if self._refused is None:
            self._summarise()
            ending = self._append_own({"type": "end"})
            self._refused = EvidenceUnavailable("the worker is stopping")
            try:
                await ending
            except EvidenceUnavailable as error:
                log.error("epoch not ended", error=repr(error))
        await asyncio.to_thread(committer.stop)

    def close(self) -> None:
        """Give the slot back; after the shipper has stopped."""
        self.slot.unlock()

    # ---- records ----

    @staticmethod
    def new_record_id() -> str:
        """Return a new record id (UUIDv7)."""
        return uuid7()

    def append(self, fields: dict[str, Any], salt: bytes, release: Release, failed: Failed) -> None:
        """Number a record, queue it, and call `release` on the loop once it is durable.

        Exactly one of `release` and `failed` is called, always later and never from here.
        The fields of one call are given in the order of `append`, which is that of sequences.

        Args:
            fields: members of the record without `instance`, `epoch`, `sequence` and `at`, which
                are set here; `type` is `call` and `record` a new id unless given. What is unknown
                is not there: no member is None. The mapping is changed.
            salt: the 32 random bytes with which the digests of this record were made; empty when
                it has none.
            failed: takes `SpoolFull` or `EvidenceUnavailable` when the record is not durable and
                will not be; nothing may be released then.
        """
        if self._refused is not None or self._used >= self._limit:
            self._refuse(failed)
            return
        record_id = fields.get("record")
        if record_id is None:
            record_id = fields["record"] = uuid7()
        sequence = self._next
        at = self._instants.text(self._now())
        fields["type"] = fields.get("type", "call")
        fields["instance"] = self.instance
        fields["epoch"] = self.epoch
        fields["sequence"] = sequence
        fields["at"] = at
        try:
            record = record_bytes(fields)
        except TypeError as error:
            self._soon(failed, EvidenceUnavailable(f"the record has no canonical form: {error}"))
            return
        self._next = sequence + 1
        entry = Entry(sequence, record_id.encode(), at.encode(), salt, record)
        # Counted before it lies on the disk; the commit adds what framing takes.
        self._used += len(record)
        committer = self._committer
        assert committer is not None  # noqa: S101 - `_refused` is set until there is one
        committer.put(Waiting(entry, release, failed))

    def count_refusal(self, code: str) -> None:
        """Count a refusal to a caller without a verified certificate, for the minute's summary."""
        self._refusals[code] += 1

    @property
    def healthy(self) -> bool:
        """Tell whether records can be written at all."""
        return self._refused is None

    @property
    def full(self) -> bool:
        """Tell whether data calls must be refused because audit lags too far behind."""
        return self._used >= self._soft_limit

    @property
    def accepts(self) -> bool:
        """Tell whether a data call may begin: records can be written, and there is room."""
        return self._refused is None and self._used < self._soft_limit

    @property
    def accepts_control(self) -> bool:
        """Tell whether a call of the control plane may begin: it may use the last eighth too."""
        return self._refused is None and self._used < self._limit

    @property
    def used_bytes(self) -> int:
        """Return the bytes that the slot's spool takes."""
        return self._used

    @property
    def last_sequence(self) -> int:
        """Return the sequence of the newest record of this epoch, durable or not; -1 for none."""
        return self._next - 1

    def sync_median(self) -> float | None:
        """Return the median seconds of recent fdatasync calls."""
        return median(self._syncs) if self._syncs else None

    async def trim(self, is_accepted: Callable[[Segment], bool]) -> None:
        """Remove whole segments that audit has accepted; never the newest.

        The newest stays, so that the next epoch can read its predecessor's last sequence back.

        Args:
            is_accepted: tells whether audit has everything up to a segment's last sequence.
        """
        gone = [segment for segment in self.segments[:-1] if is_accepted(segment)]
        for segment in gone:
            await asyncio.to_thread(self._disk.remove, segment.path)
            self.segments.remove(segment)
            self._used -= segment.size

    # ---- within ----

    def _append_own(self, fields: dict[str, Any]) -> asyncio.Future[None]:
        """Append a record of the epoch itself; the future is done when it is durable."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.append(
            fields,
            b"",
            lambda: None if done.done() else done.set_result(None),
            lambda error: None if done.done() else done.set_exception(error),
        )
        return done

    def _beat(self) -> None:
        self.append({"type": "beat"}, b"", _nothing, _log_failure)

    def _summarise(self) -> None:
        if self._refusals:
            counts = dict(self._refusals)
            self._refusals.clear()
            self.append({"type": "refusals", "counts": counts}, b"", _nothing, _log_failure)

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        """Run `action` every `seconds` until `stop`."""
        loop = asyncio.get_running_loop()
        slot = len(self._timers)

        def fire() -> None:
            self._timers[slot] = loop.call_later(seconds, fire)
            action()

        self._timers.append(loop.call_later(seconds, fire))

    def _soon(self, call: Callable[..., None], *arguments: object) -> None:
        loop = self._loop or asyncio.get_running_loop()
        loop.call_soon(call, *arguments)

    def _refuse(self, failed: Failed) -> None:
        error = self._refused or SpoolFull(f"the spool holds {self._used} bytes")
        self._soon(failed, error)

    def _from_thread(self, commit: Commit) -> None:
        self._hand_over(self._on_durable, commit)

    def _failed_in_thread(self, error: Exception, batch: list[Waiting]) -> None:
        self._hand_over(self._on_failed, error, batch)

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        """Call on the loop from the thread; a loop that is closed has nobody left to tell."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call, *arguments)

    def _on_durable(self, commit: Commit) -> None:
        """Take note of a commit and release what it carried, in order."""
        if commit.opened is not None:
            self.segments.append(commit.opened)
        segment = self.segments[-1]
        entries = [waiting.entry for waiting in commit.records]
        self._used += commit.end - segment.size - sum(len(e.record) for e in entries)
        self.recent.add(segment.number, segment.end, commit.end, entries)
        segment.end = segment.size = commit.end
        segment.last_sequence = entries[-1].sequence
        self.durable_records += len(commit.records)
        self.commits += 1
        self._syncs.append(commit.sync_seconds)
        with self._together:
            self._tell(waiting.release for waiting in commit.records)
        if not self.news.is_set():
            self.news.set()

    def _on_failed(self, error: Exception, batch: list[Waiting]) -> None:
        """Tell everybody who waits, then end the process: the disk's content is unknown now."""
        log.critical("spool failed", error=repr(error))
        unavailable = EvidenceUnavailable(f"the spool failed: {error!r}")
        unavailable.__cause__ = error
        self._refused = unavailable
        queued = [] if self._committer is None else self._committer.take()
        self._tell(partial(waiting.failed, unavailable) for waiting in [*batch, *queued])
        self._on_fatal(error)

    def _tell(self, calls: Iterable[Callable[[], None]]) -> None:
        """Run callbacks; one that raises must not keep the others from being told."""
        for call in calls:
            try:
                call()
            except Exception as error:  # noqa: BLE001 - foreign code; reported, the rest goes on
                asyncio.get_running_loop().call_exception_handler(
                    {"message": "callback of a record failed", "exception": error}
                )


def _nothing() -> None:
    """Release nothing: records of the worker itself answer nobody."""


def _log_failure(error: Exception) -> None:
    log.error("record of the worker lost", error=repr(error))
