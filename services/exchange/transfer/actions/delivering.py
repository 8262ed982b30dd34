"""Hand deliveries out: list them in order, and open their segments."""

from collections.abc import Sequence
from dataclasses import dataclass

from kit.db import Tx
from services.exchange.transfer import domain
from services.exchange.transfer.actions import receipts, subscribing
from services.exchange.transfer.actions.subscribing import Receiver
from services.exchange.transfer.domain import Delivery, Segment, refusals
from services.exchange.transfer.store import deliveries


@dataclass(frozen=True, slots=True)
class Listed:
    """Deliveries after a sequence; `following` is where the next page begins, if there is one."""

    found: Sequence[Delivery]
    following: int | None


async def list_deliveries(
    tx: Tx, receiver: Receiver, subscription: str, after: int, limit: int
) -> Listed:
    """Return up to `limit` deliveries of a subscription after a sequence, in order.

    Raises:
        SubscriptionUnknown, CursorInvalid: as their names say.
    """
    known = await subscribing.find(tx, receiver, subscription)
    if after > known.sequence:
        raise refusals.CursorInvalid(
            f"The last delivery of the subscription has the sequence {known.sequence}.",
            pointer="/query/after",
            facts={"subscription": known.id, "sequence": known.sequence},
        )
    found = await deliveries.list_deliveries(tx, known.id, after, limit + 1)
    more = len(found) > limit
    return Listed(found[:limit], found[limit - 1].sequence if more else None)


async def find_segment(
    tx: Tx, receiver: Receiver, delivery: str, number: int
) -> tuple[Segment, tuple[str, ...]]:
    """Return one segment of a delivery to the receiver, and the items that it holds.

    Raises:
        DeliveryUnknown, ItemsNotGranted, TermsChanged, SegmentUnknown: as their names say.
    """
    handed = await receipts.find_delivery(tx, receiver, delivery)
    domain.require_covered(handed.subscription, handed.view, receiver.grant)
    segment = await deliveries.find_segment(tx, handed, number)
    if segment is None:
        raise refusals.SegmentUnknown(
            f"The delivery {delivery} has no segment {number}.",
            facts={"delivery": delivery, "segment": number},
        )
    return segment, handed.view.items
