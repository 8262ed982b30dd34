"""Sweep the object folder: what no row names, and what nobody needs any more."""

import asyncio
from datetime import timedelta
from itertools import islice
from typing import Final

from kit.logging import get_logger
from services.exchange.transfer.actions import batches
from services.exchange.transfer.store import Context, naming

OLDER_THAN: Final = 3600.0
"""Seconds. Whoever puts an object names it in a row within that time, does work that is not done
yet, or has failed."""
OPEN_FOR: Final = timedelta(days=7)
"""A batch that was not sealed by then is given up: its chunks would be kept for ever."""
_PAGE: Final = 1000

log = get_logger()


async def sweep(context: Context, *, older_than: float, chunk_retention: float) -> int:
    """Remove objects that no row names and that are old enough; return how many.

    Chunks of batches that ended count as unnamed after a time: their rows stay and tell what came.
    Batches that were open for too long end here.

    Args:
        older_than: seconds since an object was put, or a file written that never became one.
        chunk_retention: seconds since the end of a batch.
    """
    now = context.clock.now()
    ended_before = now - timedelta(seconds=chunk_retention)
    objects = context.objects
    async with context.db.begin() as tx:
        await batches.abandon_forgotten(tx, now - OPEN_FOR, now)
        older_than_work = max(older_than, await naming.oldest_work(tx))
    leftovers = await asyncio.to_thread(objects.remove_leftovers, older_than=older_than)
    candidates = objects.names(older_than=older_than_work)
    removed = 0
    while page := await asyncio.to_thread(lambda: list(islice(candidates, _PAGE))):
        async with context.db.begin() as tx:
            needed = await naming.named(tx, page, ended_before=ended_before)
        for name in page:
            if name not in needed:
                removed += await asyncio.to_thread(objects.remove, name, older_than=older_than_work)
    log.info("objects swept", removed=removed, leftovers=leftovers)
    return removed
