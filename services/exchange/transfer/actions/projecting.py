"""Make deliveries: what a new version changed for each projection, and whole tables.

Both are work of the lane of their projection, so one is done after the other. What is computed is
stored as objects first; rows, deliveries and the removal of the work are one transaction.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
from prometheus_client import Counter

from kit import outbox
from kit.db import Tx
from kit.logging import get_logger
from services.exchange.transfer import domain, events
from services.exchange.transfer.actions import fitting
from services.exchange.transfer.domain import (
    CopyReader,
    DeliveryKind,
    Layout,
    ProjectedVersion,
    Segment,
    Sight,
    Subscription,
    TableDigest,
    View,
)
from services.exchange.transfer.store import deliveries, projections, subscriptions
from services.exchange.transfer.store.deliveries import HandedOut
from services.exchange.transfer.store.objects import Objects
from services.exchange.transfer.store.projections import EffectiveBatch, Projection, TableReplaced
from services.exchange.transfer.store.work import Context, Work, hold

PIECE: Final = 4 << 20
"""Bytes of a COPY that are worked on at once, in a thread."""
ATTEMPTS: Final = 5
_UNPACKING: Final = threading.Lock()
"""One segment is unpacked at a time: memory stays flat, however many lanes are worked on."""

DIFFERENCES: Final = Counter(
    "datong_transfer_projection_differences",
    "Projected tables that differ from what their effects make of them",
)
DELIVERIES: Final = Counter("datong_transfer_deliveries", "Deliveries made", ["kind"])

log = get_logger()


class ProjectionDiffers(Exception):
    """Two ways to the same projected table disagree: something changed rows behind the effects."""


@dataclass(frozen=True)
class _Made:
    """A projected version with its segments; without them it is there already."""

    projected: ProjectedVersion
    segments: Sequence[Segment] | None


async def project(work: Work, context: Context) -> None:
    """Deliver what the version `version` of a dataset changed for one projection.

    Subject: `projection`, `batch`, `version`. A version that changed the layout is delivered as a
    whole table.
    """
    version: int = work.subject["version"]
    async with context.db.begin() as tx:
        projection = await projections.find_projection(tx, work.subject["projection"])
        batch = await projections.effective_batch(tx, work.subject["batch"])
    if projection is None or batch is None:
        raise LookupError(f"no projection or no effective batch: {dict(work.subject)}")

    def next_is_this(each: Subscription) -> bool:
        return each.version == version - 1

    async def make() -> _Made | None:
        if batch.reset:
            return await _table(work, context, projection)
        return await _changes(context, projection, batch)

    await _deliver(work, context, projection, next_is_this, make)


async def base(work: Work, context: Context) -> None:
    """Deliver the whole table, as it is now, to a subscription that waits for it.

    Subject: `projection`, `subscription`.
    """
    async with context.db.begin() as tx:
        projection = await projections.find_projection(tx, work.subject["projection"])
    if projection is None:
        raise LookupError(f"no projection: {dict(work.subject)}")
    wanted = work.subject["subscription"]

    def waits(each: Subscription) -> bool:
        return each.id == wanted and each.version is None

    await _deliver(work, context, projection, waits, lambda: _table(work, context, projection))


async def _deliver(
    work: Work,
    context: Context,
    projection: Projection,
    wants: Callable[[Subscription], bool],
    make: Callable[[], Awaitable[_Made | None]],
) -> None:
    """Make a projected version, if anybody wants it, and hand it out to those who do.

    Args:
        make: returns None when rows cannot be told apart by the items any more.
    """
    found = await _receivers(context, projection.id)
    # Whoever subscribed by an older copy of a grant than ours was not there when we heard of it.
    if context.is_current() and (outdated := fitting.outdated(context, found)):
        await fitting.fit_all(context, outdated)
        found = await _receivers(context, projection.id)
    waiting = [each for each in found if wants(each) and not _is_over(each, context)]
    made = await make() if waiting else None
    handed: list[HandedOut] = []
    async with context.result(work) as tx:
        found = await subscriptions.lock_receivers(tx, projection.id)
        over = [each for each in found if _is_over(each, context)]
        await _end(tx, context, over, "grant-over")
        receivers = [each for each in found if wants(each) and each not in over]
        if made is not None:
            handed = await _hand_out(tx, context, projection, made, receivers)
        elif waiting:
            await _end(tx, context, receivers, "key-not-granted")
    if made is not None:
        DELIVERIES.labels(made.projected.kind.value).inc(len(handed))


async def _receivers(context: Context, projection: str) -> list[Subscription]:
    async with context.db.begin() as tx:
        return await subscriptions.lock_receivers(tx, projection)


def _is_over(subscription: Subscription, context: Context) -> bool:
    grant = context.copies.grants.get(subscription.grant)
    return domain.is_over(grant, context.clock.now(), current=context.is_current())


async def _end(tx: Tx, context: Context, found: Sequence[Subscription], reason: str) -> None:
    """End subscriptions that nothing can be delivered to any more."""
    if found:
        await subscriptions.end_subscriptions(tx, [each.id for each in found], context.clock.now())
        facts = [
            events.subscription_fact("ended", each, actor=events.TRANSFER, reason=reason)
            for each in found
        ]
        await outbox.append(tx, *facts)


async def _hand_out(
    tx: Tx,
    context: Context,
    projection: Projection,
    made: _Made,
    receivers: Sequence[Subscription],
) -> list[HandedOut]:
    if not receivers:
        return []  # what was made for nobody is not kept
    now = context.clock.now()
    if made.segments is not None:
        await projections.add_projected(tx, projection.id, made.projected, made.segments, now)
    handed = await deliveries.hand_out(tx, receivers, made.projected, now)
    facts = [
        events.delivery_made(one.subscription, one.delivery, one.sequence, made.projected)
        for one in handed
    ]
    await outbox.append(tx, *facts)
    return handed


async def _changes(context: Context, projection: Projection, batch: EffectiveBatch) -> _Made | None:
    """Project the effects of a batch, one segment at a time."""
    if domain.lost_key(projection.view, batch.layout):
        return None
    async with context.db.begin() as tx:
        version, kind = batch.version, DeliveryKind.CHANGES
        known = await projections.projected_version(tx, projection.id, version, kind)
        before = await projections.table_digest(tx, projection.id, version - 1)
        beside = await projections.table_digest(tx, projection.id, version)
    if known is not None:
        return _Made(known, None)
    sight = domain.sight_of(projection.view, batch.layout, context.keys)
    writer = _Segments(context.objects, projection.view.items, sight)
    for name in batch.effects:
        await asyncio.to_thread(writer.add_effects, name)
    # The table after is the table before, without the old rows and with the new ones.
    after = None if before is None else before.minus(writer.before).plus(writer.after)
    _require_same(projection, version, after, beside)
    return writer.made(version, kind, batch.id, after or beside)


async def _table(work: Work, context: Context, projection: Projection) -> _Made | None:
    """Read the whole table as it is now; again when it is replaced meanwhile."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await _read_table(work, context, projection)
        except TableReplaced:
            log.info("the table was replaced", entry=projection.entry, attempt=attempt)
    raise TableReplaced(f"{ATTEMPTS} times one after the other")


async def _read_table(work: Work, context: Context, projection: Projection) -> _Made | None:
    async with projections.snapshot_of(context.db, projection.entry) as (tx, snapshot):
        await hold(tx, work)  # stopped while it reads, it would keep the table from being replaced
        version, kind = snapshot.version, DeliveryKind.TABLE
        known = await projections.projected_version(tx, projection.id, version, kind)
        if known is not None:
            return _Made(known, None)
        beside = await projections.table_digest(tx, projection.id, version)
        layout = snapshot.layout or Layout(())
        if domain.lost_key(projection.view, layout):
            return None
        sight = domain.sight_of(projection.view, layout, context.keys)
        writer = _Segments(context.objects, projection.view.items, sight)
        order = _hidden_order(context, projection.view) if sight.hides_key else None
        await projections.copy_out(tx, snapshot, sight, order, writer.take)
        await writer.close()
    _require_same(projection, version, writer.after, beside)
    if sight.is_whole and len(sight.items) == len(layout.items):
        # All of it: then the platform's own count of the dataset is of the same table.
        beside = TableDigest.from_hex(snapshot.rows, snapshot.digest)
        _require_same(projection, version, writer.after, beside)
    elif sight.tests == ():
        beside = TableDigest.from_hex(snapshot.rows, writer.after.hexdigest())
        _require_same(projection, version, writer.after, beside)
    return writer.made(version, kind, snapshot.batch, writer.after)


def _hidden_order(context: Context, view: View) -> tuple[bytes, bytes]:
    """Return the key that hides how rows are ordered whose key is masked, by a pseudonym."""
    return domain.require_keys(context.keys).order(view.consumer or "")


def _require_same(
    projection: Projection, version: int, ours: TableDigest | None, other: TableDigest | None
) -> None:
    """Raise the internal alarm when a projected table is not what its effects make of it.

    Raises:
        ProjectionDiffers: the work stays, failed, until somebody has looked.
    """
    if ours is None or other is None:
        return
    if (ours.count, ours.hexdigest()) != (other.count, other.hexdigest()):
        DIFFERENCES.inc()
        figures = {
            "rows": [ours.count, other.count],
            "digests": [ours.hexdigest(), other.hexdigest()],
        }
        log.error("projection differs", projection=projection.id, version=version, **figures)
        raise ProjectionDiffers(f"projection {projection.id} at version {version}: {figures}")


class _Segments:
    """Writes delivery segments as objects, and counts what is in them.

    Attributes:
        before, after: digests of the old rows taken out, and of the new rows delivered.
    """

    def __init__(self, objects: Objects, names: Sequence[str], sight: Sight) -> None:
        """Write columns named `names`; `sight` shows those that rows have."""
        self.before, self.after = TableDigest(), TableDigest()
        self._objects = objects
        self._names = list(names)
        self._sight = sight
        self._counts = {"added": 0, "updated": 0, "deleted": 0}
        self._written: list[Segment] = []
        self._reader = CopyReader([item.name for item in sight.items])
        self._waiting = bytearray()

    async def take(self, data: bytes) -> None:
        """Take a piece of a COPY of covered rows; what is whole is written, in a thread."""
        self._waiting += data
        if len(self._waiting) >= PIECE:
            piece = bytes(self._waiting)
            self._waiting.clear()
            await asyncio.to_thread(self._add_rows, piece)

    async def close(self) -> None:
        """Write what is left of a COPY."""
        await asyncio.to_thread(self._add_rows, bytes(self._waiting), last=True)
        self._waiting.clear()

    def add_effects(self, name: str) -> None:
        """Project one segment of effects and write what is seen of it."""
        with _UNPACKING:
            effects = domain.from_stream(self._objects.read(name))
            seen = domain.project(effects, self._sight)
            del effects
            self.before, self.after = self.before.plus(seen.before), self.after.plus(seen.after)
            self._write(seen.table, added=seen.added, updated=seen.updated, deleted=seen.deleted)

    def made(
        self, version: int, kind: DeliveryKind, batch: str | None, table: TableDigest | None
    ) -> _Made:
        """Return the projected version whose segments were written.

        Args:
            table: count and digest of the whole projected table; None when nobody knows.
        """
        projected = ProjectedVersion(
            version=version,
            kind=kind,
            batch=batch,
            **self._counts,
            rows=None if table is None else table.count,
            digest=None if table is None else table.hexdigest(),
            delivered_digest=self.after.hexdigest(),
        )
        return _Made(projected, self._written)

    def _add_rows(self, data: bytes, last: bool = False) -> None:
        with _UNPACKING:
            tables = self._reader.feed(data)
            for table in [*tables, *(self._reader.close() if last else ())]:
                shown = self._sight.show(table)
                self.after.add(shown, self._sight.seen)
                operation = pa.repeat(pa.scalar("added"), table.num_rows)
                self._write(shown.add_column(0, "_op", operation), added=table.num_rows)

    def _write(self, table: Any, **counts: int) -> None:
        for operation, count in counts.items():
            self._counts[operation] += count
        if not table.num_rows:
            return
        nothing = pa.nulls(table.num_rows, pa.utf8())
        columns = dict.fromkeys(self._names, nothing) | {
            name: table.column(name) for name in table.column_names
        }
        ordered = pa.table({name: columns[name] for name in ("_op", *self._names)})
        stream = domain.to_stream(ordered)
        digest = self._objects.put(stream)
        number = len(self._written)
        self._written.append(Segment(number, table.num_rows, len(stream), digest))
