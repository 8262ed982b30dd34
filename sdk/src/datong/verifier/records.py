"""The form of a record (`contracts/evidence.md` sections 1 and 2)."""

from __future__ import annotations

import re
from typing import Any

from datong.verifier import strict

TYPES = frozenset(
    [
        "call",
        "withheld",
        "opened",
        "closed",
        "unknown",
        "epoch",
        "beat",
        "end",
        "refusals",
        "fact",
        "alarm",
    ]
)
_TEXTS = ("type", "record", "instance", "epoch", "at")
_AT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def read_record(data: bytes) -> dict[str, Any]:
    """Read the bytes of one record.

    Raises:
        strict.NotStrict: not strict JSON, not in canonical form, or not a record.
    """
    record = strict.read_canonical(data)
    if not isinstance(record, dict):
        raise strict.NotStrict("not an object")
    for name, value in record.items():
        _require_member(name, value)
    for name in _TEXTS:
        if not isinstance(record.get(name), str):
            raise strict.NotStrict(f"{name} is not text")
    if not _is_count(record.get("sequence")):
        raise strict.NotStrict("sequence is not a whole number")
    if record["type"] not in TYPES:
        raise strict.NotStrict("its type is unknown")
    if not _AT.fullmatch(record["at"]):
        raise strict.NotStrict("at is not an instant with microseconds")
    return record


def _require_member(name: str, value: object) -> None:
    if not _NAME.fullmatch(name):
        raise strict.NotStrict(f"{name!r} is not the name of a field")
    if isinstance(value, str) or _is_count(value):
        return
    if isinstance(value, list) and all(isinstance(member, str) for member in value):
        return
    if name == "counts" and isinstance(value, dict) and all(map(_is_count, value.values())):
        return
    raise strict.NotStrict(f"{name} is neither text, a whole number, nor a list of text")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
