"""Operations of an owner's system: batches, their chunks, and what is in quarantine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from datong.errors import AnswerMalformed
from datong.operations.data import data_headers
from datong.operations.operation import (
    JSON,
    Answer,
    Json,
    Operation,
    Page,
    content_digest,
    get,
    get_waiting,
    json_body,
    path_of,
    read_object,
    read_page,
    read_text,
    with_query,
)

Mode = Literal["snapshot", "changes"]

MAX_CHUNK_BYTES = 16 << 20
"""Most bytes of one chunk."""
CHUNK_SECONDS = 120.0
"""Time allowed for one chunk."""

_BATCHES = "/data/v1/{resource}/batches"
_BATCH = _BATCHES + "/{batch}"


def open_batch(
    resource: str,
    *,
    mode: Mode = "snapshot",
    declared: Mapping[str, Any] | None = None,
    quarantine_limit: int = 0,
    idempotency_key: str,
) -> Operation[Json]:
    """Open a batch for a resource of one's own agency.

    Args:
        mode: `snapshot` is the whole table, `changes` adds, updates and deletes rows.
        declared: `rows`, `added`, `updated`, `deleted` and `digest`, as far as known; a batch that
            does otherwise is refused whole.
        quarantine_limit: most rows that may be left out because they break a rule.
        idempotency_key: the same key with the same body is one batch, for 7 days.
    """
    body: dict[str, Any] = {"mode": mode, "quarantine_limit": quarantine_limit}
    if declared:
        body["declared"] = dict(declared)
    return Operation(
        "open_batch",
        "POST",
        path_of(_BATCHES, resource=resource),
        read_object,
        headers={"Content-Type": JSON, "Idempotency-Key": idempotency_key},
        body=json_body(body),
        idempotent=True,
    )


def list_batches(
    resource: str,
    *,
    state: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
) -> Operation[Page]:
    """List the batches of a resource, newest first.

    Args:
        state: `open`, `sealed`, `effective`, `refused` or `abandoned`.
    """
    path = path_of(_BATCHES, resource=resource)
    return get("list_batches", with_query(path, state=state, limit=limit, cursor=cursor), read_page)


def get_batch(resource: str, batch: str, *, wait: int = 0) -> Operation[Json]:
    """One batch.

    Args:
        wait: seconds, at most 30, that the answer may wait for the outcome.
    """
    path = path_of(_BATCH, resource=resource, batch=batch)
    return get_waiting("get_batch", path, read_object, wait)


def put_chunk(
    resource: str, batch: str, chunk: int, body: bytes, *, content_type: str
) -> Operation[Json]:
    """Put one chunk; the same bytes again change nothing.

    Args:
        chunk: its number, from 0.
        body: at most 16 MiB.
        content_type: `application/x-ndjson`, `text/csv` with a header line, or
            `application/vnd.apache.arrow.stream`.
    """
    return Operation(
        "put_chunk",
        "PUT",
        path_of(_BATCH + "/chunks/{chunk}", resource=resource, batch=batch, chunk=str(chunk)),
        read_object,
        headers={
            "Content-Type": content_type,
            "Content-Digest": content_digest(body),
            **data_headers(seconds=CHUNK_SECONDS),
        },
        body=body,
        idempotent=True,
        seconds=CHUNK_SECONDS,
    )


def list_chunks(
    resource: str, batch: str, *, limit: int | None = None, cursor: str | None = None
) -> Operation[Page]:
    """List the chunks that a batch has, each with the SHA-256 of its bytes."""
    path = path_of(_BATCH + "/chunks", resource=resource, batch=batch)
    return get("list_chunks", with_query(path, limit=limit, cursor=cursor), read_page)


def seal_batch(resource: str, batch: str, *, chunks: int) -> Operation[Json]:
    """Seal a batch; it becomes effective whole or is refused whole, and `get_batch` tells which.

    Args:
        chunks: how many were put, at least 1.
    """
    return Operation(
        "seal_batch",
        "POST",
        path_of(_BATCH + "/seals", resource=resource, batch=batch),
        read_object,
        headers={"Content-Type": JSON},
        body=json_body({"chunks": chunks}),
        idempotent=True,
    )


def abandon_batch(resource: str, batch: str) -> Operation[Json]:
    """Give up an open batch; nothing of it was ever visible."""
    return Operation(
        "abandon_batch",
        "POST",
        path_of(_BATCH + "/abandonments", resource=resource, batch=batch),
        read_object,
        idempotent=True,
    )


def get_quarantine(resource: str, batch: str) -> Operation[list[Json]]:
    """The faults of a batch, at most 10,000: chunk, row (from 1 in its chunk), item, rule."""
    path = path_of(_BATCH + "/quarantine", resource=resource, batch=batch)
    return get("get_quarantine", path, _read_lines)


def _read_lines(answer: Answer) -> list[Json]:
    try:
        lines = [json.loads(line) for line in read_text(answer).splitlines() if line]
    except ValueError as error:
        raise AnswerMalformed(f"The answer to call {answer.call} is not NDJSON.") from error
    if not all(isinstance(line, dict) for line in lines):
        raise AnswerMalformed(f"The answer to call {answer.call} holds no objects.")
    return lines
