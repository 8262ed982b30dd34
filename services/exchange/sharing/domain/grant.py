"""Grants: a permission that is active, suspended or ended, and who may change that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind
from services.exchange.sharing.domain.actor import (
    COMPETENT_ROLES,
    Actor,
    NotThisSide,
    Side,
    require_role,
)
from services.exchange.sharing.domain.entry import Law
from services.exchange.sharing.domain.terms import Terms, TermsNotNarrower


class GrantState(StrEnum):
    """A grant ends for good; a suspended one can be resumed."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    ENDED = "ended"


class Validity(StrEnum):
    """Where an instant lies in the period of a grant; its state is another matter."""

    NOT_YET = "not_yet"
    VALID = "valid"
    EXPIRED = "expired"


class Act(StrEnum):
    """What can be done to a grant; the value says it in the past tense."""

    SUSPEND = "suspended"
    RESUME = "resumed"
    END = "ended"
    NARROW = "narrowed"


_OWNERS_ROLES: Final = frozenset(
    {"resource_administrator", "sharing_office_head", "security_officer"}
)
ROLES: Final[Mapping[Act, Mapping[Side, frozenset[str]]]] = {
    Act.SUSPEND: {Side.OWNER: _OWNERS_ROLES, Side.COMPETENT: COMPETENT_ROLES},
    Act.RESUME: {Side.OWNER: _OWNERS_ROLES, Side.COMPETENT: COMPETENT_ROLES},
    Act.END: {
        Side.OWNER: _OWNERS_ROLES,
        Side.COMPETENT: COMPETENT_ROLES,
        Side.CONSUMER: frozenset({"sharing_office_head"}),
    },
    Act.NARROW: {Side.OWNER: frozenset({"resource_administrator"})},
}
"""Who may do what: Decree 809, article 27, lets owner and competent department suspend."""

_NEXT: Final[Mapping[tuple[GrantState, Act], GrantState]] = {
    (GrantState.ACTIVE, Act.SUSPEND): GrantState.SUSPENDED,
    (GrantState.SUSPENDED, Act.RESUME): GrantState.ACTIVE,
    (GrantState.ACTIVE, Act.END): GrantState.ENDED,
    (GrantState.SUSPENDED, Act.END): GrantState.ENDED,
    (GrantState.ACTIVE, Act.NARROW): GrantState.ACTIVE,
    (GrantState.SUSPENDED, Act.NARROW): GrantState.SUSPENDED,
}


class GrantUnknown(DomainError):
    """No such grant, or one between other agencies. The two look alike on purpose."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "grant-unknown"


class GrantStateConflict(DomainError):
    """The grant is not in a state in which this can be done."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "grant-state-conflict"


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission of `systems` of the consumer to use a resource of the owner.

    Attributes:
        version: rises by one with each change, under the row lock.
        request: the one it came of; a renewal does not change it.
        systems, terms: what is covered, nothing else.
        valid_from, valid_until: aware UTC; `[from, until)`.
        statutory: the law that names the consumer as a recipient, for what is not shared else.
        reason: why it was suspended or ended, in free text.
        suspended_by: owner or competent department; None unless it is suspended.
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
    terms: Terms
    valid_from: datetime
    valid_until: datetime
    statutory: Law | None
    state: GrantState
    reason: str | None
    created_at: datetime
    changed_at: datetime
    suspended_by: Side | None = None

    def validity(self, now: datetime) -> Validity:
        """Tell where `now` lies in the period."""
        if now < self.valid_from:
            return Validity.NOT_YET
        return Validity.VALID if now < self.valid_until else Validity.EXPIRED


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


def require_may(act: Act, grant: Grant, actor: Actor) -> Side:
    """Return the side on which the actor may do `act` to a grant that he may know of.

    What the competent department has suspended, it alone resumes.

    Raises:
        GrantUnknown: he may not know of it.
        NotThisSide: the other side decides this.
        ActorRoleMissing: his side decides this, but he holds none of its roles.
    """
    if not is_visible(grant, actor):
        raise unknown(grant.id)
    is_held = act is Act.RESUME and grant.suspended_by is Side.COMPETENT
    needed = {
        side: ROLES[act][side]
        for side in sides(grant, actor)
        if side in ROLES[act] and (side is Side.COMPETENT or not is_held)
    }
    if not needed:
        raise _other_side(act, grant, is_held=is_held)
    require_role(frozenset().union(*needed.values()), actor, f"At your agency a grant is {act}")
    holding = [side for side, roles in needed.items() if not roles.isdisjoint(actor.roles)]
    return Side.COMPETENT if Side.COMPETENT in holding else holding[0]


def require_renewable(grant: Grant, actor: Actor) -> None:
    """Check that the actor's agency uses the grant, and that it has not ended.

    Raises:
        GrantUnknown, NotThisSide: as for `require_may`.
        GrantStateConflict: it was ended for good.
    """
    if not is_visible(grant, actor):
        raise unknown(grant.id)
    if actor.agency != grant.consumer:
        raise NotThisSide("A grant is renewed for its consumer.", facts={"owner": grant.owner})
    if grant.state is GrantState.ENDED:
        raise _conflict(grant, "renewed")


def change(
    grant: Grant, act: Act, reason: str, now: datetime, *, side: Side | None = None
) -> Grant:
    """Return the next version of the grant after `act`; `narrow` narrows.

    The competent department may suspend what its owner has suspended already.

    Args:
        side: on which `act` is done; None when nobody does it.

    Raises:
        GrantStateConflict: the grant is in another state.
    """
    state = _NEXT.get((grant.state, act))
    if (act, grant.suspended_by, side) == (Act.SUSPEND, Side.OWNER, Side.COMPETENT):
        state = GrantState.SUSPENDED
    if state is None:
        raise _conflict(grant, act)
    return replace(
        grant,
        version=grant.version + 1,
        state=state,
        reason=None if state is GrantState.ACTIVE else reason,
        changed_at=now,
        suspended_by=side if act is Act.SUSPEND else None,
    )


def narrow(grant: Grant, terms: Terms, now: datetime) -> Grant:
    """Return the next version of the grant, which covers `terms` only.

    Args:
        terms: narrower than those of the grant; see `terms.narrowed`.

    Raises:
        GrantStateConflict: it has ended.
        TermsNotNarrower: they are what it covers already.
    """
    if (grant.state, Act.NARROW) not in _NEXT:
        raise _conflict(grant, Act.NARROW)
    if terms == grant.terms:
        raise TermsNotNarrower("The grant covers just this already.")
    return replace(grant, version=grant.version + 1, terms=terms, changed_at=now)


def renew(grant: Grant, until: datetime, entry_version: int, now: datetime) -> Grant:
    """Return the next version of the grant, valid until `until`.

    What the grant covers, and a suspension, stay. A grant that has expired begins anew at `now`:
    what lies between was never covered.

    Raises:
        GrantStateConflict: it has ended, or is valid that long already.
    """
    if grant.state is GrantState.ENDED or until <= grant.valid_until:
        raise _conflict(grant, "renewed")
    return replace(
        grant,
        version=grant.version + 1,
        entry_version=entry_version,
        valid_from=now if grant.valid_until <= now else grant.valid_from,
        valid_until=until,
        changed_at=now,
    )


def unknown(grant_id: str) -> GrantUnknown:
    """Return the error for a grant that is not there, or not to be known."""
    return GrantUnknown(f"Grant {grant_id} does not exist.")


def _other_side(act: Act, grant: Grant, *, is_held: bool) -> NotThisSide:
    if is_held:
        return NotThisSide(
            f"Grant {grant.id} was suspended by the owner's competent department, which alone "
            "resumes it.",
            facts={"owner": grant.owner, "suspended_by": Side.COMPETENT.value},
        )
    return NotThisSide(
        f"A grant is {act} by its owner or the owner's competent department.",
        facts={"owner": grant.owner},
    )


def _conflict(grant: Grant, done: str) -> GrantStateConflict:
    return GrantStateConflict(
        f"Grant {grant.id} is {grant.state}; it cannot be {done}.",
        facts={
            "state": grant.state.value,
            "version": grant.version,
            "valid_until": grant.valid_until.isoformat(),
        },
    )
