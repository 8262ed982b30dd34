"""Carries records from the spool to the bus, in order, and trims what audit has accepted."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gateway.evidence.recent import Recent
from gateway.evidence.segment import (
    Entry,
    NotASegment,
    after_damage,
    read_commits,
    read_entries,
    read_header,
)
from gateway.evidence.slot import HEADER_BYTES, Segment, Slot
from gateway.evidence.spool import Evidence
from kit.logging import get_logger
from kit.pages import Message, PageProducer, SendUnknown
from kit.states import StateEvent, StateReader

CALL_TOPIC: Final = "gateway.call.v1"
ACCEPTED_TOPIC: Final = "audit.accepted.v1"
PAGE_BYTES: Final = 192 * 1024
LINGER_SECONDS: Final = 0.05
"""Records that become durable within it travel in one page; it bounds the work per record."""
RETRY_SECONDS: Final = 0.5
ORPHAN_SECONDS: Final = 10.0
ORPHAN_PASS_SECONDS: Final = 5.0
RESEND_SECONDS: Final = 600.0
PAGE_SECONDS: Final = 15.0

Sizes = tuple[tuple[str, int], ...]
Marks = dict[tuple[str, str], int]

log = get_logger()


class Watermarks:
    """How far audit has accepted each epoch: `audit.accepted.v1`, in memory.

    A watermark says that everything up to and including a sequence lies under a checkpoint.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._accepted: dict[tuple[str, str], int] = {}
        self.on_change: Callable[[], None] = _nothing
        # This topic has no beats: it moves only when records are accepted. Nothing is decided
        # by its freshness; a late watermark keeps records longer and sends some twice.
        self._reader = StateReader(
            options,
            {ACCEPTED_TOPIC: self.take},
            stale_after=float("inf"),
            on_unreadable=_log_unreadable,
        )
        self.known = asyncio.Event()
        """Set once all watermarks that were published before the start have been read."""
        self._reader.on_ready.append(self.known.set)

    async def run(self) -> None:
        """Follow the topic until cancelled."""
        await self._reader.run()

    def take(self, event: StateEvent) -> None:
        """Take a watermark; one that falls back is ignored."""
        instance, epoch = event.data.get("instance"), event.data.get("epoch")
        sequence = event.data.get("sequence")
        if not isinstance(instance, str) or not isinstance(epoch, str) or type(sequence) is not int:
            _log_unreadable(event.topic, event.subject, "no watermark")
            return
        if sequence > self._accepted.get((instance, epoch), -1):
            self._accepted[instance, epoch] = sequence
            self.on_change()

    def of(self, instance: str, epoch: str) -> int:
        """Return the last accepted sequence of an epoch; -1 when there is none."""
        return self._accepted.get((instance, epoch), -1)

    def covers(self, segment: Segment) -> bool:
        """Tell whether audit has every record of `segment`."""
        return self.of(segment.instance, segment.epoch) >= segment.last_sequence


class Trail:
    """How far the segments of one slot were sent.

    Args:
        segments: of the slot, oldest first; may grow and shrink between two pages.
        recent: commits of the slot that need not be read from the disk.
        resend_seconds: see `Shipper`.
    """

    def __init__(
        self,
        segments: list[Segment],
        watermarks: Watermarks,
        recent: Recent | None = None,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        self._segments = segments
        self._watermarks = watermarks
        self._recent = recent or Recent()
        self._resend_seconds = resend_seconds
        self._number = 0
        self._offset = 0
        self._moved_at = time.monotonic()
        self._accepted: list[int] = []

    def rewind(self) -> None:
        """Begin again at the oldest record that audit has not accepted."""
        self._number = self._offset = 0

    def is_stuck(self, now: float) -> bool:
        """Tell whether audit has accepted nothing of what was sent for a long time."""
        accepted = [self._watermarks.of(s.instance, s.epoch) for s in self._segments]
        if accepted != self._accepted or all(map(self._watermarks.covers, self._segments)):
            self._accepted, self._moved_at = accepted, now
        if now - self._moved_at < self._resend_seconds:
            return False
        self._moved_at = now
        return True

    async def next_page(self) -> tuple[Segment, list[Message], Callable[[], None]] | None:
        """Return the next records to send, and what to call once the bus has them.

        Returns:
            None when everything durable was sent or accepted. The list may be empty when all of
            a page was accepted already.
        """
        segment = self._current()
        if segment is None:
            return None
        page = self._recent.page(segment.number, self._offset, PAGE_BYTES)
        behind, entries = await self._read(segment) if page is None else page

        def advance() -> None:
            self._number, self._offset = segment.number, behind

        return segment, self._messages(segment, entries), advance

    async def _read(self, segment: Segment) -> tuple[int, list[Entry]]:
        """Return the offset behind the next commits on the disk, and what they hold."""
        offset, end = self._offset, segment.end
        data = await asyncio.to_thread(_read, segment.path, offset, end)
        begin = read_header(data)[1] if offset == 0 else 0
        entries: list[Entry] = []
        read = begin
        for behind, body in read_commits(data, begin):
            read = behind
            entries.extend(read_entries(body))
        if read > begin:
            return offset + read, entries
        # All of the segment is here and yet not one whole commit: damaged on the disk.
        log.error("damaged commit in the spool passed over", segment=segment.path.name)
        resume = after_damage(data, begin)
        return end if resume is None else offset + resume, entries

    def _current(self) -> Segment | None:
        """Return the segment with the next unsent record, moving over what is done."""
        for segment in self._segments:
            if segment.number < self._number:
                continue
            if segment.number > self._number:
                self._number, self._offset = segment.number, 0
            if self._offset < segment.end and not self._watermarks.covers(segment):
                return segment
        return None

    def _messages(self, segment: Segment, entries: Sequence[Entry]) -> list[Message]:
        """Return the messages of what audit has not accepted yet."""
        accepted = self._watermarks.of(segment.instance, segment.epoch)
        common = [
            ("ce_type", CALL_TOPIC.encode()),
            ("ce_source", f"/gateway/{segment.instance}".encode()),
            ("datong_instance", segment.instance.encode()),
            ("datong_epoch", segment.epoch.encode()),
        ]
        messages: list[Message] = []
        for sequence, record_id, at, salt, record in entries:
            if sequence <= accepted:
                continue
            headers = [
                ("ce_id", record_id),
                ("ce_time", at),
                ("datong_sequence", b"%d" % sequence),
                *common,
            ]
            if salt:
                headers.append(("datong_salt", salt))
            messages.append((record, headers))
        return messages


class Shipper:
    """Ships this worker's slot, and slots that nobody holds.

    Args:
        evidence: started; its slot stays locked until this has stopped.
        options: `kit.kafka.client_options(settings)`.
        page_seconds: time for a page to be acknowledged; after it the page is unknown.
        resend_seconds: records that the bus acknowledged and audit has not accepted for so long
            are sent again: the bus may have lost them.
    """

    def __init__(
        self,
        evidence: Evidence,
        options: Mapping[str, Any],
        *,
        page_seconds: float = PAGE_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
    ) -> None:
        self._evidence = evidence
        self._watermarks = Watermarks(options)
        self._watermarks.on_change = evidence.news.set
        self._producer = PageProducer(options, seconds=page_seconds)
        self._own = Trail(evidence.segments, self._watermarks, evidence.recent, resend_seconds)
        self._orphans_at = 0.0
        self._orphans_seen: dict[int, tuple[Sizes, Marks]] = {}
        self._stopping = False
        self._done = asyncio.Event()
        self.sent_records = 0
        self.failed_pages = 0

    async def run(self) -> None:
        """Ship until `stop`, or until cancelled."""
        following = asyncio.get_running_loop().create_task(self._watermarks.run())
        try:
            # Without the watermarks everything would be sent again; without the bus none comes.
            await self._watermarks.known.wait()
            while not ((shipped := await self._ship_own()) and self._stopping):
                await self._evidence.trim(self._watermarks.covers)
                if shipped and time.monotonic() >= self._orphans_at and not self._stopping:
                    await self._ship_orphans()
                    self._orphans_at = time.monotonic() + ORPHAN_SECONDS
                await self._wait()
        finally:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
            await self._producer.close()
            self._done.set()

    async def stop(self, seconds: float) -> bool:
        """Send what is durable, at most for `seconds`; tell whether all of it was sent.

        What is left goes out with the next worker of this slot, or with one beside it.
        """
        self._stopping = True
        self._evidence.news.set()
        try:
            async with asyncio.timeout(seconds):
                await self._done.wait()
        except TimeoutError:
            return False
        return True

    async def _wait(self) -> None:
        """Wait for news, at most a second; then linger so that a page gathers."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self._evidence.news.wait()
        self._evidence.news.clear()
        await asyncio.sleep(LINGER_SECONDS)

    async def _ship_own(self) -> bool:
        """Ship what is durable; tell whether all of it is on the bus."""
        if self._own.is_stuck(time.monotonic()):
            self._own.rewind()
        return await self._ship(self._own, float("inf"))

    async def _ship(self, trail: Trail, until: float) -> bool:
        while (page := await trail.next_page()) is not None:
            segment, messages, advance = page
            if messages and not await self._send(segment, messages):
                return False
            advance()
            if time.monotonic() >= until:
                return False
        return True

    async def _send(self, segment: Segment, messages: Sequence[Message]) -> bool:
        """Send one page; after a failure the same records go again, under the same numbers."""
        try:
            await self._producer.send(CALL_TOPIC, segment.instance.encode(), messages)
        except SendUnknown as error:
            self.failed_pages += 1
            log.warning("page of evidence not acknowledged", error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
            return False
        self.sent_records += len(messages)
        return True

    async def _ship_orphans(self) -> None:
        """Ship what slots hold whose worker is gone; their lock is held for seconds at most."""
        for number in await asyncio.to_thread(_slots, self._evidence.directory):
            if number == self._evidence.slot.number:
                continue
            slot = Slot(self._evidence.directory, number)
            if not await asyncio.to_thread(slot.try_lock):
                self._orphans_seen.pop(number, None)
                continue
            try:
                await self._ship_orphan(slot)
            except (OSError, NotASegment) as error:
                log.error("slot cannot be shipped", slot=number, error=repr(error))
            finally:
                slot.unlock()

    async def _ship_orphan(self, slot: Slot) -> None:
        """Ship and trim one slot unless nothing has changed since that was done."""
        sizes = await asyncio.to_thread(slot.sizes)
        seen = self._orphans_seen.get(slot.number)
        if seen is not None and seen == (sizes, self._marks(seen[1])):
            return
        segments = await asyncio.to_thread(slot.recover)
        done = await self._ship(
            Trail(segments, self._watermarks), time.monotonic() + ORPHAN_PASS_SECONDS
        )
        for segment in segments[:-1]:
            if self._watermarks.covers(segment):
                await asyncio.to_thread(segment.path.unlink)
        if done:
            marks = dict.fromkeys(((s.instance, s.epoch) for s in segments), -1)
            sizes = await asyncio.to_thread(slot.sizes)
            self._orphans_seen[slot.number] = (sizes, self._marks(marks))

    def _marks(self, epochs: Iterable[tuple[str, str]]) -> Marks:
        return {epoch: self._watermarks.of(*epoch) for epoch in epochs}


def _slots(directory: Path) -> list[int]:
    return sorted(int(path.name) for path in directory.iterdir() if path.name.isdigit())


def _read(path: Path, offset: int, end: int) -> bytes:
    """Read from `offset`, a page or, when one commit is longer, up to `end`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        wanted = PAGE_BYTES
        while True:
            data = os.pread(descriptor, min(wanted, end - offset), offset)
            begin = 0
            if offset == 0:
                _, begin = read_header(data[:HEADER_BYTES])
            if offset + len(data) >= end or any(read_commits(data, begin)):
                return data
            wanted *= 4
    finally:
        os.close(descriptor)


def _log_unreadable(topic: str, subject: str, reason: str) -> None:
    log.error("unreadable watermark", topic=topic, subject=subject, reason=reason)


def _nothing() -> None:
    """Nobody listens yet."""
