"""What operators do: publish states again, and hand over messages that were parked."""

from collections.abc import Mapping
from typing import Final

from kit import inbox, outbox
from kit.db import Db
from kit.follow import Handler, handle_once
from services.exchange.sharing import events
from services.exchange.sharing.store import grants

REPUBLISH_PAGE: Final = 200


async def republish(db: Db) -> int:
    """Append the state of every grant to the outbox again; return how many.

    Each page is one transaction that locks its grants: a state appended here can never follow
    a newer one on the compacted topic.
    """
    after, count = "", 0
    while True:
        async with db.begin() as tx:
            page = await grants.lock_page(tx, after, REPUBLISH_PAGE)
            await outbox.append(tx, *(events.state(grant) for grant in page))
        if not page:
            return count
        after, count = page[-1].id, count + len(page)


async def replay_parked(db: Db, handlers: Mapping[str, Handler]) -> tuple[int, list[str]]:
    """Hand every parked message to its handler again, each in a transaction of its own.

    Returns:
        How many were handled, and one line for each that failed again and stays parked.
    """
    async with db.begin() as tx:
        messages = await inbox.parked(tx)
    handled, failed = 0, []
    for topic, partition, offset, value, _ in messages:
        try:
            async with db.begin() as tx:
                await handle_once(tx, value, handlers)
                await inbox.unpark(tx, topic, partition, offset)
        except Exception as error:  # noqa: BLE001 - the operator sees it; the message stays
            failed.append(f"{topic}/{partition}@{offset}: {error!r}")
        else:
            handled += 1
    return handled, failed
