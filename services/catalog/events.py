"""Events that the catalogue publishes; mirrored in `contracts/events/catalog.*.v1.schema.json`."""

from dataclasses import asdict
from typing import Any, Final

from kit.events import Fact, State
from services.catalog.domain import Actor, Entry, Item, Service, Version

ENTRY: Final = "catalog.entry.v1"
CHANGE: Final = "catalog.change.v1"

CREATED: Final = "catalog.entry-created.v1"
DRAFT_REPLACED: Final = "catalog.draft-replaced.v1"
DRAFT_BEGUN: Final = "catalog.draft-begun.v1"
SUBMITTED: Final = "catalog.entry-submitted.v1"
PUBLISHED: Final = "catalog.entry-published.v1"
REJECTED: Final = "catalog.entry-rejected.v1"
WITHDRAWN: Final = "catalog.entry-withdrawn.v1"


def subject(entry: Entry) -> str:
    """Return `entry/<id>`, under which the bus knows the entry."""
    return f"entry/{entry.id}"


def state(entry: Entry) -> State | None:
    """Return how the entry is now, for everybody; None when nothing of it was published."""
    version = entry.public
    if version is None:
        return None
    content = version.content
    data: dict[str, Any] = {
        "id": entry.id,
        "version": version.number,
        "name": content.name,
        "agency": entry.agency,
        "share_class": content.share_class.value,
        "legal_basis": None if content.legal_basis is None else asdict(content.legal_basis),
        "state": version.state.value,
        "resource": entry.resource,
        "items": [_item(item) for item in content.items],
        "modes": [mode.value for mode in content.modes],
        "update_frequency": content.update_frequency.value,
        "critical": ["share_class", "state", "items"],
    }
    if content.service is not None:
        data["service"] = _service(content.service)
        data["critical"] = [*data["critical"], "service"]
    return State(ENTRY, subject(entry), entry.revision, data)


def fact(kind: str, entry: Entry, version: Version, actor: Actor) -> Fact:
    """Return the fact that `actor` did what `kind` names to `version` of the entry.

    Members have the names that audit repeats in the log (`contracts/evidence.md`, section 8);
    `reason_text`, being free text, is not among them.
    """
    content = version.content
    data: dict[str, Any] = {
        "entry": entry.id,
        "entry_version": version.number,
        "owner": entry.agency,
        "resource": entry.resource,
        "name": content.name,
        "share_class": content.share_class.value,
        "state": version.state.value,
    }
    if content.legal_basis is not None:
        data["legal_basis"] = asdict(content.legal_basis)
    if content.service is not None:
        data["address"] = content.service.address
        data["operations"] = [operation.name for operation in content.service.operations]
    if kind in (REJECTED, WITHDRAWN):
        data["reason_text"] = version.reason
    return Fact(CHANGE, kind, subject(entry), data, actor.subject, actor.call)


def _service(service: Service) -> dict[str, Any]:
    return {
        "address": service.address,
        "ca": service.ca,
        "operations": [
            asdict(operation) | {"method": operation.method.value}
            for operation in service.operations
        ],
        "seconds": service.seconds,
    }


def _item(item: Item) -> dict[str, Any]:
    """Return an item with the rules that it has; the others are absent."""
    return {name: value for name, value in asdict(item).items() if value is not None}
