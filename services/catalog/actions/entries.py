"""What people do with entries."""

from collections.abc import Callable
from datetime import datetime
from typing import Final

from kit import outbox
from kit.db import Db, Tx
from kit.problems import OtherAgency
from services.catalog import domain, events, store
from services.catalog.domain import Actor, Content, Entry, EntryUnknown, Version
from services.catalog.store import Filters

REPUBLISH_PAGE: Final = 200

Precondition = Callable[[int], None]
"""Takes the present revision; raises when the change was made from another one."""


async def create_entry(
    tx: Tx, entry_id: str, resource: str, content: Content, actor: Actor, now: datetime
) -> Entry:
    """Write the draft of a new entry of the actor's agency.

    Raises:
        EntryInvalid, LegalBasisRequired: of its content.
        ResourceTaken: another entry has the resource id.
    """
    entry = domain.create(entry_id, resource, content, actor, now)
    await store.add_entry(tx, entry)
    await _tell(tx, events.CREATED, entry, entry.versions[-1], actor)
    return entry


async def replace_draft(
    tx: Tx,
    entry_id: str,
    resource: str,
    content: Content,
    actor: Actor,
    now: datetime,
    require: Precondition,
) -> Entry:
    """Rewrite the draft.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.replace_draft` raise.
        ResourceTaken: another entry has the resource id.
    """
    entry = await _own(tx, entry_id, actor, require)
    entry = domain.replace_draft(entry, resource, content, actor, now)
    await store.save_entry(tx, entry)
    await _tell(tx, events.DRAFT_REPLACED, entry, _working(entry), actor)
    return entry


async def begin_draft(
    tx: Tx, entry_id: str, actor: Actor, now: datetime, require: Precondition
) -> Entry:
    """Write the draft of the next version; it begins with the published content.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.begin_draft` raise.
    """
    entry = domain.begin_draft(await _own(tx, entry_id, actor, require), actor, now)
    await store.save_entry(tx, entry)
    await _tell(tx, events.DRAFT_BEGUN, entry, _working(entry), actor)
    return entry


async def submit_entry(
    tx: Tx, entry_id: str, actor: Actor, now: datetime, require: Precondition
) -> Entry:
    """Submit the draft for approval.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.submit` raise.
    """
    entry = domain.submit(await _own(tx, entry_id, actor, require), actor, now)
    await store.save_entry(tx, entry)
    await _tell(tx, events.SUBMITTED, entry, _working(entry), actor)
    return entry


async def approve_entry(
    tx: Tx, entry_id: str, actor: Actor, now: datetime, require: Precondition
) -> Entry:
    """Approve the submitted version, which publishes it.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.approve` raise.
    """
    entry = domain.approve(await _own(tx, entry_id, actor, require), actor, now)
    await store.save_entry(tx, entry)
    await _tell(tx, events.PUBLISHED, entry, _public(entry), actor)
    return entry


async def reject_entry(
    tx: Tx, entry_id: str, reason: str, actor: Actor, now: datetime, require: Precondition
) -> Entry:
    """Send the submitted version back to its writers with a reason.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.reject` raise.
    """
    entry = domain.reject(await _own(tx, entry_id, actor, require), reason, actor, now)
    await store.save_entry(tx, entry)
    await _tell(tx, events.REJECTED, entry, _working(entry), actor)
    return entry


async def withdraw_entry(
    tx: Tx, entry_id: str, reason: str, actor: Actor, now: datetime, require: Precondition
) -> tuple[Entry, list[int]]:
    """Withdraw a published entry for good; also return the outbox rows to wait for.

    Raises:
        EntryUnknown, OtherAgency: of `_own`; what `require` and `domain.withdraw` raise.
    """
    entry = domain.withdraw(await _own(tx, entry_id, actor, require), reason, now)
    await store.save_entry(tx, entry)
    return entry, await _tell(tx, events.WITHDRAWN, entry, _public(entry), actor)


async def get_entry(tx: Tx, entry_id: str, agency: str) -> Entry:
    """Return an entry as somebody of `agency` may see it.

    Raises:
        EntryUnknown: no such entry, or only a draft of another agency.
    """
    entry = await store.find_entry(tx, entry_id)
    if entry is None or not _is_visible(entry, agency):
        raise EntryUnknown(f"Entry {entry_id} does not exist.")
    return entry


async def get_version(tx: Tx, entry_id: str, number: int, agency: str) -> tuple[Entry, Version]:
    """Return one version as somebody of `agency` may see it.

    Raises:
        EntryUnknown: no such version, or another agency's that never was published.
    """
    found = await store.find_version(tx, entry_id, number)
    if found is None or (found[0].agency != agency and found[1].published_at is None):
        raise EntryUnknown(f"Entry {entry_id} has no version {number}.")
    return found


async def list_entries(
    tx: Tx, filters: Filters, after: str | None, limit: int
) -> list[tuple[Entry, Version]]:
    """Return up to `limit` entries that `filters` let through, in id order."""
    return await store.list_entries(tx, filters, after, limit)


async def republish(db: Db) -> int:
    """Append the state of every published or withdrawn entry to the outbox again.

    Each page is one transaction that locks its entries: a state appended here can never follow
    a newer one on the compacted topic.

    Returns:
        The number of states.
    """
    after, count = "", 0
    while True:
        async with db.begin() as tx:
            page = await store.lock_page(tx, after, REPUBLISH_PAGE)
            states = [state for entry in page if (state := events.state(entry)) is not None]
            await outbox.append(tx, *states)
        if not page:
            return count
        after, count = page[-1].id, count + len(states)


async def _own(tx: Tx, entry_id: str, actor: Actor, require: Precondition) -> Entry:
    """Lock an entry of the actor's agency.

    Raises:
        EntryUnknown: no such entry, or another agency's that never was published.
        OtherAgency: another agency's. What `require` raises.
    """
    entry = await store.lock_entry(tx, entry_id)
    if entry.agency != actor.agency:
        if not _is_visible(entry, actor.agency):
            raise EntryUnknown(f"Entry {entry_id} does not exist.")
        raise OtherAgency("The entry belongs to another agency.", facts={"agency": entry.agency})
    require(entry.revision)
    return entry


def _is_visible(entry: Entry, agency: str) -> bool:
    return entry.agency == agency or entry.public is not None


def _working(entry: Entry) -> Version:
    if entry.working is None:
        raise ValueError("the entry has no version in work")
    return entry.working


def _public(entry: Entry) -> Version:
    if entry.public is None:
        raise ValueError("the entry has no public version")
    return entry.public


async def _tell(tx: Tx, kind: str, entry: Entry, version: Version, actor: Actor) -> list[int]:
    """Append the fact and, where everybody sees the change, the state; return their rows."""
    fact = events.fact(kind, entry, version, actor)
    state = events.state(entry) if kind in (events.PUBLISHED, events.WITHDRAWN) else None
    return await outbox.append(tx, *((state, fact) if state is not None else (fact,)))
