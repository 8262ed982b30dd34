"""Wire shapes of subscriptions, deliveries and receipts. What callers send is read by hand."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from kit.clock import rfc3339
from kit.http import Page
from kit.ids import UUID_PATTERN
from services.exchange.transfer import domain
from services.exchange.transfer.domain import Start, refusals
from services.exchange.transfer.schemas.queries import ITEMS_SCHEMA, read_items

MAX_COUNT: Final = 2**53 - 1

Uuid = Annotated[str, Field(json_schema_extra={"format": "uuid"}, pattern=UUID_PATTERN)]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]
RowsDigest = Annotated[
    str, Field(pattern="^[0-9a-f]{64}$", description="Digest of rows by `contracts/rows.md`")
]
ByteDigest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of bytes")]

NEW_SUBSCRIPTION: Final[dict[str, Any]] = {
    "type": "object",
    "title": "NewSubscription",
    "required": ["from"],
    "additionalProperties": False,
    "properties": {
        "from": {"type": "string", "enum": [start.value for start in Start]},
        "items": {"anyOf": [ITEMS_SCHEMA, {"type": "null"}]},
    },
}
"""JSON Schema of what `subscribe` takes; `read_subscription` is what decides."""


class SubscribedItem(BaseModel):
    """One item that is delivered."""

    name: str
    type: domain.ItemType
    key: bool
    required: bool


class Subscription(BaseModel):
    """One system that receives a resource under one grant."""

    model_config = ConfigDict(populate_by_name=True)

    id: Uuid
    resource: str
    grant: Uuid
    system: Uuid
    starts: Annotated[Start, Field(alias="from")]
    items: Annotated[
        list[SubscribedItem], Field(description="What is delivered, in the order of the entry")
    ]
    state: domain.SubscriptionState
    created_at: Instant

    @classmethod
    def of(cls, found: domain.Subscription, items: Sequence[domain.Item]) -> "Subscription":
        """Return the shape of a subscription whose items are `items`."""
        return cls(
            id=found.id,
            resource=found.resource,
            grant=found.grant,
            system=found.system,
            starts=found.starts,
            items=[
                SubscribedItem(
                    name=item.name, type=item.type, key=item.key, required=item.required or item.key
                )
                for item in items
            ],
            state=found.state,
            created_at=rfc3339(found.created_at),
        )


class SubscriptionPage(Page[Subscription]):
    """One page of subscriptions."""


class Segment(BaseModel):
    """One piece of a delivery: an Arrow IPC stream."""

    number: Count
    rows: Annotated[int, Field(ge=0, le=domain.BATCH_ROWS)]
    bytes: Count
    digest: Annotated[
        ByteDigest | None,
        Field(
            description="Null when the grant covers what was delivered no more; no segment of it "
            "is handed out then"
        ),
    ]


class Delivery(BaseModel):
    """What one subscription is handed of one version; no figures before its receipt."""

    id: Uuid
    sequence: Annotated[int, Field(ge=1)]
    kind: domain.DeliveryKind
    batch: Annotated[Uuid | None, Field(description="The batch that made the version")]
    version: Annotated[int, Field(ge=0, description="Version of the dataset after this delivery")]
    segments: list[Segment]
    created_at: Instant
    receipt: Annotated[
        domain.ReceiptState | None,
        Field(description="Outcome of the receipt, once it has come"),
    ]

    @classmethod
    def of(cls, delivery: domain.Delivery, *, covered: bool) -> "Delivery":
        """Return the shape of a delivery; only of a covered one are digests told.

        The digest of a segment of one row could be guessed by trying values.
        """
        return cls(
            id=delivery.id,
            sequence=delivery.sequence,
            kind=delivery.kind,
            batch=delivery.batch,
            version=delivery.version,
            segments=[
                Segment(
                    number=s.number,
                    rows=s.rows,
                    bytes=s.bytes,
                    digest=s.digest if covered else None,
                )
                for s in delivery.segments
            ],
            created_at=rfc3339(delivery.created_at),
            receipt=delivery.receipt,
        )


class DeliveryPage(BaseModel):
    """Deliveries in order; `next` is the `after` of the next page, null when nothing is left."""

    items: list[Delivery]
    next: Annotated[int | None, Field(description="`after` of the next page")]


class Figures(BaseModel):
    """What one side counted."""

    model_config = ConfigDict(extra="forbid")

    added: Count
    updated: Count
    deleted: Count
    rows: Count
    digest: RowsDigest

    @classmethod
    def of(cls, figures: domain.Figures) -> "Figures":
        """Return the shape of figures."""
        return cls.model_validate(figures.as_json())


class Receipt(BaseModel):
    """Both sides' figures of one delivery."""

    delivery: Uuid
    state: Literal["agreed", "differs"]
    platform: Figures
    consumer: Figures
    received_at: Instant

    @classmethod
    def of(cls, receipt: domain.Receipt) -> "Receipt":
        """Return the shape of a receipt."""
        return cls(
            delivery=receipt.delivery,
            state=receipt.state.value,
            platform=Figures.of(receipt.platform),
            consumer=Figures.of(receipt.consumer),
            received_at=rfc3339(receipt.received_at),
        )


def read_subscription(body: Any) -> tuple[Start, tuple[str, ...] | None]:
    """Return what a JSON body asks for: the start, and the items or None for all granted ones.

    Raises:
        BodyInvalid: with a pointer to the member that is wrong.
    """
    if not isinstance(body, dict):
        raise refusals.BodyInvalid("A JSON object is expected.", pointer="")
    for name in body:
        if name not in ("from", "items"):
            raise refusals.BodyInvalid(
                "A subscription has no such member.", pointer=domain.pointer_of(name[:80])
            )
    starts = body.get("from")
    if not isinstance(starts, str) or starts not in list(Start):
        raise refusals.BodyInvalid('"beginning" or "now" is expected.', pointer="/from")
    items = body.get("items")
    return Start(starts), None if items is None else read_items(items)
