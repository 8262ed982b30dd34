"""Refusals of transfer; each code has a row in `contracts/problems.yaml`."""

from typing import ClassVar

from kit.errors import DomainError, Kind


class ResourceUnknown(DomainError):
    """No published entry makes the resource available."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "resource-unknown"


class ResourceWithdrawn(DomainError):
    """The entry of the resource was withdrawn."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "resource-withdrawn"


class PermissionUnreadable(DomainError):
    """A state that decides about the call cannot be read."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permission-unreadable"


class PermissionsBehind(DomainError):
    """Our copy is older than what the gateway decided on, and stayed so."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permissions-behind"


class NotTheOwner(DomainError):
    """Only the agency that owns the entry publishes its rows."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "not-the-owner"


class EntryNotPublished(DomainError):
    """The entry is not published."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "entry-not-published"


class EntryChanged(DomainError):
    """The items of the entry are others than those a batch was opened by."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "entry-changed"


class GrantMissing(DomainError):
    """No grant covers the system and the resource."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "grant-missing"


class GrantNotYetValid(DomainError):
    """The period of the grant has not begun."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "grant-not-yet-valid"


class GrantExpired(DomainError):
    """The period of the grant is over."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "grant-expired"


class GrantSuspended(DomainError):
    """The grant is suspended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "grant-suspended"


class GrantEnded(DomainError):
    """The grant was ended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "grant-ended"


class ModeNotGranted(DomainError):
    """The grant does not cover queries."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "mode-not-granted"


class PurposeMissing(DomainError):
    """The call states no purpose."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "purpose-missing"


class PurposeNotGranted(DomainError):
    """The grant does not cover the purpose."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "purpose-not-granted"


class ItemsNotGranted(DomainError):
    """The grant does not cover some of the items asked for, or filtered by."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "items-not-granted"


class ItemUnknown(DomainError):
    """The entry has no item of this name."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "item-unknown"


class ItemNotFilterable(DomainError):
    """The entry does not let rows be chosen by this item."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "item-not-filterable"


class ItemMasked(DomainError):
    """The grant shows the item masked: rows cannot be chosen by its value."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "item-masked"


class TermsChanged(DomainError):
    """The grant covers other rows, or less of their values, than a delivery holds."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "terms-changed"


class QueryInvalid(DomainError):
    """The body of a query does not fit its schema or the items."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-invalid"


class CursorInvalid(DomainError):
    """The cursor is not one that this query gave out."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "cursor-invalid"


class BodyTooLarge(DomainError):
    """The body exceeds what the route takes."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-too-large"


class ContentTypeUnsupported(DomainError):
    """The body is of another content type than the route takes."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "content-type-unsupported"


class ContentDigestMismatch(DomainError):
    """The body is not the one whose `Content-Digest` was sent (RFC 9530)."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "content-digest-mismatch"


class BodyInvalid(DomainError):
    """A member of the body does not fit its schema."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-invalid"


class EntryWithoutKey(DomainError):
    """The entry names no item of a key: its rows cannot be told apart."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "entry-without-key"


class KeyNotGranted(DomainError):
    """Deliveries need every item of the key, and one is not among the items."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "key-not-granted"


class SubscriptionUnknown(DomainError):
    """The system has no such subscription under the grant."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "subscription-unknown"


class SubscriptionExists(DomainError):
    """The system subscribed otherwise under the grant, and that still holds."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "subscription-exists"


class SubscriptionEnded(DomainError):
    """The subscription was ended."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "subscription-ended"


class DeliveryUnknown(DomainError):
    """The system has no such delivery under the grant."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "delivery-unknown"


class SegmentUnknown(DomainError):
    """The delivery has no segment of this number."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "segment-unknown"


class RangeNotSatisfiable(DomainError):
    """No byte of the range exists (RFC 9110 section 15.5.17)."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "range-not-satisfiable"


class ReceiptDiffers(DomainError):
    """The delivery was closed by a receipt with other figures."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "receipt-differs"


class ColumnUnknown(DomainError):
    """A chunk has a column or member that no item is named like."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "column-unknown"


class ColumnMissing(DomainError):
    """A chunk lacks the column of an item that every row has a value of."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "column-missing"


class SchemaMismatch(DomainError):
    """A column of an Arrow stream has a type that its item does not take."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "schema-mismatch"


class CsvMalformed(DomainError):
    """A chunk is not CSV of one header and records as wide as it."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "csv-malformed"


class NdjsonMalformed(DomainError):
    """A line of a chunk is not one strict JSON object."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "ndjson-malformed"


class ArrowMalformed(DomainError):
    """A chunk is not one whole and consistent Arrow IPC stream."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "arrow-malformed"


class TextNotUtf8(DomainError):
    """A chunk holds bytes that are not UTF-8."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "text-not-utf8"


class ChunkTooLarge(DomainError):
    """A chunk holds more rows, or more unpacked bytes, than one chunk may."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "chunk-too-large"


class BatchUnknown(DomainError):
    """No batch of this id belongs to the resource."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "batch-unknown"


class TooManyOpenBatches(DomainError):
    """An entry has as many open batches as it may."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "too-many-open-batches"


class BatchNotOpen(DomainError):
    """The batch takes nothing more."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "batch-not-open"


class LayoutChanged(DomainError):
    """The rows in force have other items than the entry has now."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "layout-changed"


class ChunkDiffers(DomainError):
    """A chunk of this number arrived before with other bytes."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "chunk-differs"


class ChunkMissing(DomainError):
    """A chunk between the first and the last has not arrived."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "chunk-missing"


class CountsDiffer(DomainError):
    """Other rows arrived than were declared."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "counts-differ"


class ContentDigestMissing(DomainError):
    """The body came without its digest (RFC 9530)."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "content-digest-missing"
