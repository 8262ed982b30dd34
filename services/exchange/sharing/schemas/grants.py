"""Grants on the wire."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field

from services.exchange.sharing.domain import Grant, GrantState, Side, Validity
from services.exchange.sharing.schemas.terms import (
    LawShape,
    NarrowingBody,
    TermsShape,
    terms_members,
)
from services.exchange.sharing.schemas.texts import Instant, Text


class GrantNarrowing(NarrowingBody):
    """What shall be left of a grant, and why."""

    reason: Text


class GrantShape(TermsShape):
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
    valid_from: Instant
    valid_until: Instant
    validity: Annotated[Validity, Field(description="Where the present lies in the period")]
    statutory: Annotated[
        LawShape | None, Field(description="The law that names the consumer as a recipient")
    ]
    state: GrantState
    reason: Annotated[str | None, Field(description="Why it was suspended or ended")]
    suspended_by: Annotated[
        Side | None,
        Field(description="Who suspended it; what `competent` suspended, it alone resumes"),
    ] = None
    created_at: Instant
    changed_at: Instant

    @classmethod
    def of(cls, grant: Grant, now: datetime) -> "GrantShape":
        """Return the grant as both sides see it at `now`."""
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
            valid_from=grant.valid_from,
            valid_until=grant.valid_until,
            validity=grant.validity(now),
            statutory=LawShape.of(grant.statutory),
            state=grant.state,
            reason=grant.reason,
            suspended_by=grant.suspended_by,
            created_at=grant.created_at,
            changed_at=grant.changed_at,
            **terms_members(grant.terms),
        )


class GrantOnBus(BaseModel):
    """A changed grant, and whether the bus has acknowledged that."""

    on_bus: bool
    grant: GrantShape


class Usable(TermsShape):
    """A grant that the caller may use now."""

    grant: str
    version: int
    resource: str
    entry: str
    entry_version: int
    owner: str
    systems: list[str]
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
            valid_from=grant.valid_from,
            valid_until=grant.valid_until,
            **terms_members(grant.terms),
        )
