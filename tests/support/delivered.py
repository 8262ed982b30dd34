"""What owner, platform and consumers hold after a run, compared with what the owner published."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.support.register import ITEMS, NAMES, Key, Register, Row

FACTS = "transfer.change.v1"
_CANONICAL = {
    "text": "{0}::text",
    "integer": "{0}::text",
    "decimal": "trim_scale({0}::text::numeric)::text",
    "boolean": "{0}::text::boolean::text",
    "date": "{0}::text",
    "datetime": """to_char({0}::text::timestamptz, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
}
"""SQL that makes a canonical text of a column, be it of the item's type or a text already."""


@dataclass(frozen=True)
class Table:
    """Rows of one table by their key, and the SHA-256 of their dump in the order of the key."""

    rows: dict[Key, Row]
    doubles: int
    digest: str


@dataclass(frozen=True)
class Consumer:
    """One receiving system: its name, its database's URL, its table and its items."""

    name: str
    url: str
    table: str
    items: Sequence[str]


async def read_table(
    url: str, table: str, items: Sequence[str], columns: Mapping[str, str] | None = None
) -> Table:
    """Read a whole table as canonical texts.

    Args:
        table: name as SQL writes it.
        columns: column of an item where that has another name.
    """
    types = {item["name"]: item["type"] for item in ITEMS}
    wanted = [
        _CANONICAL[types[name]].format(f'"{(columns or {}).get(name, name)}"') for name in items
    ]
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        found = await connection.fetch(f"SELECT {', '.join(wanted)} FROM {table}")
    finally:
        await connection.close()
    return _as_table(items, (tuple(row) for row in found))


def expected(register: Register, items: Sequence[str]) -> Table:
    """Return the projection of the owner's table as it must be."""
    return _as_table(items, (tuple(row[name] for name in items) for row in register.rows.values()))


def _as_table(items: Sequence[str], values: Iterable[tuple[str | None, ...]]) -> Table:
    lines = [dict(zip(items, row, strict=True)) for row in values]
    rows = {(str(row["number"]), int(str(row["line"]))): row for row in lines}
    dump = sha256()
    for key in sorted(rows):
        dump.update(json.dumps(rows[key], ensure_ascii=False).encode() + b"\n")
    return Table(rows, len(lines) - len(rows), dump.hexdigest())


class Inspection:
    """Collects what is wrong after a run; nothing is, when `problems` stays empty.

    Args:
        transfer_url: of transfer's database.
    """

    def __init__(self, transfer_url: str, resource: str, register: Register) -> None:
        self._url = transfer_url
        self._resource = resource
        self._register = register
        self.problems: list[str] = []

    async def tables(self, consumers: Sequence[Consumer]) -> None:
        """Every table equals what was published."""
        stored = await read_table(
            self._url,
            f'rows."{await self._of_dataset("table_name")}"',
            NAMES,
            {n: f"i_{n}" for n in NAMES},
        )
        self._compare("owner's table", stored, expected(self._register, NAMES))
        for consumer in consumers:
            held = await read_table(consumer.url, consumer.table, consumer.items)
            self._compare(
                f"{consumer.name}'s table", held, expected(self._register, consumer.items)
            )

    async def batches(self) -> None:
        """Each publication became effective once, in order, with the counts that it must have."""
        found = await self._fetch(
            "SELECT mode, rows, quarantined, added, updated, deleted, version, table_rows"
            " FROM batch WHERE resource = $1 AND state = 'effective' ORDER BY version",
            self._resource,
        )
        wanted = [
            (b.mode, b.rows, 0, b.added, b.updated, b.deleted, number, b.table)
            for number, b in enumerate(self._register.batches, 1)
        ]
        self._same("effective batches", [tuple(row) for row in found], wanted)
        others = await self._fetch(
            "SELECT id, state FROM batch WHERE resource = $1 AND state <> 'effective'",
            self._resource,
        )
        self._same("batches that are not effective", [tuple(row) for row in others], [])

    async def leftovers(self) -> None:
        """No work is left, and no table that no dataset has; of all resources."""
        self._same("work left", [dict(row) for row in await self._fetch("TABLE work")], [])
        kept = await self._fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'rows'")
        wanted = await self._fetch("SELECT table_name FROM dataset")
        self._same("tables", sorted(row[0] for row in kept), sorted(row[0] for row in wanted))

    async def deliveries(self) -> None:
        """Each version was delivered once to each, without a gap, and its receipt agrees."""
        version = await self._of_dataset("version")
        for (subscription,) in await self._fetch(
            "SELECT id FROM subscription WHERE resource = $1", self._resource
        ):
            found = await self._fetch(
                "SELECT sequence, kind, version, receipt_state, receipt FROM delivery"
                " WHERE subscription = $1 ORDER BY sequence",
                subscription,
            )
            about = f"subscription {subscription}: "
            self._same(
                about + "sequences", [row["sequence"] for row in found], range(1, len(found) + 1)
            )
            self._same(
                about + "kinds after the first", {row["kind"] for row in found[1:]}, {"changes"}
            )
            steps = {after["version"] - before["version"] for before, after in pairwise(found)}
            self._same(about + "steps of version", steps, {1})
            self._same(about + "last version", found[-1]["version"] if found else None, version)
            for row in found:
                if row["receipt_state"] != "agreed":
                    state = f"delivery {row['sequence']} is {row['receipt_state']}"
                    self.problems.append(f"{about}{state}: {row['receipt']}")

    async def facts(self, bootstrap: str) -> None:
        """Each fact was told once: as many as there are batches, deliveries, receipts; of all."""
        told = await _facts(bootstrap)
        kinds = Counter((fact["type"].split(".")[1], fact["subject"]) for fact in told)
        twice = [kind for kind, times in kinds.items() if times > 1]
        self._same("facts told twice", twice, [])
        self._same("incarnations", len({fact["incarnation"] for fact in told}), 1)
        numbers = [fact["sequence"] for fact in told]
        self._same("sequences of facts", numbers, list(range(1, len(told) + 1)))
        count = Counter(kind for kind, _ in kinds)
        for kind, table, condition in (
            ("batch-effective", "batch", "state = 'effective'"),
            ("delivery-made", "delivery", "true"),
            ("receipt-agreed", "delivery", "receipt_state = 'agreed'"),
            ("reconciliation-differs", "delivery", "receipt_state = 'differs'"),
        ):
            rows = await self._fetch(f"SELECT count(*) FROM {table} WHERE {condition}")
            self._same(f"facts {kind}", count[kind], rows[0][0])

    async def objects(self, directory: Path) -> None:
        """The folder holds exactly the objects that rows name, each with the bytes of its name."""
        named = await self._fetch(
            "SELECT object FROM chunk UNION SELECT object FROM effect_segment"
            " UNION SELECT object FROM projected_segment"
        )
        files = [file for file in (directory / "segments").rglob("*") if file.is_file()]
        names = {row[0].rpartition("/")[2] for row in named}
        left = [file.name for file in (directory / "incoming").glob("*")]
        self._same("files that never became objects", left, [])
        self._same(
            "orphan objects", sorted(file.name for file in files if file.name not in names), []
        )
        self._same("lost objects", sorted(names - {file.name for file in files}), [])
        for file in files:
            self._same("digest of an object", sha256(file.read_bytes()).hexdigest(), file.name)

    async def _of_dataset(self, column: str) -> Any:
        query = f"SELECT {column} FROM dataset WHERE resource = $1"
        return (await self._fetch(query, self._resource))[0][0]

    def _compare(self, what: str, found: Table, wanted: Table) -> None:
        if found.doubles:
            self.problems.append(f"{what}: {found.doubles} rows are there twice")
        if found.digest == wanted.digest:
            return
        lost = wanted.rows.keys() - found.rows.keys()
        extra = found.rows.keys() - wanted.rows.keys()
        other = [
            k for k in wanted.rows.keys() & found.rows.keys() if wanted.rows[k] != found.rows[k]
        ]
        shown = [(wanted.rows[key], found.rows[key]) for key in other[:1]]
        self.problems.append(
            f"{what}: {len(lost)} rows lost, {len(extra)} too many, {len(other)} differ {shown}"
        )

    def _same(self, what: str, found: Any, wanted: Any) -> None:
        if isinstance(wanted, range):
            wanted = list(wanted)
        if found != wanted:
            self.problems.append(f"{what}: {_short(found)} instead of {_short(wanted)}")

    async def _fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self._url)
        try:
            rows: list[asyncpg.Record] = await connection.fetch(query, *values)
            return rows
        finally:
            await connection.close()


async def _facts(bootstrap: str) -> list[dict[str, Any]]:
    """Read the whole fact topic of transfer, committed events only.

    A relay that was killed sends again what it may have sent before, as the same event: readers
    know it by its id.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        partition = TopicPartition(FACTS, 0)
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        await consumer.seek_to_beginning(partition)
        found: dict[str, dict[str, Any]] = {}
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                for fact in (json.loads(record.value) for record in records):
                    assert found.setdefault(fact["id"], fact) == fact
        return list(found.values())
    finally:
        await consumer.stop()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 1500 else text[:1500] + "…"
