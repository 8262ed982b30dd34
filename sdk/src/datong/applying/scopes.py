"""The scope of a request: what makes two requests the same one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

LISTS = ("items", "modes", "operations", "purposes")


def scope_of(request: Mapping[str, Any], consumer: str, systems: Iterable[str]) -> bytes:
    """Digest of who asks for what, for what and how long; 16 bytes.

    Ground and scenario are words about it, and do not make another scope.

    Args:
        request: as a file states it, or as the platform shows it.
        consumer: the asking agency.
        systems: ids of the systems, or names that stand for them.
    """
    law = request.get("statutory")
    scope = [
        consumer,
        request["resource"],
        sorted(systems),
        [sorted(request.get(name) or []) for name in LISTS],
        _filter(request.get("row_filter")),
        sorted((request.get("masks") or {}).items()),
        [_microseconds(request[name]) for name in ("valid_from", "valid_until")],
        [law["title"], law["article"]] if law else None,
    ]
    data = json.dumps(scope, ensure_ascii=False).encode()
    return hashlib.blake2b(data, digest_size=16).digest()


def _filter(row_filter: Mapping[str, Any] | None) -> list[Any]:
    conditions = (row_filter or {}).get("all", [])
    return sorted(
        [
            each["item"],
            sorted(each.get("in") or []),
            each.get("from") or "",
            each.get("until") or "",
        ]
        for each in conditions
    )


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000)
