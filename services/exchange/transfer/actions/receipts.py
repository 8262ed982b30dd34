"""Receipts: the consumer's own figures of a delivery, compared with the platform's."""

from datetime import datetime
from typing import Any, Final

from prometheus_client import Counter

from kit import outbox
from kit.db import Tx
from kit.logging import get_logger
from services.exchange.transfer import domain, events
from services.exchange.transfer.actions.subscribing import Receiver
from services.exchange.transfer.domain import Figures, Receipt, ReceiptState, refusals
from services.exchange.transfer.store import deliveries
from services.exchange.transfer.store.deliveries import Handed

RECEIPTS: Final = Counter(
    "datong_transfer_receipts",
    "Deliveries closed by a receipt, by whether both sides agree",
    ["state"],
)

log = get_logger()


async def put_receipt(
    tx: Tx, receiver: Receiver, delivery: str, consumer: Figures, at: datetime
) -> tuple[Receipt, Handed]:
    """Close a delivery; the same receipt again has the same answer and no other effect.

    Receipts may come late and in any order: each is compared with its own version.

    Raises:
        DeliveryUnknown, ItemsNotGranted, TermsChanged, ReceiptDiffers: as their names say.
    """
    handed = await find_delivery(tx, receiver, delivery, lock=True)
    # Figures of what is granted no more are told no more: the digest of one row is that row's.
    domain.require_covered(handed.subscription, handed.view, receiver.grant)
    platform = domain.platform_figures(handed.projected, handed.starts)
    if handed.receipt is not None and handed.received_at is not None:
        if handed.receipt != consumer:
            raise refusals.ReceiptDiffers(
                f"The delivery {delivery} was closed with other figures.",
                facts={"delivery": delivery, "subscription": handed.subscription},
            )
        at = handed.received_at
    state = domain.compare(platform, consumer)
    if handed.receipt is None:
        await deliveries.save_receipt(tx, delivery, consumer, state, at)
        fact = events.receipt_came(
            ids(handed), platform, consumer, actor=receiver.actor, call=receiver.call
        )
        await outbox.append(tx, fact)
    return Receipt(delivery, state, platform, consumer, at), handed


async def find_delivery(tx: Tx, receiver: Receiver, delivery: str, *, lock: bool = False) -> Handed:
    """Return a delivery to the receiver.

    Raises:
        DeliveryUnknown: there is none, or it is another's.
    """
    handed = await deliveries.find_delivery(
        tx,
        delivery,
        resource=receiver.entry.resource,
        grant=receiver.grant.id,
        system=receiver.system,
        lock=lock,
    )
    if handed is None:
        raise refusals.DeliveryUnknown(
            f"The system has no delivery {delivery} under the grant {receiver.grant.id}; when it "
            "holds several grants, name one in Datong-Grant.",
            facts={"delivery": delivery, "grant": receiver.grant.id},
        )
    return handed


def report(receipt: Receipt, handed: Handed) -> None:
    """Count a receipt that was committed for the first time; a difference is an alert."""
    if handed.receipt is not None:
        return
    RECEIPTS.labels(receipt.state.value).inc()
    if receipt.state is ReceiptState.DIFFERS:
        log.error(
            "reconciliation differs",
            **ids(handed),
            platform=receipt.platform.as_json(),
            consumer=receipt.consumer.as_json(),
        )


def ids(handed: Handed) -> dict[str, Any]:
    """Return what names a delivery in facts and logs."""
    named = {
        "delivery": handed.delivery,
        "subscription": handed.subscription,
        "sequence": handed.sequence,
        "kind": handed.projected.kind.value,
        "version": handed.projected.version,
        "resource": handed.resource,
        "entry": handed.entry,
        "grant": handed.grant,
        "agency": handed.agency,
        "system": handed.system,
    }
    return named if handed.projected.batch is None else named | {"batch": handed.projected.batch}
