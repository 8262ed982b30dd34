"""Queries, tables and changes show the same of the same rows, whatever the filter and the masks.

One reading in PostgreSQL, two in Arrow, and a fourth here, value by value.
"""

import asyncio
import hmac
from base64 import b32encode
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from kit.db import Db
from kit.ids import uuid7
from kit.migrate import upgrade
from services.exchange.transfer.actions import queries
from services.exchange.transfer.domain import (
    Condition,
    CopyReader,
    Entry,
    Grant,
    Item,
    ItemType,
    Layout,
    Mask,
    Query,
    sight_of,
    view_of,
)
from services.exchange.transfer.domain.effects import effect_names, project
from services.exchange.transfer.domain.values import CANONICAL
from services.exchange.transfer.models import DatasetRow
from services.exchange.transfer.store import RowReader, projections
from services.exchange.transfer.store.tables import TYPES, column, new_table, qualified, to_json
from tests.integration.transfer.seeing import AGENCY, KEYS

Row = tuple[str | None, ...]

VALUES: dict[ItemType, list[str]] = {
    ItemType.TEXT: [
        "",
        "张",
        "李四",
        "欧阳修",
        "𠮷野家",
        "买买提·艾力",
        "Ann O'Neil",
        "e\u0301a",
        "a\nb",
        '"\\,$1',
        "Z",
        "é",
        "33010619900102001X",
        "330106900102001",
        "33010690010200",
        "13812345678",
        "0571-88888888",
        "+8613812345678",
        "长" * 3000,
    ],
    ItemType.INTEGER: ["-9007199254740991", "-10", "-9", "0", "2", "10", "9007199254740991"],
    ItemType.DECIMAL: [
        "-" + "9" * 38,
        "-0.25",
        "0",
        "0." + "0" * 36 + "1",
        "0.1",
        "9.99",
        "10",
        "9" * 38,
    ],
    ItemType.BOOLEAN: ["true", "false"],
    ItemType.DATE: ["0001-01-01", "0999-12-31", "1949-10-01", "2026-11-24", "9999-12-31"],
    ItemType.DATETIME: [
        "0001-01-01T00:00:00.000000Z",
        "1969-12-31T23:59:59.999999Z",
        "2026-11-23T16:00:00.000000Z",
        "2026-11-23T16:00:00.000001Z",
        "9999-12-31T23:59:59.999999Z",
    ],
}
STRAY = ["01", "1.0", "-0", "TRUE", "2026-1-2", "2026-11-24T00:00:00+08:00", "', 1); --"]
"""Texts that are no canonical values of any type but text."""

KEY = Item("number", ItemType.INTEGER, required=True, key=True, filterable=True)
ALL = Item("all", ItemType.TEXT, required=True, key=False, filterable=True)
VALUED = tuple(
    Item(f"a_{kind.value}", kind, required=False, key=False, filterable=True) for kind in ItemType
)
ITEMS = (KEY, *VALUED)
NAMES = tuple(item.name for item in ITEMS)
LAYOUT = Layout((*ITEMS, ALL))
ENTRY = Entry(uuid7(), 1, "people", "police", "published", LAYOUT)
COUNT = max(map(len, VALUES.values())) + 1


def nth(item: Item, number: int) -> str | None:
    """The value of a row; each value comes, and no value."""
    known = [*VALUES[item.type], None]
    return known[number % len(known)]


ROWS: list[Row] = [(str(n), *(nth(item, n) for item in VALUED)) for n in range(COUNT)]


@st.composite
def condition(draw: st.DrawFn, item: Item) -> Condition:
    """A condition as a grant may carry it; it need not fit the item any more."""
    values = [str(n) for n in range(COUNT)] if item.key else VALUES[item.type]
    ends = st.none() | st.sampled_from(values)
    low, high = draw(ends), draw(ends)
    if item.type in (ItemType.TEXT, ItemType.BOOLEAN) or draw(st.booleans()) or low is high:
        chosen = draw(st.sets(st.sampled_from([*values, *STRAY]), min_size=1))
        return Condition(item.name, tuple(chosen))
    return Condition(item.name, None, low, high)


@st.composite
def grants(draw: st.DrawFn) -> Grant:
    """A grant of all items with some conditions and masks, also ones that do not fit the type."""
    tested = draw(st.lists(st.sampled_from(ITEMS), unique=True, max_size=3))
    masked = draw(st.dictionaries(st.sampled_from(VALUED), st.sampled_from(Mask), max_size=4))
    masks = {item.name: by for item, by in masked.items()}
    if draw(st.booleans()):
        masks[KEY.name] = Mask.PSEUDONYM
    return Grant(
        id=ENTRY.id,
        version=1,
        resource=ENTRY.resource,
        entry=ENTRY.id,
        entry_version=1,
        systems=frozenset(),
        items=frozenset({*NAMES, ALL.name}),
        modes=frozenset({"query", "batch"}),
        purposes=frozenset(),
        valid_from=None,
        valid_until=None,
        state="active",
        consumer=AGENCY,
        row_filter=tuple(draw(condition(i)) for i in sorted(tested, key=lambda i: i.name)),
        masks=masks,
    )


def seen(row: Row, grant: Grant) -> Row | None:
    """What a grant lets be seen of a row; None when it does not cover it."""
    values = dict(zip(ITEMS, row, strict=True))
    by_name = {item.name: item for item in ITEMS}
    for test in grant.row_filter:
        item = by_name[test.item]
        if not meets(test, item.type, values[item]):
            return None
    return tuple(shown(item.type, grant.masks.get(item.name), v) for item, v in values.items())


def meets(test: Condition, kind: ItemType, value: str | None) -> bool:
    if value is None:
        return False
    if test.values is not None:
        return value in test.values
    of: Any = Decimal if kind in (ItemType.INTEGER, ItemType.DECIMAL) else str
    return (test.low is None or of(test.low) <= of(value)) and (
        test.high is None or of(value) < of(test.high)
    )


def shown(kind: ItemType, by: Mask | None, value: str | None) -> str | None:
    if by is None or value is None:
        return value
    if by is Mask.PSEUDONYM:
        hashed = hmac.digest(KEYS.pseudonyms(AGENCY), value.encode(), "sha256")
        return b32encode(hashed).decode().lower()[:26]
    if by is Mask.YEAR:
        return value[:4] if kind is ItemType.DATE else None
    if kind is not ItemType.TEXT:
        return None
    first, last, least = {
        Mask.NAME: (1, 0, 2),
        Mask.ID_NUMBER: (6, 2, 15),
        Mask.MOBILE: (3, 4, 11),
    }[by]
    if len(value) < least:
        return "*" * len(value)
    end = value[len(value) - last :]
    return value[:first] + "*" * (len(value) - first - last) + end


@dataclass
class Place:
    """A dataset with these rows, and what reads it."""

    loop: asyncio.AbstractEventLoop
    db: Db
    reader: RowReader

    def queried(self, grant: Grant) -> list[Row]:
        """What a query answers, page by page, as canonical texts."""
        found: list[Row] = []
        cursor = None
        kinds = [ItemType.TEXT if i.name in grant.masks else i.type for i in ITEMS]
        while True:
            asked = Query(False, {ALL.name: "x"}, NAMES, limit=7, cursor=cursor)
            page = self.run(queries.answer(self.reader, ENTRY, grant, asked, KEYS))
            answer = orjson.loads(page.body)
            for row in answer["rows"]:
                values = zip(kinds, row.values(), strict=True)
                found.append(tuple(None if v is None else CANONICAL[k](v) for k, v in values))
            cursor = answer["next"]
            if cursor is None:
                return found

    def delivered(self, grant: Grant) -> list[Row]:
        """What the delivery of the whole table holds."""
        found: list[Row] = self.run(self._delivered(grant))
        return found

    async def _delivered(self, grant: Grant) -> list[Row]:
        sight = sight_of(view_of(NAMES, grant), LAYOUT, KEYS)
        reader = CopyReader([item.name for item in sight.items])
        pieces = bytearray()

        async def take(data: bytes) -> None:
            pieces.extend(data)

        async with projections.snapshot_of(self.db, ENTRY.id) as (tx, snapshot):
            order = KEYS.order(AGENCY) if sight.hides_key else None
            await projections.copy_out(tx, snapshot, sight, order, take)
        tables = [*reader.feed(bytes(pieces)), *reader.close()]
        return [row for table in tables for row in lines(sight.show(table))]

    def run(self, awaited: Any) -> Any:
        """Run to the end."""
        return self.loop.run_until_complete(awaited)


def lines(table: Any) -> list[Row]:
    """The rows of a table."""
    return list(zip(*(each.to_pylist() for each in table.columns), strict=True))


@pytest.fixture
def place(database_url: str) -> Iterator[Place]:
    loop = asyncio.new_event_loop()
    db, reader, name = Db(database_url, "transfer"), RowReader(database_url), new_table()

    async def fill() -> None:
        await upgrade(database_url, "services.exchange.transfer")
        columns = [f"{column(item)} {TYPES[item.type]}" for item in LAYOUT.items]
        collated = ' COLLATE "C"'
        casts = [
            f"CAST(CAST(:v{n} AS text) AS {TYPES[item.type].removesuffix(collated)})"
            for n, item in enumerate(LAYOUT.items)
        ]
        async with db.begin() as tx:
            connection = await tx.connection()
            await connection.execute(text(f"CREATE TABLE {qualified(name)} ({', '.join(columns)})"))
            put = text(f"INSERT INTO {qualified(name)} VALUES ({', '.join(casts)})")
            await connection.execute(
                put, [{f"v{n}": v for n, v in enumerate((*row, "x"))} for row in ROWS]
            )
            tx.add(
                DatasetRow(
                    entry=ENTRY.id,
                    resource=ENTRY.resource,
                    agency=ENTRY.agency,
                    entry_version=1,
                    table_name=name,
                    items=to_json(LAYOUT),
                    version=1,
                    rows=len(ROWS),
                    digest="0" * 64,
                    updated_at=datetime.now(UTC),
                )
            )

    loop.run_until_complete(fill())
    yield Place(loop, db, reader)
    loop.run_until_complete(reader.close())
    loop.run_until_complete(db.dispose())
    loop.close()


def effects(pairs: Sequence[tuple[Row | None, Row | None]]) -> Any:
    """A table of effects: rows before and after."""
    nothing = (None,) * len(ITEMS)
    made = [
        ("added" if old is None else "deleted" if new is None else "updated",)
        + (old or nothing)
        + (new or nothing)
        for old, new in pairs
    ]
    arrays = [pa.array(each, pa.utf8()) for each in zip(*made, strict=True)]
    return pa.Table.from_arrays(arrays, names=effect_names(ITEMS))


def told(old: Row | None, new: Row | None) -> Row | None:
    """What is delivered of a change that is seen so; None when nothing is."""
    if old == new:
        return None
    if new is None:
        assert old is not None
        return ("deleted", old[0], *(None for _ in VALUED))
    return ("added" if old is None else "updated", *new)


def test_queries_tables_and_changes_show_the_same(place: Place, long_form: bool) -> None:
    @settings(
        max_examples=1000 if long_form else 60,
        deadline=None,
        derandomize=not long_form,
        suppress_health_check=list(HealthCheck),
    )
    @given(grant=grants(), shift=st.integers(1, COUNT - 1))
    def check(grant: Grant, shift: int) -> None:
        expected = Counter(each for row in ROWS if (each := seen(row, grant)) is not None)
        assert Counter(place.queried(grant)) == expected
        assert Counter(place.delivered(grant)) == expected

        sight = sight_of(view_of(NAMES, grant), LAYOUT, KEYS)
        added = project(effects([(None, row) for row in ROWS]), sight)
        assert Counter(row[1:] for row in lines(added.table)) == expected

        # Each row takes the values of another one; one comes and one goes.
        moved = [(row[0], *ROWS[(n + shift) % COUNT][1:]) for n, row in enumerate(ROWS)]
        pairs = [(None, moved[0]), *zip(ROWS[1:-1], moved[1:-1], strict=True), (ROWS[-1], None)]
        changes = project(effects(pairs), sight)
        wanted = [
            told(
                None if old is None else seen(old, grant), None if new is None else seen(new, grant)
            )
            for old, new in pairs
        ]
        assert Counter(lines(changes.table)) == Counter(row for row in wanted if row is not None)

    check()
