"""The worker: claims items of work, does them, and takes over what others left behind."""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from prometheus_client import Counter, Histogram

from kit.logging import get_logger
from kit.notices import listen
from services.exchange.transfer.actions import fitting, projecting, sealing, sweeping
from services.exchange.transfer.store import work
from services.exchange.transfer.store.work import Context, LeaseLost, Work

POLL_SECONDS: Final = 1.0
"""How long an item waits at most that nobody was woken for."""
STOP_SECONDS: Final = 2.0
MAX_BACKOFF: Final = 30.0
SWEEP_SECONDS: Final = 3600.0

Handler = Callable[[Work, Context], Awaitable[None]]

log = get_logger()

ITEMS: Final = Counter("datong_transfer_work", "Items of work", ["kind", "outcome"])
SECONDS: Final = Histogram(
    "datong_transfer_work_seconds",
    "Time to do an item of work",
    ["kind"],
    buckets=(0.05, 0.2, 1, 5, 20, 60, 300, 1200),
)


class Worker:
    """Does work of several lanes side by side.

    Args:
        url: of the database, for being woken.
        context: what items are done with. Its database needs a connection per item and one more.
        handlers: what does an item of each kind.
        concurrency: items at the same time.
        lease: seconds after which an item is taken over that is not renewed.
    """

    def __init__(
        self,
        url: str,
        context: Context,
        handlers: Mapping[str, Handler],
        *,
        concurrency: int = 2,
        lease: float = 10.0,
    ) -> None:
        self._url = url
        self._context = context
        self._handlers = handlers
        self._concurrency = concurrency
        self._lease = lease
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Work until cancelled; what is being done then is given back at once."""
        async with asyncio.TaskGroup() as group:
            group.create_task(listen(self._url, work.CHANNEL, self._wake))
            for _ in range(self._concurrency):
                group.create_task(self._work())

    def _wake(self, _payload: str) -> None:
        woken, self._woken = self._woken, asyncio.Event()
        woken.set()

    async def _work(self) -> None:
        while True:
            woken = self._woken
            claimed = await self._claim()
            if claimed is not None:
                await self._do(claimed)
            else:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_SECONDS):
                        await woken.wait()

    async def _claim(self) -> Work | None:
        try:
            return await work.claim(self._context.db, seconds=self._lease)
        except Exception as error:  # noqa: BLE001 - whatever it is, the database is asked again
            log.warning("no work can be claimed", error=repr(error))
            return None

    async def _do(self, item: Work) -> None:
        """Do one item, or give it back; never raises but when cancelled."""
        started = time.perf_counter()
        job = asyncio.ensure_future(self._handle(item))
        renewal = asyncio.create_task(self._renew(item, job))
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError:
            await self._stop(item, job, renewal)
            raise
        renewal.cancel()
        facts: dict[str, Any] = {
            "work": item.id,
            "kind": item.kind,
            "lane": item.lane,
            "attempts": item.attempts,
            "seconds": round(time.perf_counter() - started, 3),
        }
        error = LeaseLost() if job.cancelled() else job.exception()
        outcome = "failed"
        if error is None:
            outcome = "done"
            SECONDS.labels(item.kind).observe(facts["seconds"])
            log.info("work is done", **facts)
        elif isinstance(error, LeaseLost) or not await self._release(
            item, min(MAX_BACKOFF, _backoff(item.attempts)), repr(error)
        ):
            outcome = "taken over"
            log.warning("work was taken over", **facts, error=repr(error))
        else:
            log.error("work failed", **facts, exc_info=error)
        ITEMS.labels(item.kind, outcome).inc()

    async def _handle(self, item: Work) -> None:
        handler = self._handlers.get(item.kind)
        if handler is None:
            raise LookupError(f"this release does no {item.kind}")
        await handler(item, self._context)

    async def _renew(self, item: Work, job: asyncio.Future[None]) -> None:
        """Renew the lease until cancelled; end the job when the lease is lost."""
        until = time.monotonic() + self._lease
        while time.monotonic() < until:
            await asyncio.sleep(self._lease * 0.3)
            asked = time.monotonic()
            try:
                if not await work.renew(self._context.db, item, seconds=self._lease):
                    break
                until = asked + self._lease
            except Exception as error:  # noqa: BLE001 - asked again while the lease lasts
                log.warning("lease not renewed", work=item.id, error=repr(error))
        job.cancel()

    async def _stop(
        self, item: Work, job: asyncio.Future[None], renewal: asyncio.Task[None]
    ) -> None:
        job.cancel()
        renewal.cancel()
        await asyncio.wait([job, renewal])
        if job.cancelled() or job.exception() is not None:
            await self._release(item, 0.0, None)

    async def _release(self, item: Work, after: float, failure: str | None) -> bool:
        """Give an item back, which is taken over after its lease when that fails.

        Returns:
            False when another worker had it already.
        """
        try:
            async with asyncio.timeout(STOP_SECONDS):
                return await work.release(self._context.db, item, after=after, failure=failure)
        except Exception as error:  # noqa: BLE001 - as said above
            log.warning("work not given back", work=item.id, error=repr(error))
            return True


def _backoff(attempts: int) -> float:
    # Half a second, doubled each time; not all workers at the same moment.
    return 0.5 * 2.0 ** min(attempts - 1, 10) * random.uniform(0.8, 1.2)  # noqa: S311


class Fitting:
    """Moves subscriptions to the terms of their grants, as these change."""

    def __init__(self) -> None:
        self._changed: set[str] = set()
        self._woken = asyncio.Event()

    def note(self, grant: str) -> None:
        """Note that a grant has a new state."""
        self._changed.add(grant)
        self._woken.set()

    async def run(self, context: Context) -> None:
        """Fit subscriptions until cancelled; what fails is done again."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.fit(context)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                log.warning("subscriptions not moved", error=repr(error))
                await asyncio.sleep(POLL_SECONDS)
                self._woken.set()

    async def fit(self, context: Context) -> None:
        """Fit all subscriptions under grants that have changed."""
        changed, self._changed = self._changed, set()
        try:
            await fitting.fit_all(context, changed)
        except BaseException:
            self._changed |= changed
            raise


HANDLERS: Final[Mapping[str, Handler]] = {
    "seal": sealing.seal,
    "project": projecting.project,
    "base": projecting.base,
}
"""What does an item of each kind of this release."""


def make_worker(url: str, context: Context, **options: Any) -> Worker:
    """Return a worker that does all kinds of work of this release."""
    return Worker(url, context, HANDLERS, **options)


async def sweep_hourly(context: Context, *, chunk_retention: float) -> None:
    """Sweep once an hour until cancelled; a sweep that fails is made up for by the next one."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await sweeping.sweep(
                context, older_than=sweeping.OLDER_THAN, chunk_retention=chunk_retention
            )
        except Exception as error:
            log.error("sweep failed", exc_info=error)
