"""Fit subscriptions to the terms of their grants, as these are narrowed.

A subscription that moves receives the whole table of its new view, which removes what is granted
no more. A grant that was only prolonged, suspended or resumed changes nothing here.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from kit import outbox
from kit.db import Tx
from kit.logging import get_logger
from services.exchange.transfer import domain, events
from services.exchange.transfer.domain import Grant, Subscription
from services.exchange.transfer.store import Context, projections, subscriptions, work

log = get_logger()


async def fit_all(context: Context, grants: Collection[str]) -> int:
    """Fit every active subscription under `grants`; return how many moved.

    One statement finds them; only those that move cost more.
    """
    async with context.db.begin() as tx:
        found = await subscriptions.active_under(tx, grants)
    changed = outdated(context, found)
    moved = 0
    for each in found:
        if each.grant not in changed:
            continue
        grant = context.copies.grants[each.grant]
        async with context.db.begin() as tx:
            await subscriptions.lock_entry(tx, each.entry)
            known = await subscriptions.active_subscription(tx, each.grant, each.system)
            if known is not None and (await fit(tx, known, grant)).projection != known.projection:
                moved += 1
    if moved:
        log.info("subscriptions moved to what is granted now", moved=moved)
    return moved


def outdated(context: Context, found: Iterable[Subscription]) -> set[str]:
    """Return the grants of those subscriptions whose terms are older than ours, and others."""
    grants = context.copies.grants
    return {
        each.grant
        for each in found
        if (grant := grants.get(each.grant)) is not None and _is_outdated(each, grant)
    }


async def fit(tx: Tx, known: Subscription, grant: Grant) -> Subscription:
    """Move a subscription to what `grant` lets be seen now, unless it is there; return it.

    Args:
        tx: holds `subscriptions.lock_entry`, so that no version falls between the projections,
            and the row of the subscription.
        known: as it is now, active.
    """
    if not _is_outdated(known, grant):
        return known
    view = domain.view_of([name for name in known.items if name in grant.items], grant)
    projection = await projections.projection_of(tx, known.entry, view)
    await subscriptions.move(tx, known.id, projection, grant.version)
    moved = replace(
        known, grant_version=grant.version, projection=projection, view=view, version=None
    )
    await ask_for_table(tx, moved)
    fact = events.subscription_fact("renewed", moved, actor=events.TRANSFER, reason="terms-changed")
    await outbox.append(tx, fact)
    return moved


async def ask_for_table(tx: Tx, subscription: Subscription) -> None:
    """Have the whole table prepared for a subscription that waits for it."""
    await work.add(
        tx,
        f"projection/{subscription.projection}",
        "base",
        {"projection": subscription.projection, "subscription": subscription.id},
    )


def _is_outdated(known: Subscription, grant: Grant) -> bool:
    """Tell whether `grant` is newer than the terms of a subscription, and says otherwise.

    Whoever lags behind with its copies never moves one back.
    """
    if grant.version <= known.grant_version or not grant.readable:
        return False
    return known.view != domain.view_of(
        [name for name in known.items if name in grant.items], grant
    )
