"""The log writer: reads the bus, fills batches, commits them, says how far each epoch came.

Reading, committing, announcing and indexing go on side by side; one batch is being filled while
the one before it is committed. Any error of the commit protocol ends the process.
"""

import asyncio
import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from asyncpg import PostgresError
from prometheus_client import Gauge
from sqlalchemy.exc import SQLAlchemyError

from kit.clock import Clock
from kit.feed import Feed, Received
from kit.logging import get_logger
from kit.pages import PageProducer, SendUnknown
from services.audit.actions.commit import Committer
from services.audit.actions.index import Indexer
from services.audit.actions.intake import CALLS, Batch, Intake
from services.audit.domain.commits import Commit
from services.audit.domain.epochs import Epoch, Key
from services.audit.events import ACCEPTED, accepted, accepted_subject

TOPICS: Final = (
    CALLS,
    "identity.change.v1",
    "catalog.change.v1",
    "sharing.change.v1",
    "transfer.change.v1",
)
COMMIT_SECONDS: Final = 0.5
"""Least time between two commits, unless a batch is full: a checkpoint a second, with a margin."""

BATCH: Final = 8192
"""Records that fill a batch."""

POLL: Final = 4096
POLL_SECONDS: Final = 0.1

log = get_logger()

ALARMS = Gauge("datong_log_alarms", "Alarm records raised by this log writer since its start")
SIZE = Gauge("datong_log_size", "Size of the newest checkpoint")
INDEXED = Gauge("datong_log_indexed", "Records in the search index")


class Writer:
    """The log writer; exactly one commits, whatever number is started.

    Args:
        committer: not yet opened.
        options: `kit.kafka.client_options(settings)`.
        producer: sends the watermarks.
        indexer: fills the search index.
    """

    def __init__(
        self,
        committer: Committer,
        options: Mapping[str, Any],
        producer: PageProducer,
        indexer: Indexer,
        clock: Clock,
    ) -> None:
        self._committer = committer
        self._options = options
        self._producer = producer
        self._indexer = indexer
        self._clock = clock
        self._epochs: dict[Key, Epoch] = {}
        self._number = 0
        self._unannounced: dict[str, tuple[int, Epoch]] = {}
        self._news = asyncio.Event()
        self._committed = asyncio.Event()
        self._incarnation = 0
        self._feed: Feed | None = None

    @property
    def ready(self) -> bool:
        """Tell whether the log is open and the bus answers."""
        return self._feed is not None and self._feed.connected

    async def run(self) -> None:
        """Write the log until cancelled, with announcing and indexing beside it.

        Raises:
            Superseded: another writer has gone on.
            NotAnExtension, NoteRefused, LogDamaged: the log is not what it should be.
        """
        newest = await asyncio.to_thread(self._committer.open)
        ledger = await asyncio.to_thread(self._committer.ledger)
        self._incarnation = await asyncio.to_thread(self._committer.incarnation)
        log.info("log opened", commit=newest.number, size=newest.size)
        SIZE.set(newest.size)
        intake = Intake(
            ledger,
            newest.size,
            {topic: dict(offsets) for topic, offsets in newest.positions.items()},
            self._committer.load_digests,
            self._committer.load_record,
            self._clock,
        )
        self._number = newest.number
        self._epochs = {key: epoch.copy() for key, epoch in ledger.epochs.items()}
        self._announce(self._epochs.values())
        self._committed.set()
        self._feed = Feed(self._options, TOPICS, newest.positions)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write(intake, self._feed))
            group.create_task(self._announcing())
            group.create_task(self._indexing())

    async def _write(self, intake: Intake, feed: Feed) -> None:
        """Fill batches and commit them, one at a time."""
        last = self._clock.monotonic()
        running: asyncio.Task[Commit] | None = None
        try:
            while True:
                messages = await self._poll(feed, intake, running)
                if messages:
                    await asyncio.to_thread(intake.take, messages)
                    repeated = intake.take_repeated()
                    self._announce(self._epochs[key] for key in repeated & self._epochs.keys())
                if running is not None and running.done():
                    self._after(running.result())
                    running = None
                waited = self._clock.monotonic() - last
                full = len(intake.records) >= BATCH
                if running is None and intake.records and (full or waited >= COMMIT_SECONDS):
                    batch = intake.close(full=self._committer.next_is_full())
                    ALARMS.set(intake.alarms)
                    last = self._clock.monotonic()
                    running = asyncio.create_task(self._commit(batch))
        finally:
            await feed.close()

    async def _poll(
        self, feed: Feed, intake: Intake, running: asyncio.Task[Commit] | None
    ) -> list[Received]:
        """Wait for messages, or, when two batches are full of them, for the commit."""
        if running is not None and len(intake.records) >= 2 * BATCH:
            await asyncio.wait([running])
            return []
        return await feed.poll(POLL_SECONDS, POLL)

    async def _commit(self, batch: Batch) -> Commit:
        return await asyncio.to_thread(self._committer.commit, batch)

    def _after(self, commit: Commit) -> None:
        SIZE.set(commit.size)
        self._number = commit.number
        # Watermarks tell what is committed, never what the batch in hand already knows.
        self._epochs.update({(epoch.instance, epoch.epoch): epoch for epoch in commit.epochs})
        self._announce(commit.epochs)
        self._committed.set()

    def _announce(self, epochs: Iterable[Epoch]) -> None:
        """Note whose watermark is to be published, as of the last commit."""
        for epoch in epochs:
            # The number is that of the commit which the epoch's copy reflects: a version that ran
            # ahead would make readers drop the watermark after it.
            self._unannounced[accepted_subject(epoch)] = (self._number, epoch)
        if self._unannounced:
            self._news.set()

    async def _announcing(self) -> None:
        """Publish watermarks; what the bus may not have is published again."""
        while True:
            await self._news.wait()
            self._news.clear()
            waiting, self._unannounced = self._unannounced, {}
            while waiting:
                subject, (number, epoch) = next(iter(waiting.items()))
                value = accepted(
                    epoch,
                    incarnation=self._incarnation,
                    commit=number,
                    at=self._clock.now(),
                )
                try:
                    await self._producer.send(ACCEPTED, subject.encode(), [(value, [])])
                except SendUnknown as error:
                    log.warning("watermark not acknowledged", error=str(error))
                    self._unannounced = {**waiting, **self._unannounced}
                    self._news.set()
                    await asyncio.sleep(COMMIT_SECONDS)
                    break
                del waiting[subject]

    async def _indexing(self) -> None:
        """Keep the index behind the log; a lost database only makes it lag."""
        while True:
            await self._committed.wait()
            self._committed.clear()
            commit = self._committer.newest
            try:
                while commit is not None and not await self._indexer.step(commit):
                    commit = self._committer.newest
                INDEXED.set(self._indexer.size)
            except (OSError, TimeoutError, SQLAlchemyError, PostgresError) as error:
                log.warning("index not written", error=repr(error))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self._committed.wait()
                self._committed.set()
