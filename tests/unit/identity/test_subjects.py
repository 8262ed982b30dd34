"""Rules about agencies, people and systems."""

from typing import Any

import pytest

from kit import auth
from services.identity.domain.subjects import (
    PLATFORM,
    Agency,
    Level,
    OwnAccess,
    Person,
    Role,
    RoleNotForAgency,
    RolesConflict,
    Standing,
    System,
    in_state,
    require_assignable,
    require_keeps_office,
    require_not_own,
    with_roles,
)


def an_agency(**changed: Any) -> Agency:
    values: dict[str, Any] = {
        "id": "civil-affairs",
        "name": "市民政局",
        "level": Level.CITY,
        "area_code": "330100",
        "line": None,
        "competent": None,
        "audits": False,
    }
    return Agency(**values | changed)


def a_person(*roles: Role) -> Person:
    return Person("p-1", "civil-affairs", "王芳", frozenset(roles))


def test_the_roles_are_those_that_routes_may_ask_for() -> None:
    assert sorted(Role) == sorted(auth.ROLES)


def test_a_suspension_makes_the_next_version() -> None:
    suspended = in_state(an_agency(version=4), Standing.SUSPENDED)

    assert (suspended.state, suspended.version) == (Standing.SUSPENDED, 5)


def test_the_same_state_again_is_no_change() -> None:
    system = System("s-1", "civil-affairs", "门户")

    assert in_state(system, Standing.ACTIVE) is system


def test_new_roles_make_the_next_version_and_the_same_ones_do_not() -> None:
    person = a_person(Role.REGISTRAR)

    assert with_roles(person, frozenset({Role.REVIEWER})).version == 2
    assert with_roles(person, frozenset({Role.REGISTRAR})) is person


@pytest.mark.parametrize(
    ("agency", "roles", "refusal"),
    [
        (an_agency(), [Role.PLATFORM_OPERATOR], RoleNotForAgency),
        (an_agency(), [Role.AUDITOR], RoleNotForAgency),
        (an_agency(id=PLATFORM), [Role.AUDITOR], RoleNotForAgency),
        (an_agency(audits=True), [Role.PLATFORM_OPERATOR], RoleNotForAgency),
        (an_agency(id=PLATFORM, audits=True), list(Role), RolesConflict),
    ],
)
def test_roles_that_reach_beyond_the_agency_are_refused(
    agency: Agency, roles: list[Role], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal) as refused:
        require_assignable(roles, agency)

    assert refused.value.pointer == "/roles"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("agency", "role"),
    [
        (an_agency(id=PLATFORM), Role.PLATFORM_OPERATOR),
        (an_agency(audits=True), Role.AUDITOR),
        *[
            (an_agency(), role)
            for role in Role
            if role not in (Role.AUDITOR, Role.PLATFORM_OPERATOR)
        ],
    ],
)
def test_every_other_role_is_given_by_the_agency(agency: Agency, role: Role) -> None:
    assert require_assignable([role, role], agency) == {role}


def test_nobody_suspends_itself_or_its_agency() -> None:
    with pytest.raises(OwnAccess):
        require_not_own(a_person(), "person/p-1", "civil-affairs")
    with pytest.raises(OwnAccess):
        require_not_own(an_agency(), "person/p-1", "civil-affairs")
    require_not_own(a_person(), "person/p-2", "civil-affairs")
    require_not_own(an_agency(), "person/p-1", "health")


def test_a_security_officer_keeps_the_own_office_but_may_take_it_from_others() -> None:
    officer = a_person(Role.SECURITY_OFFICER)

    with pytest.raises(OwnAccess):
        require_keeps_office(officer, frozenset(), "person/p-1")
    require_keeps_office(officer, frozenset(), "person/p-2")
    require_keeps_office(officer, frozenset({Role.SECURITY_OFFICER}), "person/p-1")
