"""Any interleaving of publishing, restarts, subscriptions and receipts ends the same way.

A state machine (Hypothesis) drives the real actions and the real work over a real database,
beside a model of both sides. When all is drained, every consumer holds what is granted of the
owner's table, both sides agree on every delivery, and nothing was delivered twice or left out.
"""

import asyncio
import copy
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from kit.clock import SystemClock
from kit.db import Db
from kit.errors import DomainError
from kit.migrate import upgrade
from services.exchange.transfer.domain import BatchState, Layout, Start
from services.exchange.transfer.store import Context, FolderObjects
from tests.integration.transfer.driving import LAYOUTS, Platform, written
from tests.integration.transfer.model import Consumer, Draft, digest_of
from tests.integration.transfer.seeing import KEYS, STEPS, Step, narrowed

Answer = TypeVar("Answer")

ITEMS: list[tuple[str, ...] | None] = [
    None,
    ("code", "name"),
    ("code", "level"),
    ("code",),
    ("level", "code", "name"),
]
STARTS = st.tuples(
    st.sampled_from([Start.BEGINNING, Start.BEGINNING, Start.NOW]), st.sampled_from(ITEMS)
)
"""Where to begin, with which items; those of the key are not always among them."""
LIMITS = st.sampled_from([100, 100, 0])
VALUES: dict[str, list[Any]] = {
    "code": ["1", "2", "3", '4"\n,'],
    "name": ["杭州市", "", 'q"\\\t\n', "名\u2028"],
    "level": [1, 2, -9007199254740991],
    "area": ["1.5", "-0.25", "20"],
}


@st.composite
def sent_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows as an owner sends them, of any layout; some repeat a key, some are broken."""
    row = st.fixed_dictionaries(
        {name: st.sampled_from(values) for name, values in VALUES.items()}
        | {
            "_op": st.sampled_from(["upsert", "upsert", "delete"]),
            "without": st.sampled_from([None, None, "level", "area"]),
            "broken": st.sampled_from([False] * 9 + [True]),
        }
    )
    return draw(st.lists(row, min_size=0, max_size=6))


class Machine(RuleBasedStateMachine):
    """Both sides and the platform between them."""

    loop: ClassVar[asyncio.AbstractEventLoop]
    context: ClassVar[Context]

    def __init__(self) -> None:
        super().__init__()
        self.platform = Platform(self.context)

    @initialize(rows=sent_rows(), starts=st.lists(STARTS, max_size=3))
    def begin(
        self, rows: list[dict[str, Any]], starts: list[tuple[Start, tuple[str, ...] | None]]
    ) -> None:
        """Begin with a table, maybe, and with some who receive it."""
        self.run(self.platform.begin())
        if rows:
            self.publish(False, 100, [rows])
            self.run(self.platform.work())
        for at, (start, items) in enumerate(starts):
            self.subscribe(at, (start, items))

    # ---- the owner ----

    @rule(changes=st.booleans(), limit=LIMITS)
    def open_batch(self, changes: bool, limit: int) -> None:
        """Open a batch; changes only fit rows of the same layout."""
        self._open(changes, limit)

    @precondition(lambda self: self.platform.open)
    @rule(data=st.data(), rows=sent_rows())
    def put_chunk(self, data: st.DataObject, rows: list[dict[str, Any]]) -> None:
        """Put the next chunk of a batch."""
        self._put(data.draw(st.sampled_from(self.platform.open)), rows)

    @precondition(lambda self: any(draft.chunks for draft in self.platform.open))
    @rule(data=st.data(), other=st.booleans())
    def put_chunk_again(self, data: st.DataObject, other: bool) -> None:
        """Send a chunk again: the same bytes change nothing, others are refused."""
        draft = data.draw(st.sampled_from([draft for draft in self.platform.open if draft.chunks]))
        number = data.draw(st.integers(0, len(draft.chunks) - 1))
        body = draft.bodies[number] + (b'{"code":"9","name":"x"}\n' if other else b"")
        expected = "chunk-differs" if other else None
        expected = expected if draft.layout == self.platform.layout else "entry-changed"
        assert not self.attempt(self.platform.put(draft, number, body), expected)

    @rule(changes=st.booleans(), limit=LIMITS, chunks=st.lists(sent_rows(), min_size=1, max_size=2))
    def publish(self, changes: bool, limit: int, chunks: list[list[dict[str, Any]]]) -> None:
        """Open, fill and seal a batch in one go."""
        draft = self._open(changes, limit)
        if draft is not None:
            for rows in chunks:
                self._put(draft, rows)
            self._seal(draft)

    @precondition(lambda self: self.platform.open)
    @rule(data=st.data())
    def seal(self, data: st.DataObject) -> None:
        """Seal a batch, which is refused when the entry has other items by now."""
        self._seal(data.draw(st.sampled_from(self.platform.open)))

    @precondition(lambda self: self.platform.sealed or self.platform.ended)
    @rule(data=st.data())
    def seal_again(self, data: st.DataObject) -> None:
        """Seal a batch again: it is sealed once."""
        draft = data.draw(st.sampled_from([*self.platform.sealed, *self.platform.ended]))
        code = "batch-not-open" if draft.state == "abandoned" else None
        self.attempt(self.platform.seal(draft), code)

    @precondition(lambda self: self.platform.open)
    @rule(data=st.data())
    def abandon(self, data: st.DataObject) -> None:
        """Give a batch up."""
        draft = data.draw(st.sampled_from(self.platform.open))

        self.run(self.platform.abandon(draft))
        self.platform.open.remove(draft)
        draft.state = "abandoned"
        self.platform.ended.append(draft)

    @rule(layout=st.sampled_from([LAYOUTS[0], *LAYOUTS]))
    def change_layout(self, layout: Layout) -> None:
        """Publish another version of the entry."""
        if layout != self.platform.layout:
            self.platform.layout = layout
            self.platform.entry_version += 1

    # ---- workers ----

    @rule(items=st.integers(1, 5))
    def work(self, items: int) -> None:
        """Do some items."""
        for _ in range(items):
            self.run(self.platform.work())

    @rule()
    def stop_a_worker(self) -> None:
        """A worker is stopped before its commit; its lease is over at once."""
        self.run(self.platform.stopped())

    @rule()
    def be_overtaken(self) -> None:
        """A worker comes back after another one has done its item, and is fenced."""
        self.run(self.platform.overtaken())

    # ---- consumers ----

    @rule(at=st.integers(0, 2), asked=STARTS)
    def subscribe(self, at: int, asked: tuple[Start, tuple[str, ...] | None]) -> None:
        """Subscribe, unless it cannot be."""
        starts, items = asked
        department = self.platform.departments[at]
        made, code = self.run(self.platform.subscribe(department, starts, items))
        names = {item.name for item in self.platform.layout.items}
        granted = department.terms.items
        chosen = names & granted if items is None else set(items)
        layouts = [self.platform.layout, self.platform.owner.layout]
        keys = {item.name for layout in layouts if layout is not None for item in layout.key}
        if items is not None and not chosen <= names:
            assert code == "item-unknown"
        elif not chosen <= granted:
            assert code == "items-not-granted"
        elif not keys <= chosen:
            assert code == "key-not-granted"
        elif department.subscription is None:
            assert code is None
        elif code is not None:
            assert code == "subscription-exists"
        if made is not None and made.id != department.subscription:
            department.subscription = made.id
            department.table = Consumer(made.items, starts, version=made.version)
            department.fitted, department.outdated = department.wanted, 0
        elif made is not None:
            self.run(self.platform.fitted(department))

    @rule(at=st.integers(0, 2))
    def renew(self, at: int) -> None:
        """Ask for the whole table again."""
        department = self.platform.departments[at]
        if department.subscription is not None and self.run(self.platform.is_active(department)):
            self.run(self.platform.renew(department, department.subscription))

    @rule(at=st.integers(0, 2))
    def end(self, at: int) -> None:
        """End a subscription that has received something."""
        department = self.platform.departments[at]
        if department.table is not None and department.table.sequence > 3:
            self.run(self.platform.end(department))

    @rule(at=st.integers(0, 2), crashes=st.booleans())
    def receive(self, at: int, crashes: bool) -> None:
        """Apply the next delivery; after a crash before the commit it is applied again."""
        department = self.platform.departments[at]
        if crashes and department.table is not None:
            kept = copy.deepcopy((department.table, department.unsent, department.delivered))
            self.run(self.platform.receive(department))
            department.table, department.unsent, department.delivered = kept
        self.run(self.platform.receive(department))

    @rule(at=st.integers(0, 2), data=st.data(), again=st.booleans())
    def send_receipt(self, at: int, data: st.DataObject, again: bool) -> None:
        """Send one of the receipts that are due, in any order, or one that was sent before."""
        department = self.platform.departments[at]
        choices = department.sent if again else department.unsent
        if choices:
            delivery, figures = data.draw(st.sampled_from(choices))
            self.run(self.platform.receipt(department, delivery, figures))
            if not again:
                department.unsent.remove((delivery, figures))
                department.sent.append((delivery, figures))

    # ---- grants ----

    @rule(at=st.integers(0, 2), step=st.sampled_from(STEPS) | st.none())
    def change_the_grant(self, at: int, step: Step | None) -> None:
        """Narrow a grant, or prolong it, which changes nothing."""
        department = self.platform.departments[at]
        terms = department.terms
        department.versions.append(terms if step is None else narrowed(terms, step))

    @rule(at=st.integers(0, 2), data=st.data())
    def notice_a_grant(self, at: int, data: st.DataObject) -> None:
        """A worker hears of a grant; one that lags behind hears of an old version."""
        department = self.platform.departments[at]
        newest = len(department.versions)
        version = data.draw(st.sampled_from([newest, newest, 1]))
        self.run(self.platform.notice(department, version))

    # ---- what always holds ----

    @invariant()
    def the_dataset_is_that_of_the_model(self) -> None:
        """Nothing half-done is visible."""
        rows, digest = self.run(self.platform.dataset())
        layout = self.platform.owner.layout
        items = () if layout is None else layout.items
        assert (rows, digest) == digest_of(items, self.platform.owner.rows.values())

    @override
    def teardown(self) -> None:
        """Drain everything and compare both sides."""
        self.run(self.platform.settle())

    def _open(self, changes: bool, limit: int) -> Draft | None:
        fits = not changes or self.platform.owner.layout in (None, self.platform.layout)
        awaited = self.platform.open_batch(changes, limit)
        batch = self.attempt(awaited, None if fits else "layout-changed")
        if batch is None:
            return None
        draft = Draft(batch, self.platform.layout, changes, limit)
        self.platform.open.append(draft)
        return draft

    def _put(self, draft: Draft, rows: list[dict[str, Any]]) -> None:
        body, good, broken = written(rows, draft)
        expected = None if draft.layout == self.platform.layout else "entry-changed"
        if self.attempt(self.platform.put(draft, len(draft.chunks), body), expected):
            draft.chunks.append(good)
            draft.bodies.append(body)
            draft.broken += broken

    def _seal(self, draft: Draft) -> None:
        fits = draft.layout == self.platform.layout
        code = "chunk-missing" if fits and not draft.chunks else None
        state = self.attempt(self.platform.seal(draft), code)
        if state is not None:
            self.platform.open.remove(draft)
            if fits:
                assert state is BatchState.SEALED
                self.platform.sealed.append(draft)
            else:
                assert state is BatchState.REFUSED
                draft.state = "refused"
                self.platform.ended.append(draft)

    def run(self, awaited: Coroutine[Any, Any, Answer]) -> Answer:
        """Run to the end."""
        return self.loop.run_until_complete(awaited)

    def attempt(self, awaited: Coroutine[Any, Any, Answer], code: str | None) -> Answer | None:
        """Return what comes of it, or None when it is refused with `code`, as it must be."""
        done, refusal = None, None
        try:
            done = self.run(awaited)
        except DomainError as error:
            refusal = error
        assert (None if refusal is None else refusal.code) == code, refusal
        return done


@pytest.fixture
def machine(database_url: str, tmp_path: Path) -> Iterator[type[Machine]]:
    """A machine over a database and a folder that all runs share."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(upgrade(database_url, "services.exchange.transfer"))
    db = Db(database_url, "transfer", pool=4)

    class Running(Machine):
        """The machine of this test."""

    Running.loop = loop
    Running.context = Context(db, FolderObjects(tmp_path), SystemClock(), keys=KEYS)
    yield Running
    loop.run_until_complete(db.dispose())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_any_order_leaves_every_consumer_with_the_owners_table(
    machine: type[Machine], long_form: bool
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=400 if long_form else 20,
            stateful_step_count=60 if long_form else 35,
            deadline=None,
            derandomize=not long_form,
            suppress_health_check=list(HealthCheck),
        ),
    )
