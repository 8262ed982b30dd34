"""A table that its owner changes batch by batch, and what it must be after each; made by a seed."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

ITEMS: list[dict[str, Any]] = [
    {"name": "number", "title": "户号", "type": "text", "required": True, "key": True},
    {"name": "line", "title": "行", "type": "integer", "required": True, "key": True},
    {"name": "name", "title": "姓名", "type": "text", "required": True, "max_length": 40},
    {"name": "remark", "title": "备注", "type": "text"},
    {"name": "members", "title": "人数", "type": "integer", "minimum": "0"},
    {"name": "income", "title": "收入", "type": "decimal"},
    {"name": "insured", "title": "参保", "type": "boolean", "required": True},
    {"name": "born", "title": "出生", "type": "date"},
    {"name": "seen", "title": "核对", "type": "datetime"},
]
NAMES = [item["name"] for item in ITEMS]
ENTRY: dict[str, Any] = {
    "name": "户籍登记",
    "summary": "全市户籍登记信息。",
    "items": ITEMS,
    "data_format": "database",
    "update_frequency": "daily",
    "share_class": "unconditional",
    "modes": ["query", "batch"],
    "use_conditions": "供履行职责使用。",
    "data_grade": "general",
}
ARROW_TYPES = {
    "line": pa.int64(),
    "members": pa.int64(),
    "income": pa.decimal128(20, 3),
    "insured": pa.bool_(),
    "born": pa.date32(),
    "seen": pa.timestamp("us", "UTC"),
}
"""Arrow types of the columns that are not text."""
BARE = {"integer", "boolean"}
SUFFIXES = ("ndjson", "csv", "arrow")

Row = dict[str, str | None]
"""Canonical texts by item; None is no value."""
Key = tuple[str, int]


@dataclass(frozen=True)
class Batch:
    """One publication, as a file that `datong publish` takes.

    Attributes:
        mode: `snapshot` or `changes`.
        rows: of the file.
        added, updated, deleted: what it does to the table before it.
        table: rows of the table after it.
    """

    number: int
    mode: str
    file: Path
    rows: int
    added: int
    updated: int
    deleted: int
    table: int


class Register:
    """The owner's table; each batch changes it, and the file is written for the batch.

    Args:
        directory: where the files go.
        seed: the same seed makes the same batches.
        size: rows of the first snapshot.
    """

    def __init__(self, directory: Path, seed: int, size: int = 3000) -> None:
        self._directory = directory
        self._random = random.Random(seed)
        self._size = size
        self._serial = 0
        self.rows: dict[Key, Row] = {}
        self.batches: list[Batch] = []

    def snapshot(self) -> Batch:
        """Replace the table: of the rows there are some stay, some change, some go, some come."""
        before = self.rows
        after: dict[Key, Row] = {}
        for key, row in before.items():
            lot = self._random.random()
            if lot < 0.8:
                after[key] = row if lot < 0.6 else self._changed(row)
        while len(after) < self._size:
            row = self._new()
            after[_key(row)] = row
        self.rows = after
        return self._batch("snapshot", before, list(after.values()), [])

    def changes(self, size: int = 300) -> Batch:
        """Change about `size` rows: new ones, changed ones, ones that are as before, deleted."""
        before = dict(self.rows)
        chosen = self._random.sample(sorted(self.rows), min(size, len(self.rows)) * 2 // 3)
        gone = chosen[: len(chosen) // 3]
        upserts = [self._changed(self.rows[key]) for key in chosen[len(gone) :]]
        upserts += [self._new() for _ in range(size - len(chosen))]
        for key in gone:
            del self.rows[key]
        self.rows.update((_key(row), row) for row in upserts)
        return self._batch("changes", before, upserts, gone)

    def _batch(
        self, mode: str, before: dict[Key, Row], upserts: list[Row], gone: list[Key]
    ) -> Batch:
        number = len(self.batches) + 1
        file = self._directory / f"batch-{number:04}.{SUFFIXES[number % len(SUFFIXES)]}"
        lines = [{"_op": "upsert", **row} for row in upserts]
        lines += [
            {"_op": "delete", **dict.fromkeys(NAMES), "number": key[0], "line": str(key[1])}
            for key in gone
        ]
        self._random.shuffle(lines)
        _write(file, lines, operations=mode == "changes")
        after = self.rows
        batch = Batch(
            number=number,
            mode=mode,
            file=file,
            rows=len(lines),
            added=len(after.keys() - before.keys()),
            updated=sum(before[key] != row for key, row in after.items() if key in before),
            deleted=len(before.keys() - after.keys()),
            table=len(after),
        )
        self.batches.append(batch)
        return batch

    def _new(self) -> Row:
        self._serial += 1
        row: Row = {"number": f"3301{self._serial // 4:08}", "line": str(self._serial % 4)}
        return self._changed(row | dict.fromkeys(NAMES[2:]))

    def _changed(self, row: Row) -> Row:
        """Return the row with other values; now and then it stays as it is."""
        draw = self._random
        if row["name"] is not None and draw.random() < 0.1:
            return row
        remark = draw.choice([None, "", "迁入", '他说："是"', "两行\n一行，逗号,", "  空格  "])
        return row | {
            "name": draw.choice("王李张刘陈杨") + draw.choice("伟芳娜敏静秀") + str(draw.random()),
            "remark": remark,
            "members": draw.choice([None, str(draw.randrange(1, 12))]),
            "income": draw.choice([None, f"{draw.randrange(30_000)}.{draw.randrange(1, 10)}"]),
            "insured": draw.choice(["true", "false"]),
            "born": draw.choice(
                [None, f"{draw.randrange(1930, 2026)}-{draw.randrange(1, 13):02}-28"]
            ),
            "seen": draw.choice([None, f"2026-11-{draw.randrange(1, 31):02}T08:30:00.000000Z"]),
        }


def _key(row: Row) -> Key:
    return str(row["number"]), int(str(row["line"]))


def _write(file: Path, lines: list[Row], *, operations: bool) -> None:
    """Write the lines in the format that the file's name says."""
    names = (["_op"] if operations else []) + NAMES
    if file.suffix == ".ndjson":
        file.write_bytes(b"".join(_json(line, names) for line in lines))
        return
    table = pa.table({name: pa.array([line[name] for line in lines], pa.utf8()) for name in names})
    with file.open("wb") as sink:
        if file.suffix == ".csv":
            csv.write_csv(table, sink)
        else:
            schema = pa.schema([(name, ARROW_TYPES.get(name, pa.utf8())) for name in names])
            with pa.ipc.new_stream(sink, schema) as writer:
                writer.write_table(table.cast(schema))


def _json(line: Row, names: list[str]) -> bytes:
    bare = {item["name"] for item in ITEMS if item["type"] in BARE}
    values = {name: line[name] for name in names if line[name] is not None}
    members = (
        f"{json.dumps(name)}:{text if name in bare else json.dumps(text, ensure_ascii=False)}"
        for name, text in values.items()
    )
    return ("{" + ",".join(members) + "}\n").encode()
