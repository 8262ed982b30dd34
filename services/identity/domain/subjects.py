"""Agencies, people and systems: what can be suspended, and by whom."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final, TypeVar

from kit.errors import DomainError, Kind

PLATFORM: Final = "platform"
"""Id of the operator's agency, made by `bootstrap`."""


class Level(StrEnum):
    """Levels of the tree of agencies."""

    NATION = "nation"
    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"


class Standing(StrEnum):
    """Whether a subject may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Role(StrEnum):
    """Posts (岗位) that people hold at their agency."""

    REGISTRAR = "registrar"
    REVIEWER = "reviewer"
    SHARING_OFFICE_HEAD = "sharing_office_head"
    RESOURCE_ADMINISTRATOR = "resource_administrator"
    TECHNICAL_OFFICER = "technical_officer"
    SECURITY_OFFICER = "security_officer"
    AGENCY_HEAD = "agency_head"
    COMPETENT_OFFICER = "competent_officer"
    PLATFORM_OPERATOR = "platform_operator"
    AUDITOR = "auditor"


Roles = frozenset[Role]


class AgencyUnknown(DomainError):
    """No agency has this id."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "agency-unknown"


class AgencyExists(DomainError):
    """An agency has this id already."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "agency-exists"


class HolderUnknown(DomainError):
    """No person, or no system, has this id."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "holder-unknown"


class RolesConflict(DomainError):
    """One person would hold both sides of a control."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "roles-conflict"


class RoleNotForAgency(DomainError):
    """People of this agency cannot hold this role, since it reaches beyond the agency."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "role-not-for-agency"


class OwnAccess(DomainError):
    """The caller would shut itself out."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "own-access"


@dataclass(frozen=True, slots=True)
class Agency:
    """A department.

    Attributes:
        id: plain id, chosen by the operator, for good.
        area_code: GB/T 2260, or `000000` for the nation.
        line: the line of business (条) it belongs to.
        competent: id of the competent department of its level; may be the agency itself.
        audits: whether its people may be auditors, who see the evidence of all agencies.
    """

    id: str
    name: str
    level: Level
    area_code: str
    line: str | None
    competent: str | None
    audits: bool
    state: Standing = Standing.ACTIVE
    version: int = 1

    kind: ClassVar = "agency"

    @property
    def agency(self) -> str:
        """Return the agency that answers for the subject: itself."""
        return self.id


@dataclass(frozen=True, slots=True)
class Person:
    """An official of an agency, with roles."""

    id: str
    agency: str
    name: str
    roles: Roles
    state: Standing = Standing.ACTIVE
    version: int = 1

    kind: ClassVar = "person"


@dataclass(frozen=True, slots=True)
class System:
    """An application of an agency (应用系统)."""

    id: str
    agency: str
    name: str
    state: Standing = Standing.ACTIVE
    version: int = 1

    kind: ClassVar = "system"


Subject = Agency | Person | System
Holder = Person | System
"""What a certificate is issued to."""

AnySubject = TypeVar("AnySubject", bound=Subject)

UNKNOWN: Final[dict[str, type[DomainError]]] = {
    "agency": AgencyUnknown,
    "person": HolderUnknown,
    "system": HolderUnknown,
}


def in_state(subject: AnySubject, state: Standing) -> AnySubject:
    """Return `subject` in `state`: the next version, or the same object when nothing changes."""
    if subject.state == state:
        return subject
    return replace(subject, state=state, version=subject.version + 1)


def with_roles(person: Person, roles: Roles) -> Person:
    """Return `person` with `roles`: the next version, or the same object when nothing changes."""
    if person.roles == roles:
        return person
    return replace(person, roles=roles, version=person.version + 1)


def require_assignable(roles: Iterable[Role], agency: Agency) -> Roles:
    """Check that one person of `agency` may hold all of `roles`; return them.

    Two roles reach beyond their own agency and are therefore tied to agencies that the platform
    operator made for them: else every security officer could appoint one.

    Raises:
        RolesConflict: operator and auditor in one person.
        RoleNotForAgency: an operator outside the operator's agency, or an auditor in an agency
            that does not audit.
    """
    held = frozenset(roles)
    if {Role.PLATFORM_OPERATOR, Role.AUDITOR} <= held:
        raise RolesConflict(
            "One person never is platform operator and auditor.",
            pointer="/roles",
            facts={"roles": sorted(held)},
        )
    if Role.PLATFORM_OPERATOR in held and agency.id != PLATFORM:
        raise RoleNotForAgency(
            "Platform operators belong to the operator's agency.",
            pointer="/roles",
            facts={"role": Role.PLATFORM_OPERATOR, "agency": agency.id},
        )
    if Role.AUDITOR in held and not agency.audits:
        raise RoleNotForAgency(
            "Auditors belong to agencies that were created with `audits`.",
            pointer="/roles",
            facts={"role": Role.AUDITOR, "agency": agency.id},
        )
    return held


def require_not_own(subject: Subject, caller: str, caller_agency: str) -> None:
    """Check that a caller does not suspend itself or its own agency, which nobody could undo.

    Args:
        caller: `person/<id>`.

    Raises:
        OwnAccess: it does.
    """
    if f"{subject.kind}/{subject.id}" in (caller, f"agency/{caller_agency}"):
        raise OwnAccess("Nobody suspends themselves or their own agency.")


def require_keeps_office(person: Person, roles: Roles, caller: str) -> None:
    """Check that a security officer does not drop its own office.

    Raises:
        OwnAccess: it would.
    """
    if f"person/{person.id}" == caller and Role.SECURITY_OFFICER not in roles:
        raise OwnAccess("A security officer does not drop the own office.", pointer="/roles")
