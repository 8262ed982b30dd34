"""A double of the platform's batches: what an owner's system sees. A value `bad` breaks a rule."""

import base64
import csv
import hashlib
import io
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa

Answer = tuple[int, bytes, dict[str, str], int]


def read_chunk(body: bytes, content_type: str) -> list[dict[str, Any]]:
    """Rows of a chunk, the slow way."""
    if content_type == "text/csv":
        return list(csv.DictReader(io.StringIO(body.decode(), newline="")))
    if content_type == "application/x-ndjson":
        return [json.loads(line) for line in body.decode().split("\n") if line]
    rows: list[dict[str, Any]] = pa.ipc.open_stream(body).read_all().to_pylist()
    return rows


@dataclass
class Batch:
    """One batch: its document, and the bytes and rows of its chunks."""

    document: dict[str, Any]
    bodies: dict[int, bytes] = field(default_factory=dict)
    rows: dict[int, list[dict[str, Any]]] = field(default_factory=dict)

    def faults(self) -> list[dict[str, Any]]:
        """Rows with a bad value."""
        return [
            {"chunk": chunk, "row": row, "item": item, "rule": "codes", "detail": "Not a code."}
            for chunk, rows in sorted(self.rows.items())
            for row, values in enumerate(rows, 1)
            for item, value in values.items()
            if value == "bad"
        ]


@dataclass
class Taking:
    """The platform's side of an owner's resource."""

    batches: dict[str, Batch] = field(default_factory=dict)
    keys: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    puts: int = 0
    problems: list[tuple[int, str]] = field(default_factory=list)
    """Status and code that the next chunks are answered with."""
    waits: int = 0

    def answer(self, received: Any) -> Answer:
        """Answer one call: status, body, headers, bytes of the body to leave out."""
        parts = urlsplit(received.path).path.split("/")[5:]
        if not parts and received.method == "POST":
            return self._open(received)
        if not parts:
            newest = [batch.document for batch in reversed(self.batches.values())]
            return self._json({"items": newest, "next": None})
        batch = self.batches[parts[0]]
        if len(parts) == 1:
            self.waits += "wait" in parse_qs(urlsplit(received.path).query)
            return self._json(self._finished(batch))
        if parts[1] == "chunks" and received.method == "PUT":
            return self._put(batch, int(parts[2]), received)
        if parts[1] == "chunks":
            chunks = [self._chunk(batch, number) for number in sorted(batch.bodies)]
            return self._json({"items": chunks, "next": None})
        if parts[1] == "seals":
            return self._seal(batch, received.json())
        if parts[1] == "abandonments":
            batch.document["state"] = "abandoned"
            return self._json(batch.document)
        lines = "".join(json.dumps(fault) + "\n" for fault in batch.faults())
        return 200, lines.encode(), {"Content-Type": "application/x-ndjson"}, 0

    def _open(self, received: Any) -> Answer:
        key = received.headers["idempotency-key"]
        if key in self.keys:
            body, batch = self.keys[key]
            assert body == received.body
            return self._json({**self.batches[batch].document, "state": "open"}, 201)
        asked = received.json()
        document = {
            "id": f"batch-{len(self.batches) + 1}",
            "mode": asked["mode"],
            "state": "open",
            "declared": asked.get("declared"),
            "quarantine_limit": asked["quarantine_limit"],
            "chunks": 0,
            "rows": 0,
            "quarantined": 0,
            "effects": None,
            "version": None,
            "table": None,
            "refusal": None,
            "opened_at": "2026-11-24T08:00:00.000000Z",
            "finished_at": None,
        }
        self.batches[document["id"]] = Batch(document)
        self.keys[key] = (received.body, document["id"])
        return self._json(document, 201)

    def _put(self, batch: Batch, number: int, received: Any) -> Answer:
        self.puts += 1
        if self.problems:
            status, code = self.problems.pop(0)
            problem = {"code": code, "title": code, "detail": "Line 2: no."}
            errors = [{"pointer": "/2", "detail": "no"}] if status < 500 else []
            return self._json({**problem, "errors": errors, "facts": {"line": 2}}, status)
        digest = base64.b64encode(hashlib.sha256(received.body).digest()).decode()
        assert received.headers["content-digest"] == f"sha-256=:{digest}:"
        batch.bodies[number] = received.body
        batch.rows[number] = read_chunk(received.body, received.headers["content-type"])
        document = batch.document
        document["chunks"] = len(batch.bodies)
        document["quarantined"] = len({(f["chunk"], f["row"]) for f in batch.faults()})
        document["rows"] = sum(map(len, batch.rows.values())) - document["quarantined"]
        return self._json(self._chunk(batch, number), 201)

    @staticmethod
    def _chunk(batch: Batch, number: int) -> dict[str, Any]:
        bad = {fault["row"] for fault in batch.faults() if fault["chunk"] == number}
        return {
            "chunk": number,
            "rows": len(batch.rows[number]) - len(bad),
            "quarantined": len(bad),
            "digest": hashlib.sha256(batch.bodies[number]).hexdigest(),
            "bytes": len(batch.bodies[number]),
        }

    def _seal(self, batch: Batch, asked: Any) -> Answer:
        assert sorted(batch.bodies) == list(range(asked["chunks"]))
        batch.document["state"] = "sealed"
        return self._json(batch.document, 202)

    @staticmethod
    def _finished(batch: Batch) -> dict[str, Any]:
        """What the worker has made of a sealed batch when it is asked for again."""
        document = batch.document
        if document["state"] != "sealed":
            return document
        document["finished_at"] = "2026-11-24T08:00:31.000000Z"
        if document["quarantined"] > document["quarantine_limit"]:
            document["state"] = "refused"
            document["refusal"] = {"code": "too-many-faults", "detail": "Too many rows."}
            return document
        document["state"] = "effective"
        document["version"] = 1
        document["effects"] = {
            "added": document["rows"],
            "updated": 0,
            "deleted": 0,
            "unchanged": 0,
        }
        document["table"] = {"rows": document["rows"], "digest": "0" * 64}
        return document

    @staticmethod
    def _json(value: Any, status: int = 200) -> Answer:
        kind = "application/json" if status < 400 else "application/problem+json"
        return status, json.dumps(value).encode(), {"Content-Type": kind}, 0
