"""Operations on data: query a granted resource, explain a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datong.errors import AnswerMalformed
from datong.operations.operation import (
    JSON,
    Answer,
    Json,
    Operation,
    json_body,
    path_of,
    read_object,
    timeout_text,
)

MAX_ROWS = 1000
"""Most rows of one page."""


@dataclass(frozen=True)
class Rows:
    """One page of rows, and what proves that it was given.

    Attributes:
        next: cursor of the following page, None on the last.
        call: id of the call.
        evidence: id of the record of this answer.
        salt: salt of the digests in that record (base64url).
    """

    rows: list[Json]
    next: str | None
    call: str
    evidence: str | None
    salt: str | None


def _read_rows(answer: Answer) -> Rows:
    value = read_object(answer)
    rows, following = value.get("rows"), value.get("next")
    if not isinstance(rows, list):
        raise AnswerMalformed(f"The answer to call {answer.call} holds no rows.")
    cursor = following if isinstance(following, str) else None
    return Rows(rows, cursor, answer.call, answer.evidence, answer.salt)


def data_headers(
    *,
    purpose: str | None = None,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> dict[str, str]:
    """Headers that say why, for which file, under which grant and how long, as far as given."""
    given = {
        "Datong-Purpose": purpose,
        "Datong-Case": case,
        "Datong-Grant": grant,
        "Datong-Timeout": None if seconds is None else timeout_text(seconds),
    }
    return {name: value for name, value in given.items() if value is not None}


def query(
    resource: str,
    *,
    purpose: str | None = None,
    key: Mapping[str, Any] | None = None,
    where: Mapping[str, Any] | None = None,
    items: Sequence[str] | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    case: str | None = None,
    grant: str | None = None,
    seconds: float | None = None,
) -> Operation[Rows]:
    """Ask for rows by their key, or by equality of items.

    Args:
        purpose: purpose code; a granted one is needed, and it goes on record.
        key: value of every key item; the platform asks for either `key` or `where`.
        where: value of one or more filterable items.
        items: wanted items; all granted ones when absent.
        limit: rows of one page, at most 1000.
        cursor: `next` of the page before.
        case: own file number, goes on record.
        grant: id of the grant to use; the platform finds one when absent.
        seconds: time allowed for the answer.

    Raises:
        ValueError: both `key` and `where`.
    """
    if key is not None and where is not None:
        raise ValueError("ask by key or by filter, not by both")
    wanted: dict[str, Any] = {
        "key": None if key is None else dict(key),
        "where": None if where is None else dict(where),
        "items": None if items is None else list(items),
        "limit": limit,
        "cursor": cursor,
    }
    return Operation(
        "query",
        "POST",
        path_of("/data/v1/{resource}/query", resource=resource),
        _read_rows,
        headers={
            "Content-Type": JSON,
            **data_headers(purpose=purpose, case=case, grant=grant, seconds=seconds),
        },
        body=json_body({name: value for name, value in wanted.items() if value is not None}),
        idempotent=True,
        seconds=seconds,
    )


def explain(
    resource: str,
    *,
    mode: str = "query",
    purpose: str | None = None,
    system: str | None = None,
    grant: str | None = None,
    operation: str | None = None,
    items: Sequence[str] | None = None,
) -> Operation[Json]:
    """Every check of a data call in order with its fact, without making the call.

    Args:
        system: whose call; one's own by default, people name one.
    """
    asked = {
        "resource": resource,
        "mode": mode,
        "purpose": purpose,
        "system": system,
        "grant": grant,
        "operation": operation,
        "items": None if items is None else list(items),
    }
    return Operation(
        "explain",
        "POST",
        "/gateway/v1/explanations",
        read_object,
        headers={"Content-Type": JSON},
        body=json_body({name: value for name, value in asked.items() if value is not None}),
        idempotent=True,
    )
