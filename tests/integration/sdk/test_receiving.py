"""A consumer keeps a table of its own in step, whatever it is and whenever it dies."""

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from datong import Client, Refused, StoreUnavailable, TableUnfit, Unreachable
from datong.tables.layout import read_items
from datong.tables.patience import Patience
from datong.tables.receiving import Receiver, Step
from datong.tables.spool import Spool
from datong.tables.store import Store, open_store
from tests.support.delivering import ITEMS, RESOURCE, SUBSCRIPTION, Delivering, Row, item

TABLE = "divisions"


def row(code: str, name: str | None = "杭州市", **more: str | None) -> Row:
    """A row with a value of every type, unless said otherwise."""
    return {
        "code": code,
        "name": name,
        "level": "2",
        "area": "16850.5",
        "rural": "false",
        "founded": "1949-05-03",
        "seen": "2026-11-22T00:30:00.000000Z",
        **more,
    }


TRICKY = [
    row("1", 'quotes " and, commas\nand lines\r\n\tand \\'),
    row("2", ""),
    row("3", None, level=None, area=None, rural=None, founded=None, seen=None),
    row("4", "  e\u0301 \U00020000 \u0001", level="-9007199254740991", area="0", rural="true"),
    row("5", "NULL", area="-12345678901234567890123456.7890123456", founded="0001-01-01"),
]


class Crash(BaseException):
    """The process dies here."""


class Consumer:
    """A consumer's program: it can be started any number of times."""

    def __init__(self, delivering: Delivering, double: Any, identity: Any, url: str, spool: Path):
        self.delivering = delivering
        self.double = double
        self.identity = identity
        self.url = url
        self.spool = spool
        self.steps: list[Step] = []

    def store(self) -> Store:
        return open_store(self.url, TABLE)

    async def run(
        self,
        *,
        dies_at: Step | None = None,
        dies_in: int = 1,
        store: Store | None = None,
        **options: Any,
    ) -> list[Any]:
        """Catch up once; die when the named step comes for the given time."""
        left = dies_in

        def on_step(step: Step, _: Any) -> None:
            nonlocal left
            self.steps.append(step)
            left -= step is dies_at
            if left == 0:
                raise Crash

        return await asyncio.to_thread(self._run, on_step, store, options)

    def _run(self, on_step: Any, store: Store | None, options: dict[str, Any]) -> list[Any]:
        store = store or self.store()
        spool = Spool(self.spool)
        try:
            with Client(self.identity) as client:
                receiver = Receiver(
                    client,
                    RESOURCE,
                    store,
                    spool,
                    from_=self.delivering.from_,  # type: ignore[arg-type]
                    purpose="registration",
                    patience=Patience(options.pop("seconds", 5)),
                    on_step=on_step,
                )
                waits = options.pop("wait_seconds", 0.0)
                return list(receiver.catch_up(**options, seconds=waits))
        finally:
            spool.close()
            store.close()

    def execute(self, statement: str) -> list[Any]:
        """Do something in the consumer's database behind our back."""
        if self.url.startswith("sqlite"):
            connection = sqlite3.connect(self.url.removeprefix("sqlite:///"))
            with connection:
                found = connection.execute(statement).fetchall()
            connection.close()
            return found
        with psycopg.connect(self.url) as database:
            cursor = database.execute(statement)  # type: ignore[call-overload]
            return cursor.fetchall() if cursor.description else []

    def rows(self) -> list[Any]:
        return self.execute(f"SELECT code, name FROM {TABLE} ORDER BY code")


@pytest.fixture
def delivering(double: Any, sending: Any) -> Delivering:
    """The platform's side, answering every path of data."""
    made = Delivering()

    async def handler(received: Any) -> Any:
        status, body, headers, cut = made.answer(received)
        return sending(status, body, headers, cut)

    class Paths(dict[str, Any]):
        def __missing__(self, path: str) -> Any:
            return handler

    double.handlers = Paths(double.handlers)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def consumer(
    request: pytest.FixtureRequest,
    delivering: Delivering,
    double: Any,
    place: Any,
    create_database: Callable[[], str],
) -> Consumer:
    """A consumer with an empty database of either kind."""
    url = (
        create_database()
        if request.param == "postgresql"
        else f"sqlite:///{place.folder / 'own.db'}"
    )
    return Consumer(delivering, double, place.identity(double), url, place.folder / "spool")


async def test_a_table_and_its_changes_arrive_and_both_sides_agree(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    delivering.change(row("6", "新增"), row("1", "改名"), delete=["2"])

    received = await consumer.run()

    assert [made.state for made in delivering.made] == ["agreed", "agreed"]
    assert [entry.kind for entry in received] == ["table", "changes"]
    assert received[1].consumer == delivering.made[1].figures
    assert [code for code, _ in consumer.rows()] == ["1", "3", "4", "5", "6"]
    assert delivering.subscribed == 1
    assert list(consumer.spool.glob("*/*.arrow")) == []


async def test_the_next_run_goes_on_where_the_last_one_ended(consumer: Consumer) -> None:
    consumer.delivering.table(TRICKY)
    await consumer.run()
    consumer.delivering.change(row("9"))

    assert [entry.sequence for entry in await consumer.run()] == [2]
    assert await consumer.run() == []
    assert consumer.delivering.subscribed == 1


async def test_a_delivery_that_is_about_to_come_can_be_waited_for(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()

    async def make_one_once_it_is_waited_for() -> None:
        async with asyncio.timeout(10):
            while Step.WAITING not in consumer.steps:
                await asyncio.sleep(0.01)
        delivering.change(row("9"))

    consumer.steps.clear()
    received, _ = await asyncio.gather(
        consumer.run(wait_seconds=10.0), make_one_once_it_is_waited_for()
    )

    assert [entry.sequence for entry in received] == [2]
    assert await consumer.run(wait_seconds=0.1) == []


KILLS = [
    (step, time)
    for step in (Step.FOUND, Step.DOWNLOADED, Step.APPLIED, Step.COMMITTED, Step.READ)
    for time in (1, 2, 3)
] + [(Step.RECEIPTED, 1), (Step.RECEIPTED, 2)]


@pytest.mark.parametrize(("step", "time"), KILLS)
async def test_nothing_is_lost_or_doubled_wherever_it_dies(
    consumer: Consumer, step: Step, time: int
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    delivering.change(row("6"), row("1", "改名"), delete=["2"])
    delivering.change(row("6", "又改名"), row("7"), delete=["3"])

    with pytest.raises(Crash):
        await consumer.run(dies_at=step, dies_in=time)
    await consumer.run()

    assert [made.state for made in delivering.made] == ["agreed"] * 3
    assert all(len({str(receipt) for receipt in made.receipts}) == 1 for made in delivering.made)
    assert [code for code, _ in consumer.rows()] == ["1", "4", "5", "6", "7"]


async def test_a_changed_row_shows_at_the_next_receipt_and_is_repaired_by_renewal(
    consumer: Consumer,
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    consumer.execute(f"UPDATE {TABLE} SET name = 'x' WHERE code = '3'")
    delivering.change(row("8"))

    (received,) = await consumer.run()

    assert received.state == "differs"
    assert received.platform["digest"] != received.consumer["digest"]
    assert received.platform["rows"] == received.consumer["rows"] == 6
    renewed = await consumer.run(renew=True)
    assert [entry.state for entry in renewed] == ["agreed"]
    assert delivering.renewals == 1


async def test_an_update_whose_row_is_gone_counts_as_added(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    consumer.execute(f"DELETE FROM {TABLE} WHERE code = '1'")
    delivering.change(row("1", "改名"))

    (received,) = await consumer.run()

    assert received.state == "differs"
    assert (received.consumer["added"], received.consumer["updated"]) == (1, 0)
    assert received.consumer["digest"] == delivering.made[1].figures["digest"]


async def test_from_now_on_only_what_was_delivered_is_compared(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.from_ = "now"
    delivering.rows = {str(known["code"]): known for known in TRICKY}
    delivering.change(row("6"), row("1", "改名"), delete=["2"])
    delivering.change(row("6", "又改名"))

    with pytest.raises(Crash):
        await consumer.run(dies_at=Step.COMMITTED)
    await consumer.run()

    assert [made.state for made in delivering.made] == ["agreed", "agreed"]
    assert [code for code, _ in consumer.rows()] == ["1", "6"]


async def test_from_now_on_a_changed_row_shows_too(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.from_ = "now"
    delivering.change(row("6"), row("7"))
    with pytest.raises(Crash):
        await consumer.run(dies_at=Step.COMMITTED)
    consumer.execute(f"UPDATE {TABLE} SET name = 'x' WHERE code = '6'")

    assert [entry.state for entry in await consumer.run()] == ["differs"]


async def test_a_broken_download_goes_on_where_it_broke(consumer: Consumer) -> None:
    delivering = consumer.delivering
    made = delivering.table([row("1", secrets.token_hex(400_000))])
    delivering.cuts = [100_000, 100]

    await consumer.run()

    first, second, third = (
        received.headers.get("range")
        for received in consumer.double.received
        if "/segments/" in received.path
    )
    assert first is None
    assert second in (f"bytes={full}-" for full in range(65_536, 400_000, 65_536))
    assert third >= second
    assert made.state == "agreed"


async def test_other_bytes_than_the_listed_ones_are_not_applied(consumer: Consumer) -> None:
    made = consumer.delivering.table(TRICKY)
    made.segments[0] = made.segments[1]

    with pytest.raises(Exception, match="is not the one that the platform listed"):
        await consumer.run()

    assert consumer.rows() == []


async def test_what_passes_is_waited_out_and_what_does_not_is_raised(consumer: Consumer) -> None:
    consumer.delivering.table(TRICKY)
    consumer.delivering.problems = ["service-unavailable"] * 3

    await consumer.run()

    consumer.delivering.problems = ["service-unavailable"] * 99
    with pytest.raises(Refused, match="service-unavailable"):
        await consumer.run(seconds=0)


async def test_a_platform_that_is_away_ends_the_run_when_patience_is_over(
    consumer: Consumer,
) -> None:
    consumer.double.hangs_up_at_once = True

    with pytest.raises(Unreachable):
        await consumer.run(seconds=0)


async def test_a_table_that_does_not_fit_is_refused_with_all_reasons(consumer: Consumer) -> None:
    consumer.execute(f"CREATE TABLE {TABLE} (code text, level text, extra text)")
    consumer.delivering.table(TRICKY)

    with pytest.raises(TableUnfit) as caught:
        await consumer.run()

    assert "the column name is missing" in str(caught.value)
    assert "the column extra is not delivered" in str(caught.value)
    assert "level is text, not bigint" in str(caught.value) or "not INTEGER" in str(caught.value)


async def test_rows_of_others_are_never_replaced(consumer: Consumer) -> None:
    consumer.delivering.table(TRICKY)
    await consumer.run()
    consumer.execute("DROP TABLE datong_cursor")

    with pytest.raises(TableUnfit, match="holds rows that do not come from here"):
        await consumer.run()


async def test_a_view_is_no_table(consumer: Consumer) -> None:
    consumer.execute(f"CREATE VIEW {TABLE} AS SELECT '1' AS code")

    with pytest.raises(TableUnfit, match="it is no table"):
        await consumer.run()


async def test_the_table_follows_a_change_of_the_layout(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    delivering.change(row("6"))
    delivering.items = [item("code", key=True), item("name"), item("level"), item("mayor")]
    delivering.table([{"code": "1", "name": "杭州市", "level": "市", "mayor": "甲"}])
    delivering.change({"code": "2", "name": "宁波市", "level": "市", "mayor": None})

    # The change of the old layout can still be applied: the cursor keeps its layout.
    states = [entry.state for entry in await consumer.run()]

    assert states == ["agreed"] * 3
    assert consumer.execute(f"SELECT code, mayor FROM {TABLE} ORDER BY code") == [
        ("1", "甲"),
        ("2", None),
    ]


async def test_another_subscription_with_other_items_may_die_before_its_table_comes(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    monkeypatch.setattr("tests.support.delivering.SUBSCRIPTION", SUBSCRIPTION[:-1] + "f")
    delivering.made.clear()
    delivering.items = [item("code", key=True), item("mayor")]
    delivering.table([{"code": "1", "mayor": "甲"}])
    for _ in range(2):
        with pytest.raises(Crash):
            await consumer.run(dies_at=Step.FOUND)

    assert [entry.state for entry in await consumer.run()] == ["agreed"]
    assert consumer.execute(f"SELECT code, mayor FROM {TABLE}") == [("1", "甲")]


async def test_a_layout_that_has_gone_is_passed_over(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    delivering.items = [item("code", key=True), item("mayor")]
    delivering.table([{"code": "1", "mayor": "甲"}])
    delivering.change({"code": "2", "mayor": "乙"})
    delivering.items = [item("code", key=True), item("level")]
    delivering.table([{"code": "3", "level": "丙"}])

    (received,) = await consumer.run()

    assert (received.sequence, received.state) == (4, "agreed")
    assert consumer.steps.count(Step.PASSED_OVER) == 1
    assert [made.state for made in delivering.made] == ["agreed", None, None, "agreed"]


async def test_what_is_granted_no_more_is_removed_by_the_table_that_comes_next(
    consumer: Consumer,
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    delivering.change(row("6"))
    delivering.items = [item("code", key=True), item("name"), item("founded")]
    delivering.table([{"code": "1", "name": "杭**", "founded": "1949"}])
    delivering.outdated = 2
    delivering.change({"code": "2", "name": "宁**", "founded": "1950"})

    received = await consumer.run()

    assert [(entry.sequence, entry.state) for entry in received] == [(3, "agreed"), (4, "agreed")]
    assert consumer.steps.count(Step.PASSED_OVER) == 1
    assert consumer.execute(f"SELECT code, name, founded FROM {TABLE} ORDER BY code") == [
        ("1", "杭**", "1949"),
        ("2", "宁**", "1950"),
    ]


@pytest.mark.parametrize("dies_at", [Step.COMMITTED, Step.READ])
async def test_a_receipt_of_what_is_granted_no_more_is_let_go(
    consumer: Consumer, dies_at: Step
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    with pytest.raises(Crash):
        await consumer.run(dies_at=dies_at)
    delivering.outdated = 1
    delivering.items = [item("code", key=True), item("founded")]
    delivering.table([{"code": "1", "founded": "1949"}])

    (received,) = await consumer.run()

    assert (received.sequence, received.state) == (2, "agreed")
    assert delivering.made[0].state is None


async def test_the_key_may_change_with_the_layout(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    await consumer.run()
    delivering.items = [item("code"), item("name", key=True)]
    delivering.table([{"code": None, "name": "b"}, {"code": "1", "name": "a"}])

    assert [entry.state for entry in await consumer.run()] == ["agreed"]


async def test_two_receivers_on_one_table_do_not_both_apply(consumer: Consumer) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY)
    for number in range(8):
        delivering.change(row(f"1{number}"), row("1", f"第{number}"))

    await asyncio.gather(consumer.run(), consumer.run(), consumer.run())

    assert [made.state for made in delivering.made] == ["agreed"] * 9
    assert consumer.steps.count(Step.COMMITTED) == 9


async def test_a_lost_receipt_table_is_kept_for_one_resource(consumer: Consumer) -> None:
    store = consumer.store()
    store.prepare("other", SUBSCRIPTION, read_items(ITEMS), from_beginning=True)
    store.close()

    with pytest.raises(TableUnfit, match="kept for the resource other"):
        await consumer.run()


async def test_an_empty_table_agrees(consumer: Consumer) -> None:
    made = consumer.delivering.table([])

    await consumer.run()

    assert made.state == "agreed"
    assert made.figures["digest"] == "0" * 64


async def test_a_receipt_that_the_platform_holds_otherwise_does_not_block_what_follows(
    consumer: Consumer,
) -> None:
    delivering = consumer.delivering
    delivering.table(TRICKY).receipts.append({"rows": 0})
    delivering.change(row("6"))

    states = [(entry.state, entry.platform is None) for entry in await consumer.run()]

    assert states == [("differs", True), ("agreed", False)]


async def test_a_database_that_is_away_is_told_apart(
    delivering: Delivering, double: Any, place: Any
) -> None:
    url = "postgresql://nobody:secret@127.0.0.1:1/nothing"
    consumer = Consumer(delivering, double, place.identity(double), url, place.folder / "spool")

    with pytest.raises(StoreUnavailable) as caught:
        await consumer.run(seconds=0)

    assert "secret" not in str(caught.value)
