"""Reading: one prepared statement per query, on connections of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import asyncpg
import orjson

from services.exchange.transfer.domain import Item, Layout, Place, Plan
from services.exchange.transfer.domain.filters import Test
from services.exchange.transfer.store.conditions import arguments, conditions, hidden, value
from services.exchange.transfer.store.tables import (
    READ,
    canonical_text,
    column,
    from_json,
    qualified,
)

STATEMENT_SECONDS: Final = 3
ACQUIRE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where the rows of an entry lie, and by which items."""

    table: str
    layout: Layout


class TableReplaced(Exception):
    """The table was replaced by a newer batch: look the dataset up again."""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of one page.

    Attributes:
        rows: values in the order of the plan's columns.
        position: where the page ended, when there is another one.
    """

    rows: list[tuple[Any, ...]]
    position: list[str | int | bool] | None


class RowReader:
    """Reads datasets over a pool of raw connections; opened at first use.

    Where the rows of an entry lie is remembered. A table that was replaced is noticed because
    the remembered table is gone then.
    """

    def __init__(self, url: str, *, size: int = 8) -> None:
        self._url = url
        self._size = size
        self._pool: Any = None
        self._opening = asyncio.Lock()
        self._datasets: dict[str, Dataset] = {}

    async def dataset(self, entry: str) -> Dataset | None:
        """Return where the rows of an entry lie, or None when there are none yet."""
        known = self._datasets.get(entry)
        if known is not None:
            return known
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "SELECT table_name, items FROM dataset WHERE entry = $1", entry
            )
        if row is None:
            return None
        found = Dataset(row["table_name"], from_json(orjson.loads(row["items"])))
        self._datasets[entry] = found
        return found

    def forget(self, entry: str) -> None:
        """Look the dataset of an entry up again at its next use."""
        self._datasets.pop(entry, None)

    async def select(
        self, table: str, plan: Plan, order: tuple[bytes, bytes], *, single: bool
    ) -> Found:
        """Return the rows that `plan` asks for, whose masked values are yet to be masked.

        Args:
            order: the key that hides how rows are ordered.
            single: at most one row can match, so there is no next page.

        Raises:
            TableReplaced: the table is gone.
        """
        shape = Shape(
            table,
            tuple((item, item.name in plan.masks) for item in plan.columns),
            tuple((item, text is None) for item, text in plan.match),
            tuple(map(_shape, plan.tests)),
            plan.order,
            plan.after is not None,
        )
        values: list[Any] = [text for _, text in plan.match if text is not None]
        values += [*arguments(plan.tests), *(plan.after or ())]
        if any(place.hidden for place in plan.order):
            values += order
        limit = plan.limit if single else plan.limit + 1
        try:
            async with self._connection() as connection:
                records = await connection.fetch(_statement(shape), limit, *values)
        except asyncpg.UndefinedTableError as error:
            raise TableReplaced(table) from error
        width = len(plan.columns)
        more = not single and len(records) > plan.limit
        rows = [tuple(record)[:width] for record in records[: plan.limit]]
        return Found(rows, list(records[plan.limit - 1])[width:] if more else None)

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        pool = self._pool if self._pool is not None else await self._open()
        async with pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
            yield connection

    async def _open(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=self._size,
                    timeout=5,
                    reset=_keep,
                    server_settings={
                        "application_name": "datong-transfer-query",
                        "timezone": "UTC",
                        "statement_timeout": str(STATEMENT_SECONDS * 1000),
                        "default_transaction_read_only": "on",
                    },
                )
        return self._pool


async def _keep(_connection: Any) -> None:
    """Leave a connection as it is.

    Nothing here changes its session, and a reset costs a round trip per query.
    """


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the SQL of a query; its values are parameters.

    Attributes:
        columns: and whether each is masked.
        match: and whether "no value" is meant.
        tests: without their values.
        after: a position is given.
    """

    table: str
    columns: tuple[tuple[Item, bool], ...]
    match: tuple[tuple[Item, bool], ...]
    tests: tuple[Test, ...]
    order: tuple[Place, ...]
    after: bool


def _shape(test: Test) -> Test:
    """Return a test of the same SQL, whatever its values."""
    ends = ("" if end is not None else None for end in (test.low, test.high))
    return Test(test.item, None if test.values is None else (), *ends)


@lru_cache(maxsize=4096)
def _statement(shape: Shape) -> str:
    """Return the SQL of a query.

    Parameters: the limit, values to match, values of tests, a position, the key of the order.
    Values travel as texts and are cast, so that one code path serves all types.
    """
    placed = 1
    clauses = []
    for item, is_null in shape.match:
        if is_null:
            clauses.append(f"{column(item)} IS NULL")
        else:
            placed += 1
            clauses.append(f"{column(item)} = {value(placed, item.type)}")
    clauses += conditions(shape.tests, placed + 1)
    placed += len(arguments(shape.tests))
    first = placed + 1
    placed += len(shape.order) if shape.after else 0
    key = (f"${placed + 1}::bytea", f"${placed + 2}::bytea")
    places = [
        hidden(place.items, *key) if place.hidden else column(place.items[0])
        for place in shape.order
    ]
    if shape.after:
        position = [
            f"decode(${number}::text, 'hex')"
            if place.hidden
            else value(number, place.items[0].type)
            for number, place in enumerate(shape.order, first)
        ]
        clauses.append(f"({', '.join(places)}) > ({', '.join(position)})")
    where = f" WHERE {' AND '.join(clauses)}" if clauses else ""
    told = [
        f"encode({sql}, 'hex')" if place.hidden else _read(place.items[0])
        for sql, place in zip(places, shape.order, strict=True)
    ]
    columns = [
        f"{canonical_text(item)}::text" if masked else _read(item) for item, masked in shape.columns
    ]
    return (
        f"SELECT {', '.join([*columns, *told])} FROM {qualified(shape.table)}"  # noqa: S608 - quoted names only
        f"{where} ORDER BY {', '.join(places)} LIMIT $1"
    )


def _read(item: Item) -> str:
    return READ.get(item.type, "{}").format(column(item))
