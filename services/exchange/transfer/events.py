"""What transfer publishes."""

from collections.abc import Mapping
from typing import Any, Final

from kit.events import Fact
from services.exchange.transfer.domain import Figures, ProjectedVersion, Subscription

CHANGE: Final = "transfer.change.v1"
TRANSFER: Final = "part/transfer"
"""Who acts when a worker does."""


def rows_loaded(
    *,
    resource: str,
    entry: str,
    entry_version: int,
    agency: str,
    rows: int,
    digest: str,
    actor: str,
    call: str,
) -> Fact:
    """Return the fact that the rows of a dataset were replaced as a whole.

    Args:
        rows, digest: count and digest of the rows that are there now (`contracts/rows.md`).
        actor: `system/<id>` of the owner.
    """
    return Fact(
        topic="transfer.change.v1",
        type="transfer.rows-loaded.v1",
        subject=f"dataset/{entry}",
        data={
            "resource": resource,
            "entry": entry,
            "entry_version": entry_version,
            "agency": agency,
            "rows": rows,
            "digest": digest,
        },
        actor=actor,
        call=call or None,
    )


def subscription_fact(
    what: str,
    subscription: Subscription,
    *,
    actor: str,
    call: str | None = None,
    reason: str | None = None,
) -> Fact:
    """Return the fact that a subscription was `created`, `renewed` or `ended`.

    Args:
        actor: `system/<id>` of the consumer, or `part/transfer`.
        reason: why it was ended by the platform.
    """
    data: dict[str, Any] = {
        "subscription": subscription.id,
        "resource": subscription.resource,
        "entry": subscription.entry,
        "grant": subscription.grant,
        "agency": subscription.agency,
        "system": subscription.system,
        "starts": subscription.starts.value,
        "items": list(subscription.items),
    }
    if reason is not None:
        data["reason"] = reason
    return Fact(
        topic=CHANGE,
        type=f"transfer.subscription-{what}.v1",
        subject=f"subscription/{subscription.id}",
        data=data,
        actor=actor,
        call=call or None,
    )


def delivery_made(
    subscription: Subscription, delivery: str, sequence: int, projected: ProjectedVersion
) -> Fact:
    """Return the fact that something lies ready for a subscription.

    It tells no figures: the consumer reads facts about itself, and counts for itself.
    """
    data = {
        "delivery": delivery,
        "subscription": subscription.id,
        "sequence": sequence,
        "kind": projected.kind.value,
        "version": projected.version,
        "resource": subscription.resource,
        "entry": subscription.entry,
        "grant": subscription.grant,
        "agency": subscription.agency,
        "system": subscription.system,
    }
    if projected.batch is not None:
        data["batch"] = projected.batch
    return Fact(
        topic=CHANGE,
        type="transfer.delivery-made.v1",
        subject=f"delivery/{delivery}",
        data=data,
        actor=TRANSFER,
    )


def receipt_came(
    data: Mapping[str, Any],
    platform: Figures,
    consumer: Figures,
    *,
    actor: str,
    call: str | None,
) -> Fact:
    """Return the fact that a receipt agrees, or the alert that it does not.

    Args:
        data: ids and names of the delivery, `delivery` among them.
    """
    agreed = platform == consumer
    figures: dict[str, Any] = (
        platform.as_json()
        if agreed
        else {"platform": platform.as_json(), "consumer": consumer.as_json()}
    )
    return Fact(
        topic=CHANGE,
        type=f"transfer.{'receipt-agreed' if agreed else 'reconciliation-differs'}.v1",
        subject=f"delivery/{data['delivery']}",
        data={**data, **figures},
        actor=actor,
        call=call or None,
    )
