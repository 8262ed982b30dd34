"""Publishes a table as one batch: upload with resume, seal, outcome, quarantine.

    with Client("~/.config/datong/civil-affairs") as client:
        published = datong.publish(client, "divisions", Path("divisions.csv"))

The batch of an input is found again by its digest: the same call after a crash goes on with the
batch that it began, and sends only what is missing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Any, Final

from datong.client import Client
from datong.errors import InputInvalid, Refused
from datong.operations import batches
from datong.operations.batches import Mode
from datong.operations.operation import MAX_WAIT, Json
from datong.tables.patience import Patience
from datong.tables.splitting import Place, Source

AT_ONCE: Final = 3
"""Chunks that are uploaded at the same time; as many bodies are in memory."""
_FINAL: Final = frozenset({"effective", "refused", "abandoned"})
_HOPELESS: Final = frozenset(
    {
        "column-unknown",
        "column-missing",
        "schema-mismatch",
        "csv-malformed",
        "ndjson-malformed",
        "arrow-malformed",
        "text-not-utf8",
        "chunk-too-large",
        "counts-differ",
    }
)
"""Refusals of what is in the input: the same input cannot pass."""


class Stage(StrEnum):
    """What a publication is doing."""

    OPENED = "opened"
    UPLOADING = "uploading"
    SEALED = "sealed"
    FINISHED = "finished"


@dataclass(frozen=True)
class Progress:
    """How far a publication is.

    Attributes:
        chunk: that has just been sent, or was there already.
        rows: in the chunks that the platform has.
        total: rows of the whole.
        quarantined: rows of these chunks that are in quarantine.
        batch: id of the batch.
    """

    stage: Stage
    batch: str
    chunk: int | None = None
    rows: int = 0
    total: int = 0
    quarantined: int = 0


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Quarantined:
    """One fault of one row.

    Attributes:
        place: of the row in what was published.
        item: None when the whole row is meant.
        rule: that it breaks.
        detail: a sentence without the value.
    """

    place: Place
    item: str | None
    rule: str
    detail: str

    def as_json(self) -> Json:
        """For programs."""
        return {
            "row": self.place.row,
            "line": self.place.line,
            "item": self.item,
            "rule": self.rule,
            "detail": self.detail,
        }


@dataclass(frozen=True)
class Published:
    """What came of a publication.

    Attributes:
        batch: as the platform answered it last.
        sent_rows: rows of the input.
        sent_chunks: chunks that this run sent.
        reused_chunks: chunks that were there already.
        was_effective: the very same input had been published before; nothing was sent.
        is_superseded: and other batches came after it, so that the table is not as it says.
        is_trial: the batch was abandoned after its rows were checked.
        quarantine: the first faults, in order.
    """

    batch: Json
    sent_rows: int
    sent_chunks: int
    reused_chunks: int
    was_effective: bool
    is_superseded: bool
    is_trial: bool
    quarantine: tuple[Quarantined, ...]

    @property
    def quarantined(self) -> int:
        """Rows in quarantine."""
        return int(self.batch["quarantined"])

    @property
    def is_effective(self) -> bool:
        """Whether the table is now as the batch says; of a trial, whether it could be."""
        if self.is_trial:
            return self.quarantined <= int(self.batch["quarantine_limit"])
        return str(self.batch["state"]) == "effective" and not self.is_superseded

    def as_json(self) -> Json:
        """For programs."""
        return {
            "batch": self.batch,
            "sent_rows": self.sent_rows,
            "sent_chunks": self.sent_chunks,
            "reused_chunks": self.reused_chunks,
            "was_effective": self.was_effective,
            "is_superseded": self.is_superseded,
            "dry_run": self.is_trial,
            "quarantine": [fault.as_json() for fault in self.quarantine],
        }


@dataclass
class Publisher:
    """Publishes one input.

    Attributes:
        client: of a system of the owner.
        resource: what is published.
        source: the rows.
        mode: `snapshot` is the whole table, `changes` adds, updates and deletes rows.
        declared: `added`, `updated`, `deleted`, `digest`, as far as known; rows are counted here.
        quarantine_limit: most rows that may be left out because they break a rule.
        is_trial: check everything, then abandon the batch.
        again: publish even when the very same input is effective already.
        patience: how long failures may last.
        on_progress: told of each stage and chunk.
        shown_faults: how many faults are fetched with their places.
    """

    client: Client
    resource: str
    source: Source
    mode: Mode = "snapshot"
    declared: Mapping[str, Any] = field(default_factory=dict)
    quarantine_limit: int = 0
    is_trial: bool = False
    again: bool = False
    patience: Patience = field(default_factory=Patience)
    on_progress: OnProgress = lambda _progress: None
    shown_faults: int = 20
    _sent: int = field(default=0, init=False)
    _reused: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _quarantined: int = field(default=0, init=False)

    def run(self) -> Published:
        """Publish, and wait for the outcome.

        Raises:
            Refused: the platform does not take the batch or a chunk; the batch was abandoned when
                the input itself is at fault.
            InputInvalid: the batch was begun with other chunks.
            Unreachable: no answer for too long; the same call goes on later.
        """
        batch = self._open()
        if batch["state"] == "effective":
            newest = self.patience.keep(
                lambda: self.client.list_batches(self.resource, state="effective", limit=1)
            )
            is_newest = [found["id"] for found in newest.items] == [batch["id"]]
            return self._outcome(batch, was_effective=True, is_superseded=not is_newest)
        if batch["state"] == "open":
            self._tell(Stage.OPENED, batch)
            batch = self._fill(batch)
        if self.is_trial:
            return self._end_trial(batch)
        while batch["state"] not in _FINAL:
            batch = self._get(batch["id"], wait=MAX_WAIT)
        self._tell(Stage.FINISHED, batch)
        return self._outcome(batch)

    def _persist(self, work: Callable[[], Json]) -> Json:
        return self.patience.keep(work)

    def _get(self, batch: str, *, wait: int = 0) -> Json:
        return self._persist(lambda: self.client.get_batch(self.resource, batch, wait=wait))

    def _tell(self, stage: Stage, batch: Json, chunk: int | None = None) -> None:
        self.on_progress(
            Progress(stage, batch["id"], chunk, self._rows, self.source.rows, self._quarantined)
        )

    def _open(self) -> Json:
        """The batch of this input: one that was begun, or a new one."""
        declared = {**self.declared, "rows": self.source.rows}
        attempt = 0
        while True:
            opened = self._persist(partial(self._open_attempt, declared, attempt))
            # The answer to a repeated call is the first one; what became of the batch is asked.
            batch = self._get(opened["id"])
            is_done = batch["state"] in _FINAL
            if not is_done or (batch["state"] == "effective" and not self.again):
                return batch
            attempt += 1

    def _open_attempt(self, declared: Json, attempt: int) -> Json:
        return self.client.open_batch(
            self.resource,
            mode=self.mode,
            declared=declared,
            quarantine_limit=self.quarantine_limit,
            idempotency_key=self._key(declared, attempt),
        )

    def _key(self, declared: Json, attempt: int) -> str:
        """The same for the same input, in the form of a UUID (RFC 9562 section 5.8)."""
        text = json.dumps(
            [
                self.resource,
                self.mode,
                self.source.content_type,
                self.source.digest,
                declared,
                self.quarantine_limit,
                self.is_trial,
                attempt,
            ],
            sort_keys=True,
        )
        number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "big")
        number = number & ~(0xF << 76) | 0x8 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        return str(uuid.UUID(int=number))

    def _fill(self, batch: Json) -> Json:
        """Upload what is missing and seal the batch, unless it is a trial."""
        try:
            chunks = self.client.wait(self._upload(batch))
            if self.is_trial:
                return batch
            sealed = self._persist(
                lambda: self.client.seal_batch(self.resource, batch["id"], chunks=chunks)
            )
        except Refused as refused:
            if refused.code in _HOPELESS:
                self._persist(lambda: self.client.abandon_batch(self.resource, batch["id"]))
            if refused.code != "batch-not-open":
                raise
            # The same command runs elsewhere, and was faster.
            sealed = self._get(batch["id"])
        self._tell(Stage.SEALED, sealed)
        return sealed

    async def _upload(self, batch: Json) -> int:
        """Upload the chunks that are missing; return how many there are."""
        known = await self.patience.keep_sending(lambda: self._known(batch))
        chunks = self.source.chunks()
        running: set[asyncio.Task[tuple[int, Json]]] = set()
        count = 0
        try:
            while (following := await asyncio.to_thread(next, chunks, None)) is not None:
                number, body = following
                count = number + 1
                if number in known:
                    self._reuse(batch, number, body, known[number])
                    continue
                running.add(asyncio.create_task(self._put(batch, number, body)))
                if len(running) == AT_ONCE:
                    await self._settle(batch, running, asyncio.FIRST_COMPLETED)
            if running:
                await self._settle(batch, running, asyncio.ALL_COMPLETED)
        finally:
            # Calls under way are not cut when one fails: what they brought need not come again.
            await asyncio.gather(*running, return_exceptions=True)
        return count

    async def _settle(
        self, batch: Json, running: set[asyncio.Task[tuple[int, Json]]], until: str
    ) -> None:
        """Wait for calls and count what they brought; those that failed stay in `running`."""
        done, _ = await asyncio.wait(running, return_when=until)
        for task in done:
            number, taken = task.result()
            running.discard(task)
            self._sent += 1
            self._count(batch, number, taken)

    async def _known(self, batch: Json) -> dict[int, Json]:
        found = self.client.asynchronous.every(
            batches.list_chunks, resource=self.resource, batch=batch["id"], limit=200
        )
        return {int(chunk["chunk"]): chunk async for chunk in found}

    def _reuse(self, batch: Json, number: int, body: bytes, known: Json) -> None:
        if hashlib.sha256(body).hexdigest() != known["digest"]:
            raise InputInvalid(
                f"The batch {batch['id']} was begun with chunks of another size.",
                next_step="Use the same --chunk-mib as before, or give it up: "
                f"datong abandon {self.resource} {batch['id']}",
            )
        self._reused += 1
        self._count(batch, number, known)

    async def _put(self, batch: Json, number: int, body: bytes) -> tuple[int, Json]:
        client = self.client.asynchronous
        try:
            taken = await self.patience.keep_sending(
                lambda: client.put_chunk(
                    self.resource,
                    batch["id"],
                    number,
                    body,
                    content_type=self.source.content_type,
                )
            )
        except Refused as refused:
            raise self._located(refused, number) from refused
        return number, taken

    def _count(self, batch: Json, number: int, chunk: Json) -> None:
        self._rows += int(chunk["rows"]) + int(chunk["quarantined"])
        self._quarantined += int(chunk["quarantined"])
        self._tell(Stage.UPLOADING, batch, number)

    def _located(self, refused: Refused, chunk: int) -> Refused:
        """The same refusal, with lines of the input in place of lines of the chunk."""
        errors = [
            {**error, "pointer": self._pointer(error.get("pointer", ""), chunk)}
            for error in refused.errors
        ]
        lines = [
            where
            for where in (self._line(error.get("pointer", ""), chunk) for error in refused.errors)
            if where is not None
        ]
        where = f"line {lines[0]} of {self.source.name}" if lines else f"chunk {chunk}"
        return Refused(
            refused.code,
            refused.status,
            refused.title,
            f"{refused.detail} (Chunk {chunk}: {where}.)" if lines else refused.detail,
            next_step=refused.next_step,
            who=refused.who,
            facts={name: value for name, value in refused.facts.items() if name != "line"},
            errors=errors,
            call=refused.call,
            evidence=refused.evidence,
        )

    def _pointer(self, pointer: str, chunk: int) -> str:
        line = self._line(pointer, chunk)
        return pointer if line is None else "/".join(["", str(line), *pointer.split("/")[2:]])

    def _line(self, pointer: str, chunk: int) -> int | None:
        first = pointer.split("/")[1] if pointer.startswith("/") else ""
        return self.source.line(chunk, int(first)) if first.isdecimal() else None

    def _end_trial(self, batch: Json) -> Published:
        """Look at what was checked, then give the batch up: its quarantine goes with it."""
        checked = self._get(batch["id"])
        outcome = self._outcome(checked)
        self._persist(lambda: self.client.abandon_batch(self.resource, batch["id"]))
        return outcome

    def _outcome(
        self, batch: Json, *, was_effective: bool = False, is_superseded: bool = False
    ) -> Published:
        faults: list[Json] = []
        if batch["quarantined"] and not was_effective:
            faults = self.patience.keep(
                lambda: self.client.get_quarantine(self.resource, batch["id"])
            )
        return Published(
            batch=batch,
            sent_rows=self.source.rows,
            sent_chunks=self._sent,
            reused_chunks=self._reused,
            was_effective=was_effective,
            is_superseded=is_superseded,
            is_trial=self.is_trial,
            quarantine=tuple(locate(self.source, faults[: self.shown_faults])),
        )


def locate(source: Source, faults: list[Json]) -> Iterator[Quarantined]:
    """Faults of a batch with the places of their rows."""
    for fault in faults:
        yield Quarantined(
            place=source.place(int(fault["chunk"]), int(fault["row"])),
            item=fault["item"],
            rule=fault["rule"],
            detail=fault["detail"],
        )
