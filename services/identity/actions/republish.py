"""Publishing every subject's state again, page by page."""

from typing import Final

from kit import outbox
from kit.db import Tx
from services.identity import events
from services.identity.domain.credentials import Credential
from services.identity.domain.subjects import Agency, Person, System
from services.identity.store import credentials, keys, subjects

Kind = type[Agency] | type[Person] | type[System] | type[Credential]

KINDS: Final[tuple[Kind, ...]] = (Agency, Person, System, Credential)
PAGE: Final = 500


async def republish_keys(tx: Tx) -> int:
    """Publish the state of every key, retired ones too; return how many."""
    found = await keys.all_keys(tx, retired=True, lock=True)
    await outbox.append(tx, *(events.state_of(key) for key in found))
    return len(found)


async def republish_page(tx: Tx, kind: Kind, after: str | None) -> list[str]:
    """Publish the states of the next 500 subjects after the id `after`; return their ids.

    The rows are locked: an older state must not follow a newer one onto a compacted topic, which
    would keep it as the last.
    """
    if issubclass(kind, Credential):
        await credentials.lock_order(tx)
        issued = await credentials.page(tx, after=after, limit=PAGE, lock=True)
        await outbox.append(tx, *(events.state_of(each) for each in issued))
        return [each.thumbprint for each in issued]
    found = await subjects.page(tx, kind, after=after, limit=PAGE, lock=True)
    await outbox.append(tx, *(events.state_of(each) for each in found))
    return [each.id for each in found]
