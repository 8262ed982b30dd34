"""Narrow readings of `catalog.entry` and `sharing.grant` states: what decides a call, no more.

A state that does not have the expected shape raises `ValueError`; the table then makes its
subject unusable. Members that are not read here may be anything.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from gateway.domain import Entry, Grant, Operation, OwnService
from kit.addresses import parse_https
from kit.clock import parse_rfc3339

ENTRY_CRITICAL: Final = frozenset({"share_class", "state", "items", "service"})
GRANT_CRITICAL: Final = frozenset(
    {
        "systems",
        "items",
        "modes",
        "operations",
        "purposes",
        "valid_from",
        "valid_until",
        "state",
        "row_filter",
        "masks",
    }
)
"""Restricting members that are enforced: here, or (items, row filter, masks) in transfer."""

_MOST_SECONDS: Final = 60
_SHARE_CLASSES: Final = frozenset({"unconditional", "conditional", "not_shared"})
_ENTRY_STATES: Final = frozenset({"draft", "submitted", "approved", "published", "withdrawn"})
_GRANT_STATES: Final = frozenset({"active", "suspended", "ended"})


def read_entry(data: Mapping[str, Any], readable: bool) -> Entry:
    """Return the entry that `data` of a `catalog.entry` state describes.

    Raises:
        ValueError: a member is absent or of another type, or a word is unknown.
    """
    law = data.get("legal_basis")
    if law is not None and not isinstance(law, Mapping):
        raise ValueError("legal_basis is no object")
    return Entry(
        id=_text(data, "id"),
        version=_integer(data, "version"),
        name=_text(data, "name"),
        agency=_text(data, "agency"),
        resource=_text(data, "resource"),
        share_class=_word(data, "share_class", _SHARE_CLASSES),
        state=_word(data, "state", _ENTRY_STATES),
        law_title=None if law is None else _text(law, "title"),
        law_article=None if law is None else _optional_text(law, "article"),
        service=_service(data),
        readable=readable,
    )


def _service(data: Mapping[str, Any]) -> OwnService | None:
    """Read the owner's own service; it is absent from entries of hosted data."""
    service = data.get("service")
    if service is None:
        return None
    if not isinstance(service, Mapping) or not isinstance(service.get("operations"), list):
        raise ValueError("service is no object with operations")
    host, port = parse_https(_text(service, "address"))
    seconds = _integer(service, "seconds")
    if not 0 < seconds <= _MOST_SECONDS:
        raise ValueError("seconds are out of bounds")
    operations = tuple(map(_operation, service["operations"]))
    return OwnService(host, port, _optional_text(service, "ca"), seconds, operations)


def _operation(data: Any) -> Operation:
    if not isinstance(data, Mapping):
        raise ValueError("an operation is no object")
    path = _text(data, "path")
    if not path.startswith("/"):
        raise ValueError("a path does not begin with a slash")
    return Operation(_text(data, "name"), _text(data, "method").encode(), path)


def read_grant(data: Mapping[str, Any], version: int, readable: bool) -> Grant:
    """Return the grant that `data` of a `sharing.grant` state describes.

    Args:
        version: the version of the state event, which is the version of the grant.

    Raises:
        ValueError: a member is absent or of another type, or a word is unknown.
    """
    return Grant(
        id=_text(data, "id"),
        version=version,
        resource=_text(data, "resource"),
        entry=_text(data, "entry"),
        owner=_text(data, "owner"),
        consumer=_text(data, "consumer"),
        systems=_texts(data, "systems"),
        items=_texts(data, "items"),
        modes=_texts(data, "modes"),
        operations=_texts(data, "operations"),
        purposes=_texts(data, "purposes"),
        valid_from=_instant(data, "valid_from"),
        valid_until=_instant(data, "valid_until"),
        state=_word(data, "state", _GRANT_STATES),
        reason=_optional_text(data, "reason"),
        statutory=_statutory(data),
        terms=_terms(data),
        readable=readable,
    )


def _terms(data: Mapping[str, Any]) -> str:
    """Return what stands for row filter and masks; transfer reads them, here they only differ."""
    restricting = {name: data[name] for name in ("row_filter", "masks") if name in data}
    if not restricting:
        return ""
    # Equal values make equal text, at a tenth of what the canonical form of RFC 8785 costs; a
    # table of 50,000 grants is read at a start.
    return sha256(json.dumps(restricting, sort_keys=True).encode()).hexdigest()


def _statutory(data: Mapping[str, Any]) -> str | None:
    """Read the law that names the recipient, as one text; it permits, so it may be absent."""
    law = data.get("statutory")
    if law is None:
        return None
    if not isinstance(law, Mapping):
        raise ValueError("statutory is no object")
    return f"{_text(law, 'title')}, {_text(law, 'article')}"


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is no text")
    return value


def _optional_text(data: Mapping[str, Any], name: str) -> str | None:
    return None if data.get(name) is None else _text(data, name)


def _integer(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int:
        raise ValueError(f"{name} is no integer")
    return value


def _texts(data: Mapping[str, Any], name: str) -> frozenset[str]:
    values = data.get(name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is no list of texts")
    return frozenset(values)


def _word(data: Mapping[str, Any], name: str, words: frozenset[str]) -> str:
    value = _text(data, name)
    if value not in words:
        raise ValueError(f"{name} is a word this release does not know")
    return value


def _instant(data: Mapping[str, Any], name: str) -> float | None:
    """Read an instant; an open end must be said (null), an absent member is a fault."""
    if name not in data:
        raise ValueError(f"{name} is absent")
    value = data[name]
    return None if value is None else parse_rfc3339(_text(data, name)).timestamp()
