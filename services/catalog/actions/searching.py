"""Searching published entries, in an index that is kept in step with the database.

Each process that answers searches has an index of its own, in a folder of its own. The index is
only a copy: it may be lost, damaged or of another version at any time, and is then made anew, while
the one before goes on answering as long as it can.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from prometheus_client import Counter, Gauge

from kit.db import Db, Tx, is_database_lost
from kit.logging import get_logger
from kit.problems import ServiceUnavailable
from services.catalog.domain import Hits, Miss, Search
from services.catalog.store import (
    FolderBusy,
    Horizon,
    Index,
    IndexDamaged,
    IndexFolder,
    State,
    changes,
    misses,
)

POLL_SECONDS: Final = 1.0
AGAIN_SECONDS: Final = 5.0
"""How long a folder that cannot be written is left alone."""

START_SECONDS: Final = 0.05
OVERLAP: Final = 1000
"""Transactions before the position that are looked at again.

A server that crashed gives numbers a second time that were on no disk yet: at most those of some
hundred milliseconds in which nothing was committed.
"""

PAGE: Final = 1000
MISS_LENGTH: Final = 60
"""Characters of a search in vain that are kept."""

SHANGHAI: Final = timezone(timedelta(hours=8))

SEARCHES: Final = Counter("datong_catalog_searches", "Searches answered", ["outcome"])
ENTRIES: Final = Gauge("datong_catalog_index_entries", "Entries in the search index")
REBUILDS: Final = Counter("datong_catalog_index_rebuilds", "Search indexes made anew")

P = ParamSpec("P")
T = TypeVar("T")

log = get_logger()


class Searching:
    """The search of one process.

    Args:
        db: the catalogue's database.
        folder: of this process alone.
        agencies: returns the names of all known agencies by id.
        ready: tells whether these are complete; until then nothing is indexed.
    """

    def __init__(
        self,
        db: Db,
        folder: Path,
        agencies: Callable[[], Mapping[str, str]],
        *,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._db = db
        self._path = folder
        self._agencies = agencies
        self._ready = ready
        self._writing = ThreadPoolExecutor(1, "index")
        self._folder: IndexFolder | None = None
        self._index: Index | None = None
        self._state: State | None = None
        self._damaged = False
        self._seen: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._stepped = asyncio.Condition()
        self._asked = 0
        self._done = 0

    async def run(self) -> None:
        """Keep the index in step until cancelled; whatever goes wrong is tried again."""
        try:
            while True:
                self._wake.clear()
                seconds = await self._turn()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._wake.wait()
        finally:
            await asyncio.shield(self.close())

    def wake(self, _payload: str = "") -> None:
        """Look for changes at once."""
        self._wake.set()

    async def search(self, search: Search) -> Hits:
        """Return the hits.

        Raises:
            ServiceUnavailable: the index is not ready yet.
        """
        index = self._index
        if index is None:
            raise ServiceUnavailable("The index is being made; it is ready within seconds.")
        try:
            hits = await asyncio.to_thread(index.search, search)
        except IndexDamaged as error:
            log.error("index damaged", error=str(error))
            if index is self._index:
                self._index, self._damaged = None, True
                self.wake()
            raise ServiceUnavailable("The index is damaged; it is being made anew.") from error
        SEARCHES.labels("found" if hits.total else "missed").inc()
        return hits

    async def catch_up(self, seconds: float) -> bool:
        """Wait until all that was committed before is searched; tell whether that came in time."""
        self._asked += 1
        mine = self._asked
        self.wake()
        try:
            async with asyncio.timeout(seconds), self._stepped:
                await self._stepped.wait_for(lambda: self._done >= mine)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Let go of index and folder."""
        index, folder = self._index, self._folder
        self._index = self._folder = None
        if index is not None:
            await self._write(index.close)
        if folder is not None:
            folder.close()
        self._writing.shutdown()

    async def open(self) -> bool:
        """Take the folder and open the index that lies in it; tell whether the folder is ours."""
        try:
            self._folder = await self._write(IndexFolder, self._path)
        except (FolderBusy, OSError) as error:
            log.error("no folder for the index", error=str(error))
            return False
        try:
            index, self._state = await self._write(self._folder.open)
        except IndexDamaged as error:
            log.info("no index", reason=str(error))
        else:
            self._index = index
            ENTRIES.set(index.size)
        return True

    async def _turn(self) -> float:
        """Make one step and tell those who wait for it; return the seconds until the next one."""
        if self._folder is None and not await self.open():
            return AGAIN_SECONDS
        if not self._ready():
            return START_SECONDS
        asked = self._asked
        try:
            await self.step()
        except IndexDamaged as error:
            log.error("index damaged", error=str(error))
            # Made anew at once; when that was what failed, the folder may be full.
            seconds, self._damaged = (AGAIN_SECONDS if self._damaged else 0.0), True
            return seconds
        except Exception as error:
            # The catalogue goes on, and searches are answered from the index as it is.
            lost = is_database_lost(error)
            log.error("index not in step", error=repr(error), exc_info=None if lost else error)
            return AGAIN_SECONDS
        async with self._stepped:
            self._done = asked
            self._stepped.notify_all()
        return POLL_SECONDS

    async def step(self) -> None:
        """Bring the index up to what is committed now.

        Raises:
            IndexDamaged: it cannot be written; the next step makes it anew.
        """
        if self._folder is None:
            raise IndexDamaged("there is no folder")
        names = dict(self._agencies())
        async with self._db.begin() as tx:
            now = await changes.horizon(tx)
        index, state = self._index, self._state
        if index is None or state is None or await self._is_lost(self._folder, index, state, now):
            self._damaged = True  # until it is made anew
            await self._rebuild(self._folder, now, names)
        else:
            await self._advance(self._folder, index, state, now, names)

    async def _is_lost(self, folder: IndexFolder, index: Index, state: State, now: Horizon) -> bool:
        return (
            self._damaged
            or state.incarnation != now.incarnation
            or state.position - OVERLAP > now.position
            or not await self._write(folder.holds, index)
        )

    async def _advance(
        self,
        folder: IndexFolder,
        index: Index,
        state: State,
        now: Horizon,
        names: Mapping[str, str],
    ) -> None:
        """Take up what changed since the last step; agencies that have another name as well."""
        renamed = [each for each, name in names.items() if state.agencies.get(each) != name]
        async with self._db.begin() as tx:
            found = await changes.changes_since(tx, state.position - OVERLAP, now.end)
            entries = {each.entry for each in found if self._seen.get(each.entry) != each.revision}
            if renamed:
                entries.update(await changes.published_by(tx, renamed))
        wanted = sorted(entries)
        for at in range(0, len(wanted), PAGE):
            page = wanted[at : at + PAGE]
            async with self._db.begin() as tx:
                published = await changes.published(tx, page)
            await self._write(_put, index, page, published, names)
        after = State(now.incarnation, now.position, {**state.agencies, **names})
        if wanted or renamed:
            await self._write(index.commit)
            await self._write(folder.keep, index, after)
            ENTRIES.set(index.size)
        self._state = after
        # Only what lies behind the new position comes again.
        behind = now.position - OVERLAP
        self._seen = {each.entry: each.revision for each in found if each.changed_in >= behind}

    async def _rebuild(self, folder: IndexFolder, now: Horizon, names: Mapping[str, str]) -> None:
        """Make the index anew from all published entries; the one before answers meanwhile.

        What changes meanwhile lies behind `now`, so the next step takes it up.
        """
        log.info("index is made anew")
        new = await self._write(folder.create)
        try:
            after, count = "", 0
            while True:
                async with self._db.begin() as tx:
                    page = await changes.published_after(tx, after, PAGE)
                if not page:
                    break
                await self._write(_put, new, (), page, names)
                after, count = page[-1][0].id, count + len(page)
            state = State(now.incarnation, now.position, names)
            await self._write(new.commit)
            await self._write(folder.keep, new, state)
        except BaseException:
            await self._write(_discard, new)
            raise
        old, self._index, self._state = self._index, new, state
        self._damaged, self._seen = False, {}
        if old is not None:
            with contextlib.suppress(IndexDamaged):
                await self._write(old.close)
        await self._write(folder.clean, new)
        REBUILDS.inc()
        ENTRIES.set(count)
        log.info("index is ready", entries=count)

    async def _write(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do `work` in the one thread that writes."""
        call: Callable[[], T] = lambda: work(*args, **kwargs)  # noqa: E731 - a partial has no types
        return await asyncio.get_running_loop().run_in_executor(self._writing, call)


async def record_miss(tx: Tx, query: str, agency: str, now: datetime) -> None:
    """Count a search for `query` (without numbers) that found nothing."""
    await misses.add_miss(tx, query, agency, now.astimezone(SHANGHAI).date())


async def list_misses(
    tx: Tx, days: int, now: datetime, after: tuple[int, str] | None, limit: int
) -> list[Miss]:
    """Return what was searched in vain in the last `days` days, today included."""
    since: date = now.astimezone(SHANGHAI).date() - timedelta(days=days - 1)
    return await misses.list_misses(tx, since, after, limit)


def _put(
    index: Index,
    changed: Any,
    published: list[changes.Published],
    names: Mapping[str, str],
) -> None:
    """Write published entries; drop those of `changed` that are not published any more."""
    there = {entry.id for entry, _ in published}
    for each in changed:
        if each not in there:
            index.drop(each)
    for entry, version in published:
        index.put(entry, version, names.get(entry.agency, ""))


def _discard(index: Index) -> None:
    with contextlib.suppress(IndexDamaged):
        index.close()
    index.remove()
