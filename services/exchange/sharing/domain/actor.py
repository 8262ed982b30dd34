"""Who acts, and on which side of a request or grant."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind

COMPETENT_ROLES: Final = frozenset({"competent_officer"})


class Side(StrEnum):
    """Where an agency stands: it gives, it uses, or it supervises the one that gives."""

    OWNER = "owner"
    CONSUMER = "consumer"
    COMPETENT = "competent"


class NotThisSide(DomainError):
    """The other side decides this."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "other-agency"


class ActorRoleMissing(DomainError):
    """The right agency, but none of the roles that may do this there."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "role-missing"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts.

    Attributes:
        subject: `person/<id>`, `system/<id>` or `part/<name>`.
        agency: id; empty for a part.
        roles: of a person.
        supervised: ids of the agencies whose competent department `agency` is.
        call: id of the call by which the actor acts.
    """

    subject: str
    agency: str = ""
    roles: frozenset[str] = frozenset()
    supervised: frozenset[str] = frozenset()
    call: str | None = None

    @property
    def sees_all(self) -> bool:
        """Tell whether the actor is an auditor, who sees requests and grants of all agencies."""
        return "auditor" in self.roles

    @property
    def supervises(self) -> frozenset[str]:
        """Return the agencies whose grants the actor sees as their competent officer."""
        return self.supervised if COMPETENT_ROLES & self.roles else frozenset()


def require_role(needed: frozenset[str], actor: Actor, done: str) -> None:
    """Check that the actor holds one of `needed`; `done` says what is done, in the passive.

    Raises:
        ActorRoleMissing: none of them.
    """
    if needed.isdisjoint(actor.roles):
        raise ActorRoleMissing(
            f"{done} by people with one of the roles {', '.join(sorted(needed))}.",
            facts={"needed_roles": sorted(needed), "roles": sorted(actor.roles)},
        )
