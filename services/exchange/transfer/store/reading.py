"""Reading: one prepared statement per query, on connections of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import asyncpg
import orjson

from services.exchange.transfer.domain import Item, ItemType, Layout, Plan
from services.exchange.transfer.store.tables import (
    ARRIVAL,
    READ,
    TYPES,
    column,
    from_json,
    qualified,
    quoted,
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

    async def select(self, table: str, plan: Plan, *, single: bool) -> Found:
        """Return the rows that `plan` asks for.

        Args:
            single: at most one row can match, so there is no next page.

        Raises:
            TableReplaced: the table is gone.
        """
        statement = _statement(
            table,
            plan.columns,
            tuple((item, text is None) for item, text in plan.match),
            plan.order,
            plan.after is not None,
        )
        values = [text for _, text in plan.match if text is not None]
        limit = plan.limit if single else plan.limit + 1
        try:
            async with self._connection() as connection:
                records = await connection.fetch(statement, limit, *values, *(plan.after or ()))
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


@lru_cache(maxsize=4096)
def _statement(
    table: str,
    columns: tuple[Item, ...],
    match: tuple[tuple[Item, bool], ...],
    order: tuple[Item, ...],
    after: bool,
) -> str:
    """Return the SQL of a query; parameter 1 is the limit, then values to match, then a position.

    Values travel as text and are cast, so that one code path serves all types.
    """
    placed = 1
    conditions = []
    for item, is_null in match:
        if is_null:
            conditions.append(f"{column(item)} IS NULL")
        else:
            placed += 1
            conditions.append(f"{column(item)} = {_value(placed, item.type)}")
    keys = [column(item) for item in order] or [quoted(ARRIVAL)]
    if after:
        types = [item.type for item in order] or [ItemType.INTEGER]
        values = [_value(placed + n, kind) for n, kind in enumerate(types, 1)]
        conditions.append(f"({', '.join(keys)}) > ({', '.join(values)})")
    position = [_read(item) for item in order] or [quoted(ARRIVAL)]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return (
        f"SELECT {', '.join([*map(_read, columns), *position])} FROM {qualified(table)}"  # noqa: S608 - quoted names only
        f"{where} ORDER BY {', '.join(keys)} LIMIT $1"
    )


def _value(number: int, kind: ItemType) -> str:
    return f"${number}::text" if kind is ItemType.TEXT else f"${number}::text::{TYPES[kind]}"


def _read(item: Item) -> str:
    return READ.get(item.type, "{}").format(column(item))
