"""Wire shapes of sharing. Bodies are strict: no coercion, no unknown members."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from kit.clock import parse_rfc3339, rfc3339
from kit.ids import PLAIN_ID, UUID_PATTERN
from services.exchange.sharing.domain import (
    MAX_PURPOSES,
    Ask,
    Grant,
    GrantState,
    Mode,
    Request,
    RequestState,
)

MAX_SYSTEMS: Final = 50
MAX_ITEMS: Final = 200

_RFC3339 = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?(Z|[+-]\d{2}:\d{2})", re.ASCII
)
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


def _read_instant(value: Any) -> datetime:
    """Read RFC 3339 text with an offset, between the years 2000 and 2200."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or _RFC3339.fullmatch(value) is None:
        raise ValueError("write the instant as RFC 3339 text with an offset or Z")
    try:
        instant = parse_rfc3339(value)
    except OverflowError as error:
        raise ValueError("the instant lies outside the calendar") from error
    if not _EARLIEST <= instant < _LATEST:
        raise ValueError("the instant lies outside the years 2000 to 2199")
    return instant


Instant = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    PlainSerializer(rfc3339, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Text = Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f\x7f]*$")]
Uuid = Annotated[str, Field(pattern=UUID_PATTERN)]
ItemName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Purpose = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{1,62}$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RequestBody(_Body):
    """Who asks for what, why, how and how long (Decree 809, article 20)."""

    basis: Annotated[Text, Field(description="Legal or official ground")]
    scenario: Annotated[Text, Field(description="What the data will be used for")]
    resource: Annotated[str, Field(pattern=PLAIN_ID)]
    systems: Annotated[
        list[Uuid],
        Field(min_length=1, max_length=MAX_SYSTEMS, description="Of the caller's agency"),
    ]
    items: Annotated[list[ItemName], Field(min_length=1, max_length=MAX_ITEMS)]
    modes: Annotated[
        list[Mode],
        Field(min_length=1, max_length=len(Mode), description="Each offered by the entry"),
    ]
    purposes: Annotated[
        list[Purpose],
        Field(min_length=1, max_length=MAX_PURPOSES, description="Codes stated on each call"),
    ]
    valid_from: Annotated[Instant, Field(description="Inclusive")]
    valid_until: Annotated[
        Instant, Field(description="Exclusive; at most three years after valid_from")
    ]

    def to_ask(self) -> Ask:
        """Return what is asked for."""
        return Ask(
            basis=self.basis,
            scenario=self.scenario,
            resource=self.resource,
            systems=tuple(self.systems),
            items=tuple(self.items),
            modes=tuple(mode.value for mode in self.modes),
            purposes=tuple(self.purposes),
            valid_from=self.valid_from,
            valid_until=self.valid_until,
        )


class Reason(_Body):
    """Why: for the other side and for the log."""

    reason: Text


class GrantShape(BaseModel):
    """A permission to use a resource."""

    id: str
    version: Annotated[int, Field(description="Rises with each change; the ETag")]
    request: str
    resource: str
    entry: str
    entry_version: int
    owner: str
    consumer: str
    share_class: str
    basis: str
    systems: list[str]
    items: list[str]
    modes: list[str]
    operations: list[str]
    purposes: list[str]
    valid_from: Instant
    valid_until: Instant
    state: GrantState
    reason: Annotated[str | None, Field(description="Why it was suspended or ended")]
    created_at: Instant
    changed_at: Instant

    @classmethod
    def of(cls, grant: Grant) -> "GrantShape":
        """Return the grant as both sides see it."""
        return cls(
            id=grant.id,
            version=grant.version,
            request=grant.request,
            resource=grant.resource,
            entry=grant.entry,
            entry_version=grant.entry_version,
            owner=grant.owner,
            consumer=grant.consumer,
            share_class=grant.share_class,
            basis=grant.basis,
            systems=list(grant.systems),
            items=list(grant.items),
            modes=list(grant.modes),
            operations=list(grant.operations),
            purposes=list(grant.purposes),
            valid_from=grant.valid_from,
            valid_until=grant.valid_until,
            state=grant.state,
            reason=grant.reason,
            created_at=grant.created_at,
            changed_at=grant.changed_at,
        )


class RefusalShape(BaseModel):
    """Why a request was refused, and the law that demands it."""

    code: Annotated[str, Field(description="A row of contracts/problems.yaml")]
    legal_basis_title: str
    legal_basis_article: str


class RequestShape(BaseModel):
    """A request with its answer: a grant, or a refusal."""

    id: str
    requester: str
    consumer: str
    owner: str
    resource: str
    entry: str
    entry_version: int
    share_class: str
    basis: str
    scenario: str
    systems: list[str]
    items: list[str]
    modes: list[str]
    purposes: list[str]
    valid_from: Instant
    valid_until: Instant
    state: RequestState
    grant: GrantShape | None
    refusal: RefusalShape | None
    created_at: Instant

    @classmethod
    def of(cls, request: Request, grant: Grant | None) -> "RequestShape":
        """Return the request as both sides see it."""
        ask, refusal = request.ask, request.refusal
        return cls(
            id=request.id,
            requester=request.requester,
            consumer=request.consumer,
            owner=request.owner,
            resource=ask.resource,
            entry=request.entry,
            entry_version=request.entry_version,
            share_class=request.share_class,
            basis=ask.basis,
            scenario=ask.scenario,
            systems=list(ask.systems),
            items=list(ask.items),
            modes=list(ask.modes),
            purposes=list(ask.purposes),
            valid_from=ask.valid_from,
            valid_until=ask.valid_until,
            state=request.state,
            grant=None if grant is None else GrantShape.of(grant),
            refusal=None
            if refusal is None
            else RefusalShape(
                code=refusal.code,
                legal_basis_title=refusal.law_title,
                legal_basis_article=refusal.law_article,
            ),
            created_at=request.created_at,
        )


class GrantOnBus(BaseModel):
    """A changed grant, and whether the bus has acknowledged that."""

    on_bus: bool
    grant: GrantShape


class Usable(BaseModel):
    """A grant that the caller may use now."""

    grant: str
    version: int
    resource: str
    entry: str
    entry_version: int
    owner: str
    systems: list[str]
    items: list[str]
    modes: list[str]
    operations: list[str]
    purposes: list[str]
    valid_from: Instant
    valid_until: Instant

    @classmethod
    def of(cls, grant: Grant) -> "Usable":
        """Return what its user needs to know of the grant."""
        return cls(
            grant=grant.id,
            version=grant.version,
            resource=grant.resource,
            entry=grant.entry,
            entry_version=grant.entry_version,
            owner=grant.owner,
            systems=list(grant.systems),
            items=list(grant.items),
            modes=list(grant.modes),
            operations=list(grant.operations),
            purposes=list(grant.purposes),
            valid_from=grant.valid_from,
            valid_until=grant.valid_until,
        )
