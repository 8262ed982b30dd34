"""Members that several bodies have."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from kit.ids import PLAIN_ID, UUID_PATTERN
from services.identity.domain.names import LINE

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=LINE)]
PlainId = Annotated[str, StringConstraints(pattern=PLAIN_ID)]
Uuid = Annotated[str, StringConstraints(pattern=UUID_PATTERN)]
Thumbprint = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Body(BaseModel):
    """A request body: JSON types are taken as they are, unknown members are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Reason(Body):
    """Why something is suspended, resumed or revoked; goes into the fact, not to readers."""

    reason: Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=LINE)]


class Change(BaseModel):
    """A change of standing. `on_bus` tells whether the bus had acknowledged it within 2 s."""

    on_bus: bool
    id: str
    state: str
    version: int


class Revocation(Change):
    """How the named certificate stands now, and which were revoked with it.

    `revoked` holds the thumbprints of the named certificate and of all renewed from it, directly
    or through others; `on_bus` counts for all of them.
    """

    revoked: list[str]


class IssuedCode(BaseModel):
    """A one-time code. It is shown once."""

    code: str
    code_expires_at: Instant
