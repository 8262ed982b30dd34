"""Subscribe to a resource under a grant, ask for the whole table again, and end."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from kit import outbox
from kit.db import Tx
from kit.ids import uuid7
from services.exchange.transfer import domain, events
from services.exchange.transfer.actions import fitting
from services.exchange.transfer.domain import (
    Entry,
    Grant,
    Item,
    Start,
    Subscription,
    SubscriptionState,
    refusals,
)
from services.exchange.transfer.store import projections, subscriptions


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who asks, under which grant: what a subscription is found by.

    Attributes:
        system, agency: plain ids.
        call: id of the call; empty when unknown.
    """

    entry: Entry
    grant: Grant
    system: str
    agency: str
    call: str

    @property
    def actor(self) -> str:
        """Return `system/<id>`."""
        return f"system/{self.system}"


async def subscribe(
    tx: Tx, receiver: Receiver, starts: Start, asked: Sequence[str] | None, at: datetime
) -> tuple[Subscription, bool]:
    """Subscribe; tell whether the subscription is new.

    From the beginning the whole table is prepared at the version of that moment; from now the
    next version is the first one delivered.

    Args:
        asked: items; None for all that is granted.

    Raises:
        EntryWithoutKey, ItemUnknown, ItemsNotGranted, KeyNotGranted, SubscriptionExists: as their
            names say.
    """
    entry, grant = receiver.entry, receiver.grant
    view = domain.view_of(domain.choose_items(asked, entry, grant), grant)
    await subscriptions.lock_entry(tx, entry.id)
    layout = await subscriptions.dataset_layout(tx, entry.id)
    if layout is not None and (lost := domain.lost_key(view, layout)):
        raise refusals.KeyNotGranted(
            f"The rows as they are published are told apart by {', '.join(lost)} as well.",
            facts={"key": [item.name for item in layout.key], "missing": lost},
        )
    known = await subscriptions.active_subscription(tx, grant.id, receiver.system)
    if known is not None:
        known = await fitting.fit(tx, known, grant)
        if (known.starts, set(known.items)) == (starts, set(view.items)):
            return known, False
        raise refusals.SubscriptionExists(
            f"The system receives under the grant {grant.id} by the subscription {known.id}.",
            facts={
                "subscription": known.id,
                "from": known.starts.value,
                "items": list(known.items),
            },
        )
    version = await subscriptions.dataset_version(tx, entry.id)
    made = Subscription(
        id=uuid7(),
        resource=entry.resource,
        entry=entry.id,
        grant=grant.id,
        system=receiver.system,
        agency=receiver.agency,
        grant_version=grant.version,
        projection=await projections.projection_of(tx, entry.id, view),
        view=view,
        starts=starts,
        state=SubscriptionState.ACTIVE,
        version=None if starts is Start.BEGINNING else version,
        sequence=0,
        created_at=at,
    )
    await subscriptions.add_subscription(tx, made)
    if made.version is None:
        await fitting.ask_for_table(tx, made)
    fact = events.subscription_fact("created", made, actor=receiver.actor, call=receiver.call)
    await outbox.append(tx, fact)
    return made, True


async def find(
    tx: Tx, receiver: Receiver, subscription: str, *, lock: bool = False
) -> Subscription:
    """Return a subscription of the receiver.

    Raises:
        SubscriptionUnknown: there is none, or it is another's.
    """
    found = await subscriptions.find_subscription(
        tx,
        subscription,
        resource=receiver.entry.resource,
        grant=receiver.grant.id,
        system=receiver.system,
        lock=lock,
    )
    if found is None:
        raise refusals.SubscriptionUnknown(
            f"The system has no subscription {subscription} under the grant {receiver.grant.id}; "
            "when it holds several grants, name one in Datong-Grant.",
            facts={"subscription": subscription, "grant": receiver.grant.id},
        )
    return found


async def listing(tx: Tx, receiver: Receiver, after: str | None, limit: int) -> list[Subscription]:
    """Return up to `limit` subscriptions of the receiver, in id order."""
    return await subscriptions.list_subscriptions(
        tx,
        resource=receiver.entry.resource,
        grant=receiver.grant.id,
        system=receiver.system,
        after=after,
        limit=limit,
    )


async def renew(tx: Tx, receiver: Receiver, subscription: str) -> Subscription:
    """Have the whole table delivered again; asked for again before it came, it comes once.

    Raises:
        SubscriptionUnknown, SubscriptionEnded: as their names say.
    """
    await subscriptions.lock_entry(tx, receiver.entry.id)
    found = await find(tx, receiver, subscription, lock=True)
    if not found.active:
        raise refusals.SubscriptionEnded(
            f"The subscription {found.id} was ended.", facts={"subscription": found.id}
        )
    found = await fitting.fit(tx, found, receiver.grant)
    if await subscriptions.await_table(tx, found.id):
        await fitting.ask_for_table(tx, found)
        fact = events.subscription_fact("renewed", found, actor=receiver.actor, call=receiver.call)
        await outbox.append(tx, fact)
    return found


async def end(tx: Tx, receiver: Receiver, subscription: str, at: datetime) -> Subscription:
    """End a subscription; again changes nothing.

    Raises:
        SubscriptionUnknown: as its name says.
    """
    found = await find(tx, receiver, subscription, lock=True)
    if await subscriptions.end_subscriptions(tx, [found.id], at):
        fact = events.subscription_fact("ended", found, actor=receiver.actor, call=receiver.call)
        await outbox.append(tx, fact)
    return replace(found, state=SubscriptionState.ENDED)


async def items_of(tx: Tx, entry: Entry, found: Sequence[Subscription]) -> list[list[Item]]:
    """Return the items of subscriptions to `entry`, as they are seen in what is delivered.

    Before the first batch, and for items that no row has yet, they are as the entry says. An item
    that neither has any more is left out: it never has a value.
    """
    layout = await subscriptions.dataset_layout(tx, entry.id)
    known = dict(entry.layout.by_name) | dict({} if layout is None else layout.by_name)
    return [
        list(domain.as_seen([known[n] for n in each.items if n in known], dict(each.view.masks)))
        for each in found
    ]
