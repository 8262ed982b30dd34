"""Who callers are: a copy of identity's state topics, kept in memory.

Every part that checks callers has one. Look-ups are plain dictionary reads; a subject whose
state cannot be read, or restricts in a way that this code does not know, is `unusable`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.states import Apply, StateEvent
from kit.tokens import VerifyingKey

ACTIVE: Final = "active"
KNOWN_CRITICAL: Final[Mapping[str, frozenset[str]]] = {
    "identity.agency.v1": frozenset({"state"}),
    "identity.person.v1": frozenset({"state", "roles"}),
    "identity.system.v1": frozenset({"state"}),
    "identity.credential.v1": frozenset({"state", "not_after"}),
    "identity.key.v1": frozenset({"state"}),
}
"""Restricting fields that this code understands; any other makes a subject unusable."""


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency: `competent` is the id of the competent department of its level, if it has one."""

    id: str
    name: str
    level: str
    area_code: str
    line: str | None
    competent: str | None
    active: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """A person or a system: what a certificate is issued to. Systems have no roles."""

    kind: str
    id: str
    agency: str
    name: str
    roles: frozenset[str]
    active: bool

    @property
    def subject(self) -> str:
        """Return `person/<id>` or `system/<id>`, as tokens and records name it."""
        return f"{self.kind}/{self.id}"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate that the platform issued; instants in RFC 3339 text."""

    thumbprint: str
    subject: str
    agency: str
    not_before: str
    not_after: str
    active: bool


class Directory:
    """Agencies, people, systems, certificates and keys as they are now."""

    def __init__(self) -> None:
        self.agencies: dict[str, Agency] = {}
        self.holders: dict[str, Holder] = {}
        self.credentials: dict[str, Credential] = {}
        self.token_keys: dict[str, VerifyingKey] = {}
        self.client_authorities: dict[str, str] = {}
        self.unusable: set[str] = set()

    def handlers(self) -> dict[str, Apply]:
        """Return what a `StateReader` needs to keep this directory."""
        return dict.fromkeys(KNOWN_CRITICAL, self.apply)

    def apply(self, event: StateEvent) -> None:
        """Take a newer state of a subject; never raises."""
        try:
            if not event.critical <= KNOWN_CRITICAL[event.topic]:
                raise ValueError("restricts in an unknown way")
            self._take(event.topic, event.data)
        except (KeyError, TypeError, ValueError):
            self.unusable.add(event.subject)
        else:
            self.unusable.discard(event.subject)

    def on_unreadable(self, _topic: str, subject: str, _reason: str) -> None:
        """Mark a subject whose state event cannot be read; a later readable state heals it."""
        self.unusable.add(subject)

    def is_usable(self, holder: Holder, thumbprint: str | None = None) -> bool:
        """Tell whether all states that decide about `holder` could be read."""
        if not self.unusable:
            return True
        return not (
            holder.subject in self.unusable
            or f"agency/{holder.agency}" in self.unusable
            or (thumbprint is not None and f"credential/{thumbprint}" in self.unusable)
        )

    def _take(self, topic: str, data: Mapping[str, Any]) -> None:
        active = data["state"] == ACTIVE
        match topic:
            case "identity.agency.v1":
                self.agencies[data["id"]] = Agency(
                    data["id"],
                    data["name"],
                    data["level"],
                    data["area_code"],
                    data.get("line"),
                    data.get("competent"),
                    active,
                )
            case "identity.person.v1" | "identity.system.v1":
                kind = topic.split(".")[1]
                holder = Holder(
                    kind,
                    data["id"],
                    data["agency"],
                    data["name"],
                    frozenset(data.get("roles", ())),
                    active,
                )
                self.holders[holder.subject] = holder
            case "identity.credential.v1":
                self.credentials[data["thumbprint"]] = Credential(
                    data["thumbprint"],
                    f"{data['kind']}/{data['holder']}",
                    data["agency"],
                    data["not_before"],
                    data["not_after"],
                    active,
                )
            case _:
                self._take_key(data, active)

    def _take_key(self, data: Mapping[str, Any], active: bool) -> None:
        kept: dict[str, Any] = (
            self.token_keys if data["use"] == "token" else self.client_authorities
        )
        if not active:
            kept.pop(data["kid"], None)
        elif data["use"] == "token":
            kept[data["kid"]] = VerifyingKey(data["jwk"])
        else:
            kept[data["kid"]] = str(data["certificate"])
