"""Filling the search index from the log: after each commit, and anew from nothing.

The index is always made from the committed bundles, so the live path and a rebuild are one.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import orjson

from kit.db import Db
from services.audit.domain.commits import Commit, staged_number
from services.audit.store import index
from services.audit.store.index import Progress
from services.audit.store.log import LogView, newest_number, read_commit
from services.audit.store.objects import ObjectMissing, ObjectStore

CHUNK: Final = 8192
"""Records of one transaction."""


class Indexer:
    """Brings the index towards the newest commit, step by step.

    Args:
        store: the log's objects.
        db: the index.
        keep_salts: whether pending salts are moved into the database; only the writer does.
    """

    def __init__(self, store: ObjectStore, db: Db, *, keep_salts: bool) -> None:
        self._store = store
        self._db = db
        self._keep_salts = keep_salts
        self.size = 0

    async def step(self, newest: Commit) -> bool:
        """Index up to `CHUNK` records; tell whether the index has now reached `newest`."""
        async with self._db.begin() as tx:
            reached = await index.lock_progress(tx)
            if reached.size < newest.size:
                last = min(newest.size, reached.size + CHUNK)
                rows = await asyncio.to_thread(self._rows, newest, reached.size, last)
                await index.add_records(tx, rows)
                reached = Progress(reached.commit, last)
            done = reached.size >= newest.size
            pending: list[str] = []
            if done and reached.commit < newest.number:
                if self._keep_salts:
                    pending, salts = await asyncio.to_thread(self._pending_salts, newest.number)
                    await index.add_salts(tx, salts)
                reached = Progress(newest.number, reached.size)
            await index.set_progress(tx, reached)
        self.size = reached.size
        for name in pending:
            await asyncio.to_thread(self._store.remove, name)
        return done

    async def rebuild(self, tell: Callable[[int, int], None]) -> int:
        """Empty the index and fill it from the log; salts stay as they are.

        Args:
            tell: called with the records indexed and the records in all, after each step.

        Returns:
            the number of records.
        """
        async with self._db.begin() as tx:
            await index.clear(tx)
        newest = read_commit(self._store, newest_number(self._store))
        if newest is None:
            return 0
        while not await self.step(newest):
            tell(self.size, newest.size)
        return newest.size

    def _rows(self, newest: Commit, first: int, last: int) -> list[tuple[Any, ...]]:
        view = LogView(self._store, newest)
        return [index.index_row(leaf, record) for leaf, record in view.records(first, last)]

    def _pending_salts(self, number: int) -> tuple[list[str], list[tuple[str, bytes]]]:
        """Return the objects with salts of decided commits, and the salts in committed ones."""
        names = [name for name in self._store.list("salts") if staged_number(name) <= number]
        salts: list[tuple[str, bytes]] = []
        for name in names:
            commit = read_commit(self._store, staged_number(name))
            if commit is None or commit.salts != name:
                continue
            try:
                found = orjson.loads(self._store.read(name))
            except ObjectMissing:
                continue
            salts.extend((record, bytes.fromhex(salt)) for record, salt in found.items())
        return names, salts
