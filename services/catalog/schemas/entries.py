"""Wire shapes of entries."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WithJsonSchema

from kit.clock import rfc3339
from kit.ids import PLAIN_ID
from services.catalog.domain import (
    MAX_CA,
    MAX_CODE,
    MAX_CODES,
    MAX_ITEMS,
    MAX_OPERATIONS,
    MAX_PATH,
    MAX_PATTERN,
    MAX_SECONDS,
    MAX_TEXT,
    BasisKind,
    Content,
    DataFormat,
    DataGrade,
    Entry,
    Item,
    ItemType,
    LegalBasis,
    Method,
    Mode,
    Operation,
    Service,
    ShareClass,
    UpdateFrequency,
    Version,
    VersionState,
)

LINE = r"^[^\x00-\x1f\x7f]*$"
"""Text without control characters, which PostgreSQL and people would stumble over."""

PARAGRAPHS = r"^[^\x00-\x09\x0b-\x1f\x7f]*$"
"""The same, with line feeds."""

Short = Annotated[str, Field(min_length=1, max_length=200, pattern=LINE)]
Long = Annotated[str, Field(min_length=1, max_length=2000, pattern=PARAGRAPHS)]
Code = Annotated[str, Field(max_length=MAX_CODE, pattern=LINE)]
Bound = Annotated[str, Field(min_length=1, max_length=40, pattern=LINE)]
"""A canonical value; the longest is a decimal number of 38 digits with sign and point."""

OPERATION_NAME = r"^[a-z][a-z0-9-]{1,61}[a-z0-9]$"
"""A plain id that begins with a letter."""

Resource = Annotated[
    str, Field(pattern=PLAIN_ID, description="Id of the resource, chosen by the owner, unique")
]
Instant = Annotated[
    datetime,
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ItemShape(_Body):
    """One field of a resource, and the rules that its values keep; null is no rule."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    title: Short
    type: ItemType
    required: Annotated[bool, Field(strict=True, description="Every row has a value")] = False
    key: Annotated[bool, Field(strict=True, description="Part of the key of a row")] = False
    filterable: Annotated[bool, Field(strict=True, description="Queries may filter by it")] = False
    max_length: Annotated[
        int | None,
        Field(strict=True, ge=1, le=MAX_TEXT, description="Of a text, in characters"),
    ] = None
    pattern: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_PATTERN,
            pattern=LINE,
            description="The whole text matches it; RE2 syntax, as far as Python's re takes it "
            "too and means the same",
        ),
    ] = None
    codes: Annotated[
        list[Code] | None,
        Field(min_length=1, max_length=MAX_CODES, description="The texts that are allowed"),
    ] = None
    minimum: Annotated[
        Bound | None,
        Field(
            description="Least value of an integer, decimal, date or datetime, in canonical form"
        ),
    ] = None
    maximum: Annotated[
        Bound | None, Field(description="Greatest value, inclusive like the minimum")
    ] = None

    def to_item(self) -> Item:
        """Return the item."""
        members = self.model_dump(mode="python")
        codes = members.pop("codes")
        return Item(**members, codes=None if codes is None else tuple(codes))

    @classmethod
    def of(cls, item: Item) -> "ItemShape":
        """Return the shape of `item`."""
        members = asdict(item)
        codes = members.pop("codes")
        return cls(**members, codes=None if codes is None else list(codes))


class LegalBasisShape(_Body):
    """What excludes the resource from sharing (Decree 809, article 14)."""

    kind: BasisKind
    title: Short
    article: Short


class OperationShape(_Body):
    """Something that may be asked of a service; grants name it."""

    name: Annotated[str, Field(pattern=OPERATION_NAME, description="Unique in the service")]
    title: Short
    method: Method
    path: Annotated[
        str,
        Field(
            min_length=2,
            max_length=MAX_PATH,
            pattern=LINE,
            description="Below the address, such as `/enterprises/{code}`; a parameter stands for "
            "one whole segment, and no call may fit two operations",
        ),
    ]


OperationList = Annotated[list[OperationShape], Field(min_length=1, max_length=MAX_OPERATIONS)]
Seconds = Annotated[
    int, Field(strict=True, ge=1, le=MAX_SECONDS, description="Until an answer must begin")
]


class ServiceShape(_Body):
    """A service that the owner runs and the gateway calls."""

    address: Annotated[
        str, Field(min_length=1, max_length=300, description="https://host:port and nothing else")
    ]
    ca: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=MAX_CA,
            description="PEM certificates that the service's certificate is verified against; "
            "without them those that the gateway's system trusts",
        ),
    ] = None
    operations: OperationList
    seconds: Seconds

    def to_service(self) -> Service:
        """Return the service."""
        operations = tuple(
            Operation(each.name, each.title, each.method, each.path) for each in self.operations
        )
        return Service(self.address, self.ca, operations, self.seconds)


class ShownService(BaseModel):
    """A service as it is shown; where it is and whom to trust is told to its own agency only."""

    address: str | None
    ca: str | None
    operations: OperationList
    seconds: Seconds

    @classmethod
    def of(cls, service: Service, *, own: bool) -> "ShownService":
        """Return `service` as its own agency (`own`) or another one may see it."""
        return cls(
            address=service.address if own else None,
            ca=service.ca if own else None,
            operations=[OperationShape(**asdict(each)) for each in service.operations],
            seconds=service.seconds,
        )


class _Elements(_Body):
    """The elements of Decree 809, article 13, that are the same for all who see them."""

    resource: Resource
    name: Short
    summary: Long
    items: Annotated[
        list[ItemShape],
        Field(max_length=MAX_ITEMS, description="May be left out with mode call only"),
    ] = []
    data_format: DataFormat
    update_frequency: UpdateFrequency
    share_class: ShareClass
    legal_basis: LegalBasisShape | None = None
    share_conditions: Annotated[
        Long | None, Field(description="Scope and purposes; with class conditional only")
    ] = None
    modes: Annotated[
        list[Mode], Field(max_length=len(Mode), description="`call` stands alone, with a service")
    ]
    use_conditions: Annotated[Long, Field(description="How recipients may use the data")]
    data_grade: DataGrade
    line: Short | None = None
    area: Short | None = None


class EntryContent(_Elements):
    """What a version of an entry says: the elements of Decree 809, article 13."""

    service: Annotated[ServiceShape | None, Field(description="With mode call, and always")] = None

    def to_content(self) -> Content:
        """Return the content, without the resource, which belongs to the entry."""
        basis = self.legal_basis
        return Content(
            name=self.name,
            summary=self.summary,
            items=tuple(item.to_item() for item in self.items),
            data_format=self.data_format,
            update_frequency=self.update_frequency,
            share_class=self.share_class,
            legal_basis=None
            if basis is None
            else LegalBasis(basis.kind, basis.title, basis.article),
            share_conditions=self.share_conditions,
            modes=tuple(self.modes),
            use_conditions=self.use_conditions,
            data_grade=self.data_grade,
            line=self.line,
            area=self.area,
            service=None if self.service is None else self.service.to_service(),
        )


class Reason(_Body):
    """Why: for the people concerned and for the log."""

    reason: Long


class EntryVersion(_Elements):
    """One version of an entry. Who wrote and decided is told to its own agency only."""

    model_config = ConfigDict(extra="ignore")

    service: ShownService | None = None
    version: int
    state: VersionState
    written_at: Instant
    submitted_by: str | None
    submitted_at: Instant | None
    decided_by: str | None
    decided_at: Instant | None
    published_at: Instant | None
    withdrawn_at: Instant | None
    reason: Annotated[
        str | None, Field(description="Why it was rejected (own agency only) or withdrawn")
    ]

    @classmethod
    def of(cls, entry: Entry, version: Version, *, own: bool) -> "EntryVersion":
        """Return `version` as its own agency (`own`) or another one may see it."""
        content = version.content
        basis = content.legal_basis
        return cls(
            resource=entry.resource,
            name=content.name,
            summary=content.summary,
            items=[ItemShape.of(item) for item in content.items],
            data_format=content.data_format,
            update_frequency=content.update_frequency,
            share_class=content.share_class,
            legal_basis=None
            if basis is None
            else LegalBasisShape(kind=basis.kind, title=basis.title, article=basis.article),
            share_conditions=content.share_conditions,
            modes=list(content.modes),
            use_conditions=content.use_conditions,
            data_grade=content.data_grade,
            line=content.line,
            area=content.area,
            service=None if content.service is None else ShownService.of(content.service, own=own),
            version=version.number,
            state=version.state,
            written_at=version.written_at,
            submitted_by=version.submitted_by if own else None,
            submitted_at=version.submitted_at,
            decided_by=version.decided_by if own else None,
            decided_at=version.decided_at,
            published_at=version.published_at,
            withdrawn_at=version.withdrawn_at,
            reason=version.reason if own or version.withdrawn_at is not None else None,
        )


class EntryShape(BaseModel):
    """An entry: the version that everybody sees, and the one in work for its own agency.

    `state` is that of `published`, or of `draft` while nothing was published.
    """

    id: str
    agency: str
    resource: str
    state: VersionState
    revision: Annotated[int, Field(description="Rises with each change; the ETag")]
    created_at: Instant
    published: Annotated[
        EntryVersion | None, Field(description="The published version, or the withdrawn one")
    ]
    draft: Annotated[
        EntryVersion | None, Field(description="The version in work: draft or submitted")
    ]

    @classmethod
    def of(cls, entry: Entry, agency: str) -> "EntryShape":
        """Return the entry as somebody of `agency` may see it."""
        own = entry.agency == agency
        public, working = entry.public, entry.working if own else None
        return cls(
            id=entry.id,
            agency=entry.agency,
            resource=entry.resource,
            state=entry.state,
            revision=entry.revision,
            created_at=entry.created_at,
            published=None if public is None else EntryVersion.of(entry, public, own=own),
            draft=None if working is None else EntryVersion.of(entry, working, own=own),
        )


class EntrySummary(BaseModel):
    """One line of a list of entries."""

    id: str
    version: int
    state: VersionState
    name: str
    summary: str
    agency: str
    resource: str
    share_class: ShareClass
    update_frequency: UpdateFrequency
    modes: list[Mode]
    published_at: Instant | None

    @classmethod
    def of(cls, entry: Entry, version: Version) -> "EntrySummary":
        """Return the line of `version`."""
        content = version.content
        return cls(
            id=entry.id,
            version=version.number,
            state=version.state,
            name=content.name,
            summary=content.summary,
            agency=entry.agency,
            resource=entry.resource,
            share_class=content.share_class,
            update_frequency=content.update_frequency,
            modes=list(content.modes),
            published_at=version.published_at,
        )


class EntryOnBus(BaseModel):
    """A withdrawn entry, and whether the bus has acknowledged that."""

    on_bus: bool
    entry: EntryShape
