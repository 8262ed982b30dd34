"""Keeps a table of one's own in step with a subscription, and answers each delivery's receipt.

    with Client("~/.config/datong/health") as client:
        received = datong.receive(
            client, "divisions", into="postgresql://…/health", purpose="registration"
        )

A delivery goes through these steps; the process may die between any two of them, and the next
start goes on from the cursor that lies in the same database as the rows:

    downloaded → (rows and cursor in one transaction) → committed → read → receipted
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Final

from datong.client import Client
from datong.errors import AnswerMalformed, ProofFailed, Refused, TableUnfit
from datong.operations.deliveries import Beginning
from datong.operations.operation import Json
from datong.tables.layout import Item, read_items
from datong.tables.patience import Patience
from datong.tables.spool import Spool
from datong.tables.store import Arrived, Cursor, Store, segment_names

WAIT: Final = 20
"""Seconds that one call waits for a delivery."""
PAGE: Final = 20
"""Deliveries that are listed at once."""
OUTDATED: Final = frozenset({"items-not-granted", "terms-changed"})
"""Codes of a delivery that holds more than is granted now; the whole table comes after it."""


class Step(StrEnum):
    """What has just happened to a delivery, or is about to."""

    SUBSCRIBED = "subscribed"
    FOUND = "found"
    DOWNLOADED = "downloaded"
    APPLIED = "applied"
    """Everything is written, nothing is committed yet."""
    COMMITTED = "committed"
    READ = "read"
    """The table was read back; its figures lie beside the cursor."""
    RECEIPTED = "receipted"
    PASSED_OVER = "passed over"
    """It cannot be applied, or not receipted, and a later delivery brings the whole table."""
    WAITING = "waiting"


OnStep = Callable[[Step, Json], None]
"""Told of each step and of what it is about: a subscription, a delivery, or a receipt."""


@dataclass(frozen=True)
class Received:
    """One delivery that was applied and has its receipt.

    Attributes:
        platform: the platform's five figures; None when it holds another receipt already.
        consumer: one's own.
        state: `agreed` or `differs`.
    """

    delivery: str
    sequence: int
    kind: str
    version: int
    state: str
    platform: Json | None
    consumer: Json

    def as_json(self) -> Json:
        """For programs."""
        return {
            "delivery": self.delivery,
            "sequence": self.sequence,
            "kind": self.kind,
            "version": self.version,
            "state": self.state,
            "platform": self.platform,
            "consumer": self.consumer,
        }


@dataclass
class Receiver:
    """Receives one resource into one table.

    Attributes:
        client: of the consumer's system.
        resource: what to receive.
        store: the table.
        spool: where segments lie until they are applied.
        from_: `beginning` or `now`; counts for a new subscription only.
        purpose: purpose code; a granted one is needed.
        grant: id of the grant to use; the platform finds one when absent.
        patience: how long failures may last.
        on_step: told of each step. What it raises ends the run, as a crash at that place would.
    """

    client: Client
    resource: str
    store: Store
    spool: Spool
    from_: Beginning = "beginning"
    purpose: str | None = None
    grant: str | None = None
    patience: Patience = field(default_factory=Patience)
    on_step: OnStep = lambda _step, _about: None
    _subscription: Json = field(default_factory=dict, init=False)
    _is_last: bool = field(default=False, init=False)
    """The last listing had no delivery."""

    def catch_up(self, *, renew: bool = False, seconds: float = 0.0) -> Iterator[Received]:
        """Apply what is there now, one delivery after the other.

        A subscription from the beginning that has had no delivery yet is waited for, and so is the
        table that `renew` asks for.

        Args:
            renew: ask for the whole table anew.
            seconds: how long to wait for a delivery when there is none.

        Raises:
            Refused: by the platform, for good.
            TableUnfit: the table is not what is delivered.
            Unreachable: platform or database did not answer for too long.
        """
        cursor = self._begin()
        yield from self._heal()
        asked_at = self._renew() if renew else 0
        must_wait = renew or (self._from_beginning and cursor.sequence == 0)
        until = time.monotonic() + seconds
        while True:
            left = math.ceil(max(0.0, until - time.monotonic()))
            for received in self._take_next(wait=WAIT if must_wait else min(WAIT, left)):
                yield received
                until = 0.0
                if received.kind == "table" and received.sequence > asked_at:
                    must_wait = False
            is_over = time.monotonic() >= until
            if self._is_last and is_over and (not must_wait or self._has_come(asked_at)):
                return

    def follow(self, *, renew: bool = False) -> Iterator[Received]:
        """Apply deliveries as they come, without end."""
        self._begin()
        yield from self._heal()
        if renew:
            self._renew()
        while True:
            yield from self._take_next(wait=WAIT)
            if self._is_last and self._persist(self._find)["id"] != self._subscription["id"]:
                self._begin()  # the platform ended the subscription; this is another one

    @property
    def subscription(self) -> Json:
        """The subscription that is received; empty before the first delivery was asked for."""
        return self._subscription

    @property
    def _from_beginning(self) -> bool:
        return self._subscription.get("from") == "beginning"

    def _named(self) -> dict[str, str | None]:
        return {"purpose": self.purpose, "grant": self.grant}

    def _persist(self, work: Callable[[], Any]) -> Any:
        return self.patience.keep(work, between=self.store.close)

    def _begin(self) -> Cursor:
        """Subscribe, or find the subscription; make the table."""
        self._subscription = self._persist(self._find)
        self.on_step(Step.SUBSCRIBED, self._subscription)
        prepared: Cursor = self._persist(
            lambda: self.store.prepare(
                self.resource,
                self._subscription["id"],
                self._items(),
                from_beginning=self._from_beginning,
            )
        )
        return prepared

    def _find(self) -> Json:
        cursor = self.store.cursor()
        if cursor is not None and cursor.resource == self.resource:
            try:
                found = self.client.get_subscription(
                    self.resource, cursor.subscription, **self._named()
                )
            except Refused as refused:
                if refused.code != "subscription-unknown":
                    raise
            else:
                if found["state"] == "active":
                    return found
        return self.client.subscribe(self.resource, from_=self.from_, **self._named())

    def _items(self) -> tuple[Item, ...]:
        return read_items(self._subscription["items"])

    def _renew(self) -> int:
        """Ask for the table anew; return the sequence after which it must come."""
        last = self._persist(self._last_sequence)
        self._persist(
            lambda: self.client.renew_subscription(
                self.resource, self._subscription["id"], **self._named()
            )
        )
        return int(last)

    def _last_sequence(self) -> int:
        after = self._cursor().sequence
        while True:
            page = self._page(after, wait=0)
            if not page:
                return after
            after = page[-1]["sequence"]

    def _has_come(self, after: int) -> bool:
        """Whether a delivery of the table after a sequence was applied, also by others."""
        last = self._persist(self._cursor).sequence
        while after < last:
            page = self._persist(partial(self._page, after, wait=0))
            if any(found["kind"] == "table" for found in page if found["sequence"] <= last):
                return True
            after = page[-1]["sequence"] if page else last
        return False

    def _cursor(self) -> Cursor:
        cursor = self.store.cursor()
        if cursor is None or cursor.subscription != self._subscription["id"]:
            raise TableUnfit(
                f"The cursor of {self.store.table} was taken away or belongs to another "
                "subscription now.",
                next_step="Let one receiver keep each table.",
            )
        return cursor

    def _page(self, after: int, *, wait: int) -> list[Json]:
        answer = self.client.list_deliveries(
            self.resource,
            self._subscription["id"],
            after=after,
            wait=wait,
            limit=PAGE,
            **self._named(),
        )
        deliveries = answer.get("items")
        if not isinstance(deliveries, list):
            raise AnswerMalformed("The answer holds no deliveries.")
        return deliveries

    def _take_next(self, *, wait: int) -> Iterator[Received]:
        """Take the deliveries of one page; an empty page may wait for the next delivery."""
        if wait:
            self.on_step(Step.WAITING, self._subscription)
        page = self._persist(lambda: self._page(self._cursor().sequence, wait=wait))
        self._is_last = not page
        for delivery in page:
            try:
                yield from self._take(delivery)
            except (TableUnfit, AnswerMalformed):
                if not self._pass_over(delivery):
                    raise
                return
            except Refused as refused:
                if refused.code not in OUTDATED or not self._pass_over(delivery, wait=WAIT):
                    raise
                return
            if self._persist(self._cursor).sequence != delivery["sequence"]:
                return  # another receiver is at it: look again

    def _pass_over(self, delivery: Json, *, wait: int = 0) -> bool:
        """Go on with a later delivery of the whole table, when there is one.

        For a delivery that cannot be applied, as one of a layout that has changed since, or of
        what is granted no more. It gets no receipt.

        Args:
            wait: seconds, when such a delivery is being prepared.
        """
        after = delivery["sequence"]
        while page := self._persist(partial(self._page, after, wait=wait)):
            for later in page:
                after = later["sequence"]
                if later["kind"] == "table":
                    self._persist(partial(self.store.pass_over, delivery["sequence"], until=after))
                    self.on_step(Step.PASSED_OVER, delivery)
                    return True
        return False

    def _take(self, delivery: Json) -> Iterator[Received]:
        self.on_step(Step.FOUND, delivery)
        arrived = self._persist(lambda: self._fetch(delivery))
        self.on_step(Step.DOWNLOADED, delivery)
        is_mine = self._persist(
            lambda: self.store.apply(
                arrived,
                from_beginning=self._from_beginning,
                before_commit=lambda: self.on_step(Step.APPLIED, delivery),
            )
        )
        if is_mine:
            self.on_step(Step.COMMITTED, delivery)
        yield from self._heal()

    def _fetch(self, delivery: Json) -> Arrived:
        """Have the segments on disk and know their layout."""
        try:
            segments = self._download(delivery)
        except ProofFailed:  # bytes of an attempt that the gateway cut; those are thrown away
            segments = self._download(delivery)
        items = self._layout(delivery, segments)
        return Arrived(
            id=delivery["id"],
            sequence=delivery["sequence"],
            kind=delivery["kind"],
            version=delivery["version"],
            items=items,
            segments=tuple(segments),
        )

    def _download(self, delivery: Json) -> list[Path]:
        fetched: list[Path] = self.client.wait(
            self.spool.fetch(
                self.client.asynchronous,
                self.resource,
                delivery,
                purpose=self.purpose,
                grant=self.grant,
            )
        )
        return fetched

    def _layout(self, delivery: Json, segments: list[Path]) -> tuple[Item, ...]:
        """Items of a delivery: the table's, or new ones that a delivery of the table brings."""
        present = self._cursor().items
        if delivery["kind"] != "table":
            return present
        latest = self.client.get_subscription(
            self.resource, self._subscription["id"], **self._named()
        )
        self._subscription = latest
        items = self._items()
        names = segment_names(segments[0]) if segments else None
        if names is None or names == {item.name for item in items}:
            return items
        return present

    def _heal(self) -> Iterator[Received]:
        """Read back and send the receipt of the last delivery, unless that is done."""
        cursor = self._persist(self._cursor)
        if cursor.receipted or cursor.delivery is None:
            return
        about = {"id": cursor.delivery, "sequence": cursor.sequence, "kind": cursor.kind}
        try:
            received = self._receipt(cursor, about)
        except Refused as refused:
            if refused.code not in OUTDATED:
                raise
            # The platform takes no figures of it any more; the whole table comes next.
            self._persist(lambda: self.store.note_receipt(about["id"], "outdated"))
            self.on_step(Step.PASSED_OVER, about)
            self.spool.drop(str(about["id"]))
            return
        if received is not None:
            self._persist(lambda: self.store.note_receipt(about["id"], received.state))
            self.on_step(Step.RECEIPTED, received.as_json())
            self.spool.drop(received.delivery)
            yield received

    def _receipt(self, cursor: Cursor, about: Json) -> Received | None:
        """Read back and send the receipt of a delivery; None when another receiver has gone on."""
        if cursor.digest is None:
            arrived = self._persist(lambda: self._arrived_again(cursor))
            cursor = self._persist(
                lambda: self.store.read_back(arrived, from_beginning=self._from_beginning)
            )
            self.on_step(Step.READ, about)
        if cursor.delivery != about["id"]:
            return None
        answer = self._persist(lambda: self._send(cursor))
        return Received(
            delivery=str(cursor.delivery),
            sequence=cursor.sequence,
            kind=str(cursor.kind),
            version=int(cursor.version or 0),
            state=answer["state"],
            platform=answer["platform"],
            consumer=cursor.figures(),
        )

    def _send(self, cursor: Cursor) -> Json:
        try:
            return self.client.put_receipt(
                self.resource, str(cursor.delivery), cursor.figures(), **self._named()
            )
        except Refused as refused:
            if refused.code != "receipt-differs":
                raise
            # It was receipted with other figures, as by a table that was restored since. The
            # platform keeps the first receipt; what comes next need not wait for that.
            return {"state": "differs", "platform": None}

    def _arrived_again(self, cursor: Cursor) -> Arrived:
        """The last delivery once more; its segments are needed only to know its rows' keys."""
        needs_segments = not self._from_beginning and cursor.kind != "table"
        segments: list[Path] = []
        if needs_segments:
            (delivery,) = self._page(cursor.sequence - 1, wait=0)[:1]
            segments = self._download(delivery)
        return Arrived(
            id=str(cursor.delivery),
            sequence=cursor.sequence,
            kind=str(cursor.kind),
            version=int(cursor.version or 0),
            items=cursor.items,
            segments=tuple(segments),
        )
