"""Operations of a consumer's system: subscriptions, deliveries, segments, receipts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from datong.operations.data import data_headers
from datong.operations.operation import (
    JSON,
    Json,
    Operation,
    Page,
    get_waiting,
    json_body,
    path_of,
    read_bytes,
    read_object,
    read_page,
    with_query,
)

Beginning = Literal["beginning", "now"]

SEGMENT_SECONDS = 120.0
"""Time allowed for one segment."""

_SUBSCRIPTIONS = "/data/v1/{resource}/subscriptions"
_SUBSCRIPTION = _SUBSCRIPTIONS + "/{subscription}"
_DELIVERY = "/data/v1/{resource}/deliveries/{delivery}"


def subscribe(
    resource: str,
    *,
    from_: Beginning = "beginning",
    items: Sequence[str] | None = None,
    purpose: str | None = None,
    grant: str | None = None,
) -> Operation[Json]:
    """Receive a resource under a grant; the same again is the same subscription.

    Args:
        from_: `beginning` delivers the table first, `now` only what changes from now on.
        items: wanted items, the key's among them; all granted ones when absent.
        purpose: purpose code; a granted one is needed, and it goes on record.
        grant: id of the grant to use; the platform finds one when absent.
    """
    body: dict[str, Any] = {"from": from_}
    if items is not None:
        body["items"] = list(items)
    return Operation(
        "subscribe",
        "POST",
        path_of(_SUBSCRIPTIONS, resource=resource),
        read_object,
        headers={"Content-Type": JSON, **data_headers(purpose=purpose, grant=grant)},
        body=json_body(body),
        idempotent=True,
    )


def list_subscriptions(
    resource: str,
    *,
    purpose: str | None = None,
    grant: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List one's own subscriptions to a resource."""
    path = with_query(path_of(_SUBSCRIPTIONS, resource=resource), limit=limit, cursor=cursor)
    return Operation(
        "list_subscriptions",
        "GET",
        path,
        read_page,
        headers=data_headers(purpose=purpose, grant=grant),
        idempotent=True,
    )


def get_subscription(
    resource: str, subscription: str, *, purpose: str | None = None, grant: str | None = None
) -> Operation[Json]:
    """One subscription with its items and their types."""
    return Operation(
        "get_subscription",
        "GET",
        path_of(_SUBSCRIPTION, resource=resource, subscription=subscription),
        read_object,
        headers=data_headers(purpose=purpose, grant=grant),
        idempotent=True,
    )


def list_deliveries(
    resource: str,
    subscription: str,
    *,
    after: int = 0,
    wait: int = 0,
    limit: int | None = None,
    purpose: str | None = None,
    grant: str | None = None,
) -> Operation[Json]:
    """Deliveries after a sequence: `items` in order, and `next`, the `after` of the next page.

    Args:
        after: sequence of the last delivery that one has; 0 has none.
        wait: seconds, at most 30, that an empty answer may wait for a delivery.
        limit: most items, at most 100.
    """
    path = path_of(_SUBSCRIPTION + "/deliveries", resource=resource, subscription=subscription)
    made = get_waiting("list_deliveries", path, read_object, wait, after=after, limit=limit)
    named = data_headers(purpose=purpose, grant=grant)
    return replace(made, headers={**made.headers, **named})


def get_segment(
    resource: str,
    delivery: str,
    segment: int,
    *,
    first: int = 0,
    digest: str | None = None,
    purpose: str | None = None,
    grant: str | None = None,
) -> Operation[bytes]:
    """One segment of a delivery, an Arrow IPC stream.

    Args:
        segment: its number, from 0.
        first: the bytes before this one are there already.
        digest: SHA-256 of the whole segment; with other bytes than these the answer is the whole.
    """
    headers = data_headers(purpose=purpose, grant=grant, seconds=SEGMENT_SECONDS)
    if first:
        headers["Range"] = f"bytes={first}-"
        if digest is not None:
            headers["If-Range"] = f'"{digest}"'
    path = _DELIVERY + "/segments/{segment}"
    return Operation(
        "get_segment",
        "GET",
        path_of(path, resource=resource, delivery=delivery, segment=str(segment)),
        read_bytes,
        headers=headers,
        idempotent=True,
        seconds=SEGMENT_SECONDS,
    )


def put_receipt(
    resource: str,
    delivery: str,
    figures: Mapping[str, Any],
    *,
    purpose: str | None = None,
    grant: str | None = None,
) -> Operation[Json]:
    """Close a delivery with one's own figures; the answer has both sides'.

    Args:
        figures: `added`, `updated`, `deleted`, `rows` and `digest`, read back from one's table.
    """
    return Operation(
        "put_receipt",
        "PUT",
        path_of(_DELIVERY + "/receipt", resource=resource, delivery=delivery),
        read_object,
        headers={"Content-Type": JSON, **data_headers(purpose=purpose, grant=grant)},
        body=json_body(dict(figures)),
        idempotent=True,
    )


def renew_subscription(
    resource: str, subscription: str, *, purpose: str | None = None, grant: str | None = None
) -> Operation[Json]:
    """Ask for the whole table again; each call asks once more."""
    return Operation(
        "renew_subscription",
        "POST",
        path_of(_SUBSCRIPTION + "/renewals", resource=resource, subscription=subscription),
        read_object,
        headers=data_headers(purpose=purpose, grant=grant),
    )


def end_subscription(
    resource: str, subscription: str, *, purpose: str | None = None, grant: str | None = None
) -> Operation[Json]:
    """End a subscription; no further delivery is made."""
    return Operation(
        "end_subscription",
        "POST",
        path_of(_SUBSCRIPTION + "/endings", resource=resource, subscription=subscription),
        read_object,
        headers=data_headers(purpose=purpose, grant=grant),
        idempotent=True,
    )
