"""What identity tells the others; schemas and examples lie in `contracts/events/`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kit.clock import rfc3339
from kit.events import Fact, State
from services.identity.domain.credentials import Credential
from services.identity.domain.keys import PublicKey, Use
from services.identity.domain.subjects import Agency, Person, Subject, System

CHANGE: Final = "identity.change.v1"


@dataclass(frozen=True, slots=True)
class By:
    """Who changes something.

    Attributes:
        actor: `person/<id>`, `system/<id>` or `part/identity`.
        call: id of the call, if a call does.
        agency: of the actor, when a caller acts.
    """

    actor: str
    call: str | None = None
    agency: str | None = None


PART: Final = By("part/identity")


def state_of(subject: Subject | Credential | PublicKey) -> State:
    """Return the state event of `subject` as it is now."""
    if isinstance(subject, Credential):
        return _credential(subject)
    if isinstance(subject, PublicKey):
        return _key(subject)
    data: dict[str, Any] = {"id": subject.id, "name": subject.name, "state": subject.state}
    critical = ["state"]
    if isinstance(subject, Agency):
        data |= {
            "level": subject.level,
            "area_code": subject.area_code,
            "line": subject.line,
            "competent": subject.competent,
        }
    else:
        data["agency"] = subject.agency
    if isinstance(subject, Person):
        data["roles"] = sorted(subject.roles)
        critical = ["roles", "state"]
    return _state(subject.kind, subject.id, subject.version, data, critical)


def change(what: str, kind: str, subject_id: str, by: By, data: Mapping[str, Any]) -> Fact:
    """Return the fact that something happened to a subject.

    Args:
        what: past tense, such as `person-suspended`.
        data: what an auditor needs; no names of people: evidence cannot be erased. Members that
            are None are left out.
    """
    known = {name: value for name, value in data.items() if value is not None}
    return Fact(CHANGE, f"identity.{what}.v1", f"{kind}/{subject_id}", known, by.actor, by.call)


def subject_created(subject: Subject, by: By) -> Fact:
    """Return the fact that an agency, a person or a system was registered."""
    data: dict[str, Any] = {"agency": subject.agency}
    if isinstance(subject, Person):
        data["roles"] = sorted(subject.roles)
    elif isinstance(subject, Agency):
        data |= {
            "name": subject.name,
            "level": subject.level,
            "area_code": subject.area_code,
            "competent": subject.competent,
            "audits": subject.audits,
        }
    elif isinstance(subject, System):
        data["name"] = subject.name
    return change(f"{subject.kind}-created", subject.kind, subject.id, by, data)


def _state(
    noun: str, subject_id: str, version: int, data: Mapping[str, Any], critical: list[str]
) -> State:
    full = {**data, "critical": critical}
    return State(f"identity.{noun}.v1", f"{noun}/{subject_id}", version, full)


def _credential(credential: Credential) -> State:
    data = {
        "thumbprint": credential.thumbprint,
        "kind": credential.kind,
        "holder": credential.holder,
        "agency": credential.agency,
        "serial": credential.serial,
        "not_before": rfc3339(credential.not_before),
        "not_after": rfc3339(credential.not_after),
        "state": credential.state,
    }
    return _state(
        "credential", credential.thumbprint, credential.version, data, ["not_after", "state"]
    )


def _key(key: PublicKey) -> State:
    data: dict[str, Any] = {"kid": key.kid, "use": key.use, "state": key.state}
    if key.use is Use.TOKEN:
        data["jwk"] = key.material
    else:
        data["certificate"] = key.material["certificate"]
    return _state("key", key.kid, key.version, data, ["state"])
