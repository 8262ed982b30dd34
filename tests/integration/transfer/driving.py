"""Both sides of the platform in one process: its real actions and work, beside a model."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from sqlalchemy import text
from typing_extensions import override

from kit.db import Tx
from kit.errors import DomainError
from kit.ids import uuid7
from services.exchange.transfer.actions import (
    batches,
    delivering,
    fitting,
    receipts,
    reconciling,
    subscribing,
    sweeping,
)
from services.exchange.transfer.actions.batches import Actor
from services.exchange.transfer.actions.subscribing import Receiver
from services.exchange.transfer.domain import (
    BatchMode,
    BatchState,
    ChunkFormat,
    Delivery,
    DeliveryKind,
    Entry,
    Figures,
    Grant,
    Item,
    ItemType,
    Layout,
    ReceiptState,
    Start,
    Subscription,
)
from services.exchange.transfer.domain.batches import require_unchanged
from services.exchange.transfer.domain.reconciliation import Viewer
from services.exchange.transfer.domain.tables import from_stream
from services.exchange.transfer.models import BatchRow, DatasetRow
from services.exchange.transfer.store import Context, work
from services.exchange.transfer.store.work import Work
from services.exchange.transfer.worker import HANDLERS
from tests.integration.transfer.model import Consumer, Draft, Owner, Row
from tests.integration.transfer.seeing import AGENCY, Terms

FACTS = Draft202012Validator(
    orjson.loads(
        (Path(__file__).parents[3] / "contracts/events/transfer.change.v1.schema.json").read_bytes()
    )
)
CODE = Item("code", ItemType.TEXT, required=True, key=True, filterable=False)
NAME = Item("name", ItemType.TEXT, required=True, key=False, filterable=False)
LEVEL = Item("level", ItemType.INTEGER, required=False, key=False, filterable=True)
AREA = Item("area", ItemType.DECIMAL, required=False, key=False, filterable=False)
LEVEL_OF_KEY = Item("level", ItemType.INTEGER, required=True, key=True, filterable=True)
LAYOUTS = [
    Layout((CODE, NAME, LEVEL)),
    Layout((CODE, NAME, AREA)),
    Layout((CODE, LEVEL_OF_KEY, NAME)),
]
OWNER = Actor("system/owner", "")
REFUSED = {"items-not-granted", "terms-changed"}


@dataclass
class Department:
    """A consumer with a grant of its own; `subscription` is the one that it has now.

    Attributes:
        versions: terms of the grant, version by version; those now are the last.
        fitted: what the platform delivers by now.
        outdated: sequence up to which deliveries were made on terms that are over.
    """

    grant: str = field(default_factory=uuid7)
    system: str = field(default_factory=uuid7)
    versions: list[Terms] = field(default_factory=lambda: [Terms()])
    subscription: str | None = None
    fitted: tuple[object, ...] = ()
    outdated: int = 0
    table: Consumer | None = None
    unsent: list[tuple[str, Figures]] = field(default_factory=list)
    sent: list[tuple[str, Figures]] = field(default_factory=list)
    delivered: dict[str, int] = field(default_factory=dict)
    """Sequence by delivery."""

    @property
    def terms(self) -> Terms:
        """Return the terms of the grant as it is now."""
        return self.versions[-1]

    @property
    def wanted(self) -> tuple[object, ...]:
        """Return what is to be delivered on these terms."""
        return () if self.table is None else self.terms.of(self.table.items)

    def is_outdated(self, sequence: int) -> bool:
        """Tell whether a delivery was made on terms that are over."""
        return sequence <= self.outdated or self.fitted != self.wanted


class Platform:
    """One entry, its owner, and the departments that may receive it.

    Attributes:
        layout: of the entry as it is published now.
        open, sealed, ended: batches by where they stand; sealed ones in their order.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.db = context.db
        self.layout = LAYOUTS[0]
        self.owner = Owner()
        self.open: list[Draft] = []
        self.sealed: list[Draft] = []
        self.ended: list[Draft] = []
        self.departments = [Department() for _ in range(3)]
        self.entry = uuid7()
        self.entry_version = 1

    async def begin(self) -> None:
        """Forget the work and the facts of a run before that failed half-way."""
        async with self.db.begin() as tx:
            await (await tx.connection()).execute(text("TRUNCATE work, outbox"))

    async def open_batch(self, changes: bool, limit: int) -> str:
        """Open a batch and return its id."""
        async with self.db.begin() as tx:
            batch = await batches.open_batch(
                tx,
                self._entry(),
                mode=BatchMode.CHANGES if changes else BatchMode.SNAPSHOT,
                declared=None,
                quarantine_limit=limit,
                actor=OWNER,
                at=self.context.clock.now(),
            )
            return batch.id

    async def abandon(self, draft: Draft) -> None:
        """Give a batch up."""
        async with self.db.begin() as tx:
            await batches.abandon(tx, self._entry(), draft.id, OWNER, self.context.clock.now())

    async def renew(self, department: Department, subscription: str) -> None:
        """Ask for the whole table again."""
        async with self.db.begin() as tx:
            await subscribing.renew(tx, self._receiver(department), subscription)
        await self.fitted(department)

    async def notice(self, department: Department, version: int) -> None:
        """Let a worker hear of a version of the grant, which may be an old one."""
        grant = self._grant(department, version)
        self.context.copies.put_grant(grant)
        moved = await fitting.fit_all(self.context, {grant.id})
        newest = version == len(department.versions)
        active = department.subscription is not None and await self.is_active(department)
        assert moved == (newest and active and department.fitted != department.wanted)
        if moved:
            await self.fitted(department)

    async def fitted(self, department: Department) -> None:
        """Note that what is delivered from here on is what is granted now."""
        if department.fitted != department.wanted and department.subscription is not None:
            async with self.db.begin() as tx:
                receiver = self._receiver(department)
                found = await subscribing.find(tx, receiver, department.subscription)
            department.fitted, department.outdated = department.wanted, found.sequence

    def _entry(self) -> Entry:
        return Entry(self.entry, self.entry_version, self.entry, "owner", "published", self.layout)

    def _receiver(self, department: Department) -> Receiver:
        grant = self._grant(department, len(department.versions))
        return Receiver(self._entry(), grant, department.system, AGENCY, "")

    def _grant(self, department: Department, version: int) -> Grant:
        return department.versions[version - 1].grant(
            id=department.grant,
            version=version,
            resource=self.entry,
            entry=self.entry,
            entry_version=1,
            systems=frozenset({department.system}),
        )

    async def put(self, draft: Draft, number: int, body: bytes) -> bool:
        """Put a chunk as the route does; tell whether it was new."""

        async def pieces() -> AsyncIterator[bytes]:
            yield body

        entry, objects = self._entry(), self.context.objects
        async with self.db.begin() as tx:
            batch = await batches.require_batch(tx, entry, draft.id)
        require_unchanged(entry, batch)
        async with batches.receive(pieces(), objects) as received:
            async with self.db.begin() as tx:
                if await batches.same_chunk(tx, batch, number, received.digest) is not None:
                    return False
            chunk, faults = await asyncio.to_thread(
                batches.check_chunk, batch, number, received, ChunkFormat.NDJSON, objects
            )
        async with self.db.begin() as tx:
            _, new = await batches.add_chunk(tx, entry, draft.id, chunk, faults)
        return new

    async def seal(self, draft: Draft) -> BatchState:
        async with self.db.begin() as tx:
            at = self.context.clock.now()
            batch = await batches.seal(
                tx,
                self._entry(),
                draft.id,
                max(1, len(draft.chunks)),
                OWNER,
                at,
            )
            return batch.state

    async def work(self) -> bool:
        item = await work.claim(self.db, seconds=60)
        if item is not None:
            await HANDLERS[item.kind](item, self.context)
            await self._worked(item)
        return item is not None

    async def stopped(self) -> None:
        item = await work.claim(self.db, seconds=0)
        if item is not None:
            context = self.context
            stopping = StoppingContext(
                context.db, context.objects, context.clock, context.copies, context.keys
            )
            with contextlib.suppress(Stopped):
                await HANDLERS[item.kind](item, stopping)

    async def overtaken(self) -> None:
        slow = await work.claim(self.db, seconds=0)
        if slow is not None:
            await self.work()
            with pytest.raises(work.LeaseLost):
                await HANDLERS[slow.kind](slow, self.context)

    async def _worked(self, item: Work) -> None:
        """Let the model do what was done, and compare how the batch ended."""
        if item.kind != "seal":
            return
        draft = self.sealed.pop(0)
        assert item.subject["batch"] == draft.id, "batches become effective in their order"
        outcome = self.owner.seal(draft)
        draft.state = outcome.state
        self.ended.append(draft)
        async with self.db.begin() as tx:
            batch = await tx.get_one(BatchRow, draft.id)
        assert batch.state == outcome.state, batch.refusal_detail
        if outcome.state == "effective":
            found = (batch.rows, batch.quarantined, batch.added, batch.updated, batch.deleted)
            assert found == (
                outcome.rows,
                outcome.quarantined,
                outcome.added,
                outcome.updated,
                outcome.deleted,
            )

    async def subscribe(
        self, department: Department, starts: Start, items: tuple[str, ...] | None
    ) -> tuple[Subscription | None, str | None]:
        try:
            async with self.db.begin() as tx:
                made, _ = await subscribing.subscribe(
                    tx,
                    self._receiver(department),
                    starts,
                    items,
                    self.context.clock.now(),
                )
        except DomainError as error:
            return None, error.code
        return made, None

    async def is_active(self, department: Department) -> bool:
        """Tell whether the subscription goes on; the platform ends one that lost its key."""
        assert department.subscription is not None
        assert department.table is not None
        async with self.db.begin() as tx:
            found = await subscribing.find(tx, self._receiver(department), department.subscription)
        if not found.active:
            items = department.table.granted(department.terms)
            keys = [{item.name for item in each.key} for each in self.owner.layouts.values()]
            assert any(not key <= set(items) for key in keys)
        return found.active

    async def end(self, department: Department) -> None:
        assert department.subscription is not None
        async with self.db.begin() as tx:
            at = self.context.clock.now()
            await subscribing.end(tx, self._receiver(department), department.subscription, at)
        department.subscription = department.table = None
        department.unsent.clear()
        department.sent.clear()

    async def receive(self, department: Department) -> bool:
        """Apply the next delivery; tell whether there was one."""
        table = department.table
        if department.subscription is None or table is None:
            return False
        receiver = self._receiver(department)
        async with self.db.begin() as tx:
            listed = await delivering.list_deliveries(
                tx, receiver, department.subscription, table.sequence, 100
            )
        for delivery in listed.found:
            assert delivery.id not in department.delivered
            if department.is_outdated(delivery.sequence):
                # Passed over: a table of what is granted now comes after it.
                await self._refused(receiver, delivery)
                continue
            if delivery.sequence > table.sequence + 1:
                assert delivery.kind is DeliveryKind.TABLE
                table.sequence = delivery.sequence - 1
            changes = await self._fetch(receiver, delivery)
            layout = self.owner.layouts.get(delivery.version, Layout(()))
            figures = table.apply(delivery, changes, layout, department.terms)
            department.delivered[delivery.id] = delivery.sequence
            department.unsent.append((delivery.id, figures))
            return True
        return False

    async def _refused(self, receiver: Receiver, delivery: Delivery) -> None:
        if delivery.segments:
            with pytest.raises(DomainError) as refused:
                await self._fetch(receiver, delivery)
            assert refused.value.code in REFUSED

    async def _fetch(self, receiver: Receiver, delivery: Delivery) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        for segment in delivery.segments:
            async with self.db.begin() as tx:
                found, _ = await delivering.find_segment(tx, receiver, delivery.id, segment.number)
            rows += from_stream(self.context.objects.read(found.digest)).to_pylist()
        return rows

    async def receipt(self, department: Department, delivery: str, figures: Figures) -> None:
        receiver, now = self._receiver(department), self.context.clock.now()
        state: ReceiptState | str
        try:
            async with self.db.begin() as tx:
                receipt, _ = await receipts.put_receipt(tx, receiver, delivery, figures, now)
                state = receipt.state
        except DomainError as error:
            state = error.code
        outdated = department.is_outdated(department.delivered[delivery])
        assert state in (REFUSED if outdated else {ReceiptState.AGREED})

    async def dataset(self) -> tuple[int, str]:
        async with self.db.begin() as tx:
            row = await tx.get(DatasetRow, self.entry)
        return (0, "0" * 64) if row is None else (row.rows, row.digest)

    async def settle(self) -> None:
        """Do all work, apply and close all deliveries, and compare."""
        for department in self.departments:
            await self.notice(department, len(department.versions))
        while await self.work():
            pass
        for department in self.departments:
            while await self.receive(department):
                pass
            for delivery, figures in [*department.unsent, *department.sent]:
                await self.receipt(department, delivery, figures)
        # What nobody needs is swept; what was delivered can still be fetched.
        await sweeping.sweep(self.context, older_than=0.0, chunk_retention=0.0)
        for department in self.departments:
            await self._compare(department)
        await self._add_up()

    async def _compare(self, department: Department) -> None:
        table = department.table
        if department.subscription is None or table is None:
            return
        receiver = self._receiver(department)
        async with self.db.begin() as tx:
            listed = await delivering.list_deliveries(tx, receiver, department.subscription, 0, 100)
        sequences = [d.sequence for d in listed.found]
        assert sequences == list(range(1, len(sequences) + 1))
        for delivery in listed.found:
            if department.is_outdated(delivery.sequence):
                await self._refused(receiver, delivery)
                continue
            assert delivery.receipt is ReceiptState.AGREED
            assert len(await self._fetch(receiver, delivery)) == sum(
                segment.rows for segment in delivery.segments
            )
        if not await self.is_active(department):
            return
        assert table.sequence == len(sequences)
        expected = table.expected(self.owner, department.terms)
        assert table.version == self.owner.version
        if table.starts is Start.BEGINNING:
            assert table.rows == expected
        assert table.rows.items() <= expected.items()

    async def _add_up(self) -> None:
        """Compare the report with itself, and the facts with their contract."""
        async with self.db.begin() as tx:
            found, _ = await reconciling.list_reconciliations(
                tx,
                self.entry,
                Viewer("audit", sees_all=True),
                batch=None,
                state=None,
                cursor=None,
                limit=200,
            )
            connection = await tx.connection()
            facts = (await connection.execute(text("SELECT envelope::text FROM outbox"))).scalars()
            left = (await connection.execute(text("SELECT count(*) FROM work"))).scalar_one()
        assert left == 0
        assert [each.version for each in found] == list(range(self.owner.version, 0, -1))
        assert "differs" not in {each.state.value for each in found}
        rows = 0
        for each in reversed(found):
            assert each.platform is not None
            rows += each.platform["added"] - each.platform["deleted"]
            assert each.platform["table_rows"] == rows
        for fact in facts:
            FACTS.validate(orjson.loads(fact) | {"incarnation": 1, "sequence": 1})


class Stopped(Exception):
    """The process was killed."""


class StoppingContext(Context):
    """Work that is done up to the commit, and then the process is killed."""

    @override
    @asynccontextmanager
    async def result(self, work: Work) -> AsyncIterator[Tx]:
        """Open the transaction, and undo it."""
        async with super().result(work) as tx:
            yield tx
            raise Stopped


def written(rows: list[dict[str, Any]], draft: Draft) -> tuple[bytes, list[tuple[str, Row]], int]:
    """Return a chunk as bytes, the rows of it that are good, and how many are not."""
    lines: list[bytes] = []
    good: list[tuple[str, Row]] = []
    broken = 0
    for row in rows:
        delete = draft.changes and row["_op"] == "delete"
        items = draft.layout.key if delete else draft.layout.items
        line = {item.name: row[item.name] for item in items if item.name != row["without"]}
        faulty = row["broken"] or any(item.key and item.name not in line for item in items)
        if row["broken"]:
            line["code" if delete else "name"] = 7
        texts = {
            item.name: None if item.name not in line else str(line[item.name]) for item in items
        }
        lines.append(orjson.dumps(line | ({"_op": row["_op"]} if draft.changes else {})) + b"\n")
        if faulty:
            broken += 1
        else:
            good.append(("delete" if delete else "upsert", texts))
    return b"".join(lines), good, broken
