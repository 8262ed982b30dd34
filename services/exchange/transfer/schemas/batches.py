"""Wire shapes of batches and their chunks."""

from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field

from kit.clock import rfc3339
from services.exchange.transfer.domain import (
    Batch,
    BatchMode,
    BatchState,
    Chunk,
    Declared,
    QuarantinedFault,
)
from services.exchange.transfer.domain.batches import (
    MAX_CHUNK_BYTES,
    MAX_CHUNKS,
    MAX_QUARANTINE_LIMIT,
)

MAX_COUNT: Final = 2**53 - 1

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
RowsDigest = Annotated[
    str, Field(pattern="^[0-9a-f]{64}$", description="Digest of rows by `contracts/rows.md`.")
]


class DeclaredFigures(BaseModel):
    """What the owner expects; members that are absent are not compared."""

    model_config = ConfigDict(extra="forbid")

    rows: Count | None = Field(
        None, description="Rows that are sent, those that go to quarantine included."
    )
    added: Count | None = None
    updated: Count | None = None
    deleted: Count | None = None
    digest: RowsDigest | None = None

    def read(self) -> Declared:
        """Return it as the domain has it."""
        return Declared(self.rows, self.added, self.updated, self.deleted, self.digest)


class NewBatch(BaseModel):
    """A batch to open."""

    model_config = ConfigDict(extra="forbid")

    mode: BatchMode = Field(description="The whole table, or what changes in it.")
    declared: DeclaredFigures | None = None
    quarantine_limit: Annotated[int, Field(strict=True, ge=0, le=MAX_QUARANTINE_LIMIT)] = Field(
        0, description="Rows in quarantine with which the batch is still accepted."
    )


class Sealing(BaseModel):
    """How many chunks a batch has."""

    model_config = ConfigDict(extra="forbid")

    chunks: Annotated[int, Field(strict=True, ge=1, le=MAX_CHUNKS)] = Field(
        description="Number of chunks; 0 to one less must be there."
    )


class EffectsShape(BaseModel):
    """What a batch did to the table."""

    added: int
    updated: int
    deleted: int
    unchanged: int = Field(description="Rows that were sent as they were there already.")


class TableShape(BaseModel):
    """The whole table after a batch."""

    rows: int
    digest: RowsDigest


class RefusalShape(BaseModel):
    """Why a batch was refused whole."""

    code: str
    detail: str


class BatchShape(BaseModel):
    """One publication by the owner."""

    id: str
    resource: str
    entry: str
    entry_version: int
    mode: BatchMode
    state: BatchState
    declared: dict[str, int | str] | None
    quarantine_limit: int
    chunks: int = Field(description="Chunks that have arrived.")
    rows: int = Field(description="Rows that were taken.")
    quarantined: int = Field(description="Rows that were not, with the reasons in quarantine.")
    effects: EffectsShape | None
    version: int | None = Field(description="Version of the dataset that the batch made.")
    table: TableShape | None
    refusal: RefusalShape | None
    opened_by: str
    opened_at: str
    sealed_at: str | None
    finished_at: str | None

    @classmethod
    def of(cls, batch: Batch) -> Self:
        """Return the shape of `batch`."""
        effects, table, refusal = batch.effects, batch.table, batch.refusal
        return cls(
            id=batch.id,
            resource=batch.resource,
            entry=batch.entry,
            entry_version=batch.entry_version,
            mode=batch.mode,
            state=batch.state,
            declared=None if batch.declared is None else batch.declared.as_json(),
            quarantine_limit=batch.quarantine_limit,
            chunks=batch.chunks,
            rows=batch.rows,
            quarantined=batch.quarantined,
            effects=None
            if effects is None
            else EffectsShape(
                added=effects.added,
                updated=effects.updated,
                deleted=effects.deleted,
                unchanged=effects.unchanged,
            ),
            version=batch.version,
            table=None if table is None else TableShape(rows=table[0], digest=table[1]),
            refusal=None
            if refusal is None
            else RefusalShape(code=refusal.code, detail=refusal.detail),
            opened_by=batch.opened_by,
            opened_at=rfc3339(batch.opened_at),
            sealed_at=None if batch.sealed_at is None else rfc3339(batch.sealed_at),
            finished_at=None if batch.finished_at is None else rfc3339(batch.finished_at),
        )


class ChunkShape(BaseModel):
    """A chunk that has arrived."""

    chunk: int
    rows: int = Field(description="Rows that were taken.")
    quarantined: int
    digest: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the body.")
    bytes: int = Field(le=MAX_CHUNK_BYTES)

    @classmethod
    def of(cls, chunk: Chunk) -> Self:
        """Return the shape of `chunk`."""
        return cls(
            chunk=chunk.number,
            rows=chunk.rows,
            quarantined=chunk.quarantined,
            digest=chunk.digest,
            bytes=chunk.bytes,
        )


class QuarantinedShape(BaseModel):
    """One fault of a row that was not taken; one line of a listing."""

    chunk: int
    row: int = Field(description="Number of the row in its chunk, from 1.")
    item: str | None
    rule: str
    detail: str = Field(description="A sentence, without the value.")

    @classmethod
    def of(cls, fault: QuarantinedFault) -> Self:
        """Return the shape of `fault`."""
        return cls(
            chunk=fault.chunk,
            row=fault.row,
            item=fault.item,
            rule=fault.rule,
            detail=fault.detail,
        )
