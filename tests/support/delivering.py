"""A double of the platform's deliveries: what a consumer's system sees, with figures of its own.

Rows are plain dictionaries of canonical texts; figures are computed row by row, the slow way.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

RESOURCE = "divisions"
SUBSCRIPTION = "019d9b5e-8f00-7c3a-8d11-2f6a5b7c8da0"
Row = dict[str, str | None]


def item(name: str, kind: str = "text", *, key: bool = False) -> dict[str, Any]:
    """An item as subscriptions carry it."""
    return {"name": name, "type": kind, "key": key, "required": key}


ITEMS = [
    item("code", key=True),
    item("name"),
    item("level", "integer"),
    item("area", "decimal"),
    item("rural", "boolean"),
    item("founded", "date"),
    item("seen", "datetime"),
]


def canonical(row: Mapping[str, str | None], items: Sequence[Mapping[str, Any]]) -> bytes:
    """Canonical bytes of a row by the letter of `contracts/rows.md`; names here are ASCII."""
    bare = {entry["name"] for entry in items if entry["type"] in ("integer", "boolean")}
    members = {
        entry["name"]: row.get(entry["name"])
        for entry in items
        if row.get(entry["name"]) is not None
    }
    written = [
        f"{json.dumps(name)}:{value if name in bare else json.dumps(value, ensure_ascii=False)}"
        for name, value in sorted(members.items())
    ]
    return ("{" + ",".join(written) + "}").encode()


def digest(rows: Sequence[Row], items: Sequence[Mapping[str, Any]]) -> str:
    """Σ SHA-256 mod 2²⁵⁶."""
    total = sum(
        int.from_bytes(hashlib.sha256(canonical(row, items)).digest(), "big") for row in rows
    )
    return f"{total % (1 << 256):064x}"


def segment(rows: Sequence[tuple[str, Row]], items: Sequence[Mapping[str, Any]]) -> bytes:
    """An Arrow IPC stream of `(operation, row)`."""
    names = [entry["name"] for entry in items]
    table = pa.table(
        {
            "_op": pa.array([operation for operation, _ in rows], pa.string()),
            **{name: pa.array([row.get(name) for _, row in rows], pa.string()) for name in names},
        }
    )
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, table.schema, options=options) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


@dataclass
class Made:
    """One delivery with its bytes and what the platform counts."""

    document: dict[str, Any]
    segments: list[bytes]
    figures: dict[str, Any]
    receipts: list[dict[str, Any]] = field(default_factory=list)
    state: str | None = None


@dataclass
class Delivering:
    """The platform's side of one subscription."""

    items: list[dict[str, Any]] = field(default_factory=lambda: list(ITEMS))
    from_: str = "beginning"
    rows: dict[str, Row] = field(default_factory=dict)
    made: list[Made] = field(default_factory=list)
    renewals: int = 0
    subscribed: int = 0
    segment_rows: int = 2
    version: int = 0
    cuts: list[int] = field(default_factory=list)
    """Bytes that the next answers with segments leave out."""
    problems: list[str] = field(default_factory=list)
    """Codes of the problems that the next calls are answered with, all 503."""
    outdated: int = 0
    """Sequence up to which deliveries hold more than is granted now."""

    def subscription(self) -> dict[str, Any]:
        """The subscription as the platform answers it."""
        return {
            "id": SUBSCRIPTION,
            "resource": RESOURCE,
            "grant": "019d9b5e-8f00-7c3a-8d11-2f6a5b7c8d03",
            "system": "system",
            "from": self.from_,
            "items": self.items,
            "state": "active",
            "created_at": "2026-11-24T08:01:00.000000Z",
        }

    def table(self, rows: Sequence[Row] | None = None) -> Made:
        """Deliver the whole table, or make these its rows first."""
        if rows is not None:
            self.rows = {str(row["code"]): row for row in rows}
        operations = [("added", row) for row in self.rows.values()]
        counts = {"added": len(operations), "updated": 0, "deleted": 0}
        return self._deliver("table", operations, counts)

    def change(self, *upserts: Row, delete: Sequence[str] = ()) -> Made:
        """Deliver what changes when these rows are put and those keys deleted."""
        self.version += 1
        operations = []
        for code in delete:
            del self.rows[code]
            operations.append(("deleted", {"code": code}))
        for row in upserts:
            code = str(row["code"])
            operations.append(("updated" if code in self.rows else "added", row))
            self.rows[code] = row
        counts = {
            name: sum(operation == name for operation, _ in operations)
            for name in ("added", "updated", "deleted")
        }
        return self._deliver("changes", operations, counts)

    def _deliver(
        self, kind: str, operations: list[tuple[str, Row]], counts: dict[str, int]
    ) -> Made:
        sequence = len(self.made) + 1
        size = self.segment_rows
        parts = [
            segment(operations[start : start + size], self.items)
            for start in range(0, len(operations), size)
        ]
        covered = (
            list(self.rows.values())
            if self.from_ == "beginning" or kind == "table"
            else [row for operation, row in operations if operation != "deleted"]
        )
        document = {
            "id": f"019d9b5e-8f00-7c3a-8d11-{sequence:012}",
            "sequence": sequence,
            "kind": kind,
            "batch": None,
            "version": self.version,
            "segments": [
                {
                    "number": number,
                    "rows": min(size, len(operations) - number * size),
                    "bytes": len(part),
                    "digest": hashlib.sha256(part).hexdigest(),
                }
                for number, part in enumerate(parts)
            ],
            "created_at": "2026-11-24T08:02:00.000000Z",
            "receipt": None,
        }
        figures = {**counts, "rows": len(covered), "digest": digest(covered, self.items)}
        self.made.append(Made(document, parts, figures))
        return self.made[-1]

    def answer(self, received: Any) -> tuple[int, bytes, dict[str, str], int]:
        """Answer one call: status, body, headers, bytes of the body to leave out."""
        if self.problems:
            code = self.problems.pop(0)
            return self._json({"code": code, "title": code, "detail": code}, 503)
        path, query = urlsplit(received.path).path, parse_qs(urlsplit(received.path).query)
        parts = path.split("/")[4:]
        if parts == ["subscriptions"]:
            self.subscribed += 1
            return self._json(self.subscription(), 201)
        if parts[0] == "subscriptions" and parts[2:] == ["deliveries"]:
            after = int(query["after"][0])
            page = [self._listed(made) for made in self.made[after:]][: int(query["limit"][0])]
            return self._json({"items": page, "next": None})
        if parts[0] == "subscriptions" and parts[2:] == ["renewals"]:
            self.renewals += 1
            self.table()
            return self._json(self.subscription(), 202)
        if parts[0] == "subscriptions":
            return self._json(self.subscription())
        made = next(made for made in self.made if made.document["id"] == parts[1])
        if made.document["sequence"] <= self.outdated:
            problem = {"code": "terms-changed", "title": "Changed", "detail": "Narrowed."}
            return self._json(problem, 409)
        if parts[2] == "segments":
            return self._segment(made.segments[int(parts[3])], received.headers)
        return self._receipt(made, received.json())

    def _listed(self, made: Made) -> dict[str, Any]:
        if made.document["sequence"] > self.outdated:
            return made.document
        segments = [{**segment, "digest": None} for segment in made.document["segments"]]
        return {**made.document, "segments": segments}

    def _segment(
        self, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, bytes, dict[str, str], int]:
        cut = self.cuts.pop(0) if self.cuts else 0
        if "range" not in headers:
            return 200, body, {}, cut
        first = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
        return 206, body[first:], {}, cut

    def _receipt(self, made: Made, figures: Any) -> tuple[int, bytes, dict[str, str], int]:
        if made.receipts and figures != made.receipts[0]:
            problem = {"code": "receipt-differs", "title": "Differs", "detail": "Another one."}
            return self._json(problem, 409)
        made.receipts.append(figures)
        made.state = "agreed" if figures == made.figures else "differs"
        return self._json(
            {
                "delivery": made.document["id"],
                "state": made.state,
                "platform": made.figures,
                "consumer": figures,
                "received_at": "2026-11-24T08:03:00.000000Z",
            }
        )

    @staticmethod
    def _json(value: Any, status: int = 200) -> tuple[int, bytes, dict[str, str], int]:
        kind = "application/json" if status < 400 else "application/problem+json"
        return status, json.dumps(value).encode(), {"Content-Type": kind}, 0
