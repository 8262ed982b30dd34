"""Grants: a permission that is active, suspended or ended, and who may change that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind


class GrantState(StrEnum):
    """A grant ends for good; a suspended one can be resumed."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


class Act(StrEnum):
    """What can be done to a grant; the value says it in the past tense."""

    SUSPEND = "suspended"
    RESUME = "resumed"
    END = "ended"


class Side(StrEnum):
    """Where an agency stands to a grant: it gave it, uses it, or supervises its owner."""

    OWNER = "owner"
    CONSUMER = "consumer"
    COMPETENT = "competent"


_OWNERS_ROLES: Final = frozenset(
    {"resource_administrator", "sharing_office_head", "security_officer"}
)
_COMPETENT_ROLES: Final = frozenset({"competent_officer"})
ROLES: Final[Mapping[Act, Mapping[Side, frozenset[str]]]] = {
    Act.SUSPEND: {Side.OWNER: _OWNERS_ROLES, Side.COMPETENT: _COMPETENT_ROLES},
    Act.RESUME: {Side.OWNER: _OWNERS_ROLES, Side.COMPETENT: _COMPETENT_ROLES},
    Act.END: {
        Side.OWNER: _OWNERS_ROLES,
        Side.COMPETENT: _COMPETENT_ROLES,
        Side.CONSUMER: frozenset({"sharing_office_head"}),
    },
}
"""Who may do what: Decree 809, article 27, lets owner and competent department suspend."""

_NEXT: Final[Mapping[tuple[GrantState, Act], GrantState]] = {
    (GrantState.ACTIVE, Act.SUSPEND): GrantState.SUSPENDED,
    (GrantState.SUSPENDED, Act.RESUME): GrantState.ACTIVE,
    (GrantState.ACTIVE, Act.END): GrantState.ENDED,
    (GrantState.SUSPENDED, Act.END): GrantState.ENDED,
}


class GrantUnknown(DomainError):
    """No such grant, or one between other agencies. The two look alike on purpose."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "grant-unknown"


class GrantStateConflict(DomainError):
    """The grant is not in a state in which this can be done."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "grant-state-conflict"


class NotThisSide(DomainError):
    """The other side of the grant decides this."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "other-agency"


class GrantRoleMissing(DomainError):
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
        return self.supervised if _COMPETENT_ROLES & self.roles else frozenset()


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of `systems` of the consumer to use a resource of the owner.

    Attributes:
        version: rises by one with each change, under the row lock.
        systems, items, modes, operations, purposes: what is covered, nothing else.
        valid_from, valid_until: aware UTC; `[from, until)`.
        reason: why it was suspended or ended, in free text.
        basis: the ground on which it was asked for.
    """

    id: str
    version: int
    request: str
    resource: str
    entry: str
    entry_version: int
    owner: str
    consumer: str
    share_class: str
    basis: str
    systems: tuple[str, ...]
    items: tuple[str, ...]
    modes: tuple[str, ...]
    operations: tuple[str, ...]
    purposes: tuple[str, ...]
    valid_from: datetime
    valid_until: datetime
    state: GrantState
    reason: str | None
    created_at: datetime
    changed_at: datetime


def sides(grant: Grant, actor: Actor) -> frozenset[Side]:
    """Return where the actor's agency stands to the grant; nowhere for strangers."""
    found = set()
    if actor.agency == grant.owner:
        found.add(Side.OWNER)
    if actor.agency == grant.consumer:
        found.add(Side.CONSUMER)
    if grant.owner in actor.supervises:
        found.add(Side.COMPETENT)
    return frozenset(found)


def is_visible(grant: Grant, actor: Actor) -> bool:
    """Tell whether the actor may know of the grant."""
    return actor.sees_all or bool(sides(grant, actor))


def require_may(act: Act, grant: Grant, actor: Actor) -> None:
    """Check that the actor may do `act` to a grant that he may know of.

    Raises:
        GrantUnknown: he may not know of it.
        NotThisSide: the other side decides this.
        GrantRoleMissing: his side decides this, but he holds none of its roles.
    """
    if not is_visible(grant, actor):
        raise GrantUnknown(f"Grant {grant.id} does not exist.")
    needed = [ROLES[act][side] for side in sides(grant, actor) if side in ROLES[act]]
    if not needed:
        raise NotThisSide(
            f"A grant is {act} by its owner or the owner's competent department.",
            facts={"owner": grant.owner},
        )
    roles = frozenset().union(*needed)
    if roles.isdisjoint(actor.roles):
        raise GrantRoleMissing(
            f"At your agency a grant is {act} by people with one of the roles "
            f"{', '.join(sorted(roles))}.",
            facts={"needed_roles": sorted(roles), "roles": sorted(actor.roles)},
        )


def change(grant: Grant, act: Act, reason: str, now: datetime) -> Grant:
    """Return the next version of the grant after `act`.

    Raises:
        GrantStateConflict: the grant is in another state.
    """
    state = _NEXT.get((grant.state, act))
    if state is None:
        raise GrantStateConflict(
            f"Grant {grant.id} is {grant.state}; it cannot be {act}.",
            facts={"state": grant.state.value, "version": grant.version},
        )
    kept = None if state is GrantState.ACTIVE else reason
    return replace(grant, version=grant.version + 1, state=state, reason=kept, changed_at=now)
