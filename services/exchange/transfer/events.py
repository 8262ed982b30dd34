"""What transfer publishes."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from kit.events import Fact
from services.exchange.transfer.domain import (
    Batch,
    Figures,
    ProjectedVersion,
    Refusal,
    Subscription,
)

CHANGE: Final = "transfer.change.v1"
TRANSFER: Final = "part/transfer"
"""Who acts when a worker does."""


def batch_opened(batch: Batch, *, call: str | None) -> Fact:
    """Return the fact that a batch was opened by its owner's system."""
    data: dict[str, Any] = {"quarantine_limit": batch.quarantine_limit}
    if batch.declared is not None:
        data["declared"] = batch.declared.as_json()
    return _batch_fact("opened", batch, data, batch.opened_by, call)


def batch_sealed(batch: Batch, *, actor: str, call: str | None) -> Fact:
    """Return the fact that a batch was sealed by `system/<id>`, with what had arrived."""
    return _batch_fact("sealed", batch, _arrived(batch), actor, call)


def batch_abandoned(batch: Batch, *, actor: str, call: str | None) -> Fact:
    """Return the fact that a batch was given up, by `system/<id>` or by transfer."""
    return _batch_fact("abandoned", batch, {}, actor, call)


def batch_refused(batch: Batch, refusal: Refusal) -> Fact:
    """Return the fact that a batch was refused whole, with what had arrived."""
    data = {"code": refusal.code, "detail": refusal.detail, **_arrived(batch)}
    return _batch_fact("refused", batch, data, TRANSFER, None)


def batch_effective(batch: Batch, *, reset: bool) -> Fact:
    """Return the fact that a batch made a version of its dataset.

    Args:
        batch: effective, so with its effects, version and table.
        reset: the items changed with it.
    """
    effects, (rows, digest) = batch.effects, batch.table or (0, "")
    data = {
        "version": batch.version,
        "reset": reset,
        **_arrived(batch),
        **({} if effects is None else asdict(effects)),
        "table_rows": rows,
        "digest": digest,
    }
    return _batch_fact("effective", batch, data, TRANSFER, None)


def _arrived(batch: Batch) -> dict[str, Any]:
    return {"chunks": batch.chunks, "rows": batch.rows, "quarantined": batch.quarantined}


def _batch_fact(
    what: str, batch: Batch, data: Mapping[str, Any], actor: str, call: str | None
) -> Fact:
    common = {
        "resource": batch.resource,
        "entry": batch.entry,
        "entry_version": batch.entry_version,
        "agency": batch.agency,
        "mode": batch.mode.value,
    }
    return Fact(
        topic=CHANGE,
        type=f"transfer.batch-{what}.v1",
        subject=f"batch/{batch.id}",
        data={**common, **data},
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
