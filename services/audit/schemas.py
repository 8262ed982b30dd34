"""Shapes on the wire of audit's API."""

from base64 import b64encode
from typing import Self

from pydantic import BaseModel, Field

from services.audit.domain.epochs import Epoch
from services.audit.domain.search import Found


class RecordSummary(BaseModel):
    """One record as the search index knows it; fields that it does not have are absent."""

    leaf: int = Field(description="Leaf index in the log")
    record: str
    type: str
    instance: str
    epoch: str
    sequence: int
    at: str
    call: str | None = None
    caller: str | None = None
    caller_agency: str | None = None
    owner_agency: str | None = None
    resource: str | None = None
    grant: str | None = None
    purpose: str | None = None
    case: str | None = None
    route: str | None = None
    mode: str | None = None
    operation: str | None = None
    decision: str | None = None
    reason: str | None = None
    status: int | None = None
    rows: int | None = None
    event: str | None = None
    subject: str | None = None
    actor: str | None = None

    @classmethod
    def of(cls, found: Found) -> Self:
        """Return the shape of an indexed record."""
        fields = {name: getattr(found, name) for name in Found.__dataclass_fields__}
        fields["grant"] = fields.pop("grant_id")
        fields["case"] = fields.pop("case_number")
        return cls(**{name: value for name, value in fields.items() if value is not None})


class RecordProof(BaseModel):
    """A record with the proof that it is in the log under the checkpoint."""

    record: str
    leaf: int = Field(description="Leaf index in the log")
    bytes: str = Field(description="The record's bytes, base64")
    leaf_hash: str = Field(description="SHA-256(0x00 ‖ bytes), base64")
    size: int = Field(description="Size in the checkpoint")
    proof: list[str] = Field(description="Hashes from the leaf upwards, base64 (RFC 6962)")
    checkpoint: str = Field(description="Signed note (C2SP tlog-checkpoint)")


class InclusionProof(BaseModel):
    """Proof that a leaf is in the tree of `size` records."""

    index: int
    size: int
    leaf_hash: str = Field(description="base64")
    root: str = Field(description="Root of the tree of `size`, base64; trust a checkpoint only")
    proof: list[str] = Field(description="Hashes from the leaf upwards, base64")


class ConsistencyProof(BaseModel):
    """Proof that the tree of `new` records extends that of `old` records."""

    old: int
    new: int
    old_root: str = Field(description="base64; trust a checkpoint only")
    new_root: str = Field(description="base64; trust a checkpoint only")
    proof: list[str] = Field(description="Hashes in the order of RFC 6962 section 2.1.2, base64")


class Salt(BaseModel):
    """The salt of one record's digests."""

    record: str
    salt: str = Field(description="32 bytes, base64url without padding")


class Missing(BaseModel):
    """Numbers that the log misses from one epoch."""

    instance: str
    epoch: str
    sequences: list[tuple[int, int]] = Field(description="[from, to] pairs, both missing")


class OpenEpoch(BaseModel):
    """An epoch without an `end` record that no other one has followed."""

    instance: str
    epoch: str
    last: int = Field(description="Highest sequence in the log")
    last_at: str
    age_seconds: int = Field(description="Since `last_at`; a live worker beats every 10 s")


class Conflict(BaseModel):
    """A number for which the log holds more than one record."""

    instance: str
    epoch: str
    sequences: list[int]


class Gaps(BaseModel):
    """What is missing from the log as of one checkpoint, and what is not finished."""

    size: int
    checkpoint: str
    at: str = Field(description="Time of the commit")
    missing: list[Missing]
    open: list[OpenEpoch]
    conflicts: list[Conflict]


def text_of(data: bytes) -> str:
    """Return bytes as standard base64."""
    return b64encode(data).decode()


def missing_of(epoch: Epoch) -> Missing:
    """Return the shape of an epoch's gaps."""
    return Missing(instance=epoch.instance, epoch=epoch.epoch, sequences=epoch.gaps)


def conflict_of(epoch: Epoch) -> Conflict:
    """Return the shape of an epoch's conflicts."""
    return Conflict(
        instance=epoch.instance,
        epoch=epoch.epoch,
        sequences=sorted({number for number, _ in epoch.conflicts}),
    )
