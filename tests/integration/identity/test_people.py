"""People and roles: only by their own agency, never both sides of a control, never stale."""

import asyncio
from typing import Any

import httpx
import pytest

from kit.ids import uuid7
from tests.integration.identity.town import Enrolled, Town


async def set_roles(
    town: Town, officer: Enrolled, person: str, roles: list[str], if_match: str | None = '"1"'
) -> httpx.Response:
    headers = {} if if_match is None else {"If-Match": if_match}
    path = f"/people/{person}/roles"
    return await town.call(officer, "PUT", path, json={"roles": roles}, headers=headers)


async def test_roles_are_replaced_under_the_version_that_was_read(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer, "registrar")
    read = await town.call(officer, "GET", f"/people/{person.id}")

    answer = await set_roles(
        town, officer, person.id, ["reviewer", "reviewer"], read.headers["etag"]
    )

    assert (answer.status_code, answer.json()["roles"]) == (200, ["reviewer"])
    assert answer.headers["etag"] == '"2"'
    assert answer.headers["datong-revision"] == f"identity.person/{person.id}@2"
    state = (await town.states(f"person/{person.id}"))[-1]
    assert state["data"]["roles"] == ["reviewer"]
    assert state["data"]["critical"] == ["roles", "state"]
    fact = (await town.facts(f"person/{person.id}"))[-1]
    assert fact["type"] == "identity.roles-changed.v1"
    assert fact["data"]["roles_before"] == ["registrar"]
    assert (await town.call(person, "GET", "/me")).json()["roles"] == ["reviewer"]


async def test_a_stale_or_missing_if_match_changes_nothing(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer, "registrar")

    missing = await set_roles(town, officer, person.id, [], None)
    stale = await set_roles(town, officer, person.id, [], '"7"')
    any_version = await set_roles(town, officer, person.id, [], "*")

    assert (missing.status_code, missing.json()["code"]) == (428, "precondition-required")
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    assert any_version.status_code == 412
    read = await town.call(officer, "GET", f"/people/{person.id}")
    assert (read.json()["roles"], read.headers["etag"]) == (["registrar"], '"1"')


async def test_of_two_changes_from_one_version_one_wins(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer)

    answers = await asyncio.gather(
        set_roles(town, officer, person.id, ["reviewer"]),
        set_roles(town, officer, person.id, ["registrar"]),
    )

    assert sorted(answer.status_code for answer in answers) == [200, 412]


async def test_the_same_roles_again_make_no_new_version(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer, "reviewer")

    answer = await set_roles(town, officer, person.id, ["reviewer"])

    assert answer.headers["etag"] == '"1"'
    assert len(await town.states(f"person/{person.id}")) == 1


async def test_nobody_is_operator_and_auditor(town: Town) -> None:
    officer = await town.agency(audits=True)
    person = await town.person(officer, "auditor")

    answer = await set_roles(town, officer, person.id, ["auditor", "platform_operator"])

    assert (answer.status_code, answer.json()["code"]) == (409, "roles-conflict")
    assert answer.json()["errors"][0]["pointer"] == "/roles"


async def test_a_security_officer_cannot_appoint_an_operator_or_an_auditor_of_all(
    town: Town,
) -> None:
    officer = await town.agency()

    answers = [
        await town.call(officer, "POST", "/people", json={"name": "周杰", "roles": [role]})
        for role in ("platform_operator", "auditor")
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["code"] for answer in answers} == {"role-not-for-agency"}


async def test_the_operators_agency_has_more_operators_and_no_auditor(town: Town) -> None:
    operator = {"name": "孙丽", "roles": ["platform_operator"]}
    auditor = {"name": "孙丽", "roles": ["auditor"]}

    assert (await town.call(town.officer, "POST", "/people", json=operator)).status_code == 201
    assert (await town.call(town.officer, "POST", "/people", json=auditor)).status_code == 403


async def test_people_of_another_agency_cannot_be_touched(town: Town) -> None:
    own, other = await town.agency(), await town.agency()
    person = (await town.person(other, "registrar")).id
    attempts = [
        await town.call(own, "GET", f"/people/{person}"),
        await set_roles(town, own, person, []),
        await town.call(own, "POST", f"/people/{person}/suspensions"),
        await town.call(own, "POST", f"/people/{person}/resumptions"),
        await town.call(own, "POST", f"/people/{person}/codes"),
        await town.call(own, "POST", "/people", json={"name": "吴磊", "agency": other.agency}),
        await town.call(own, "GET", f"/people?agency={other.agency}"),
    ]

    assert {(a.status_code, a.json()["code"]) for a in attempts} == {(403, "other-agency")}
    read = await town.call(other, "GET", f"/people/{person}")
    assert (read.json()["state"], read.json()["version"]) == ("active", 1)


async def test_a_registrar_manages_nobody(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer, "registrar")

    attempts = [
        await town.call(person, "GET", "/people"),
        await town.call(person, "POST", "/people", json={"name": "郑爽"}),
        await set_roles(town, person, person.id, ["security_officer"]),
        await town.call(person, "POST", f"/people/{officer.id}/suspensions"),
    ]

    assert {answer.json()["code"] for answer in attempts} == {"role-missing"}


async def test_a_security_officer_does_not_shut_itself_out(town: Town) -> None:
    officer = await town.agency()

    suspended = await town.call(officer, "POST", f"/people/{officer.id}/suspensions")
    dropped = await set_roles(town, officer, officer.id, ["registrar"])
    kept = await set_roles(town, officer, officer.id, ["registrar", "security_officer"])

    assert (suspended.status_code, suspended.json()["code"]) == (409, "own-access")
    assert dropped.json()["code"] == "own-access"
    assert kept.status_code == 200


async def test_an_auditor_sees_all_people_and_an_agency_only_its_own(town: Town) -> None:
    auditing = await town.agency(audits=True)
    auditor = await town.person(auditing, "auditor")
    officer = await town.agency()
    person = await town.person(officer)

    own = (await town.call(officer, "GET", "/people?limit=200")).json()["items"]
    everybody = (await town.call(auditor, "GET", "/people?limit=200")).json()["items"]
    filtered = await town.call(auditor, "GET", f"/people?agency={officer.agency}")

    assert {each["id"] for each in own} == {officer.id, person.id}
    assert {each["agency"] for each in everybody} >= {"platform", officer.agency}
    assert {each["id"] for each in filtered.json()["items"]} == {officer.id, person.id}


async def test_a_suspended_person_is_resumed(town: Town, bus: None) -> None:
    officer = await town.agency()
    person = await town.person(officer, "reviewer")

    suspended = await town.call(officer, "POST", f"/people/{person.id}/suspensions")
    resumed = await town.call(officer, "POST", f"/people/{person.id}/resumptions")

    assert [a.json()["state"] for a in (suspended, resumed)] == ["suspended", "active"]
    assert [a.json()["on_bus"] for a in (suspended, resumed)] == [True, True]
    assert [f["type"] for f in await town.facts(f"person/{person.id}")] == [
        "identity.person-created.v1",
        "identity.code-issued.v1",
        "identity.person-suspended.v1",
        "identity.person-resumed.v1",
    ]


async def test_names_of_people_are_not_in_facts(town: Town) -> None:
    officer = await town.agency()
    person = await town.person(officer)

    facts = await town.facts(f"person/{person.id}")

    assert "王芳" not in str(facts)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"roles": []}, "/name"),
        ({"name": "冯军", "roles": "registrar"}, "/roles"),
        ({"name": "冯军", "roles": ["king"]}, "/roles/0"),
        ({"name": "冯军", "roles": [1]}, "/roles/0"),
        ({"name": ["冯军"]}, "/name"),
        ({"name": "冯军", "id": "me"}, "/id"),
        ([], ""),
    ],
)
async def test_a_bad_person_is_refused_with_a_pointer(town: Town, body: Any, pointer: str) -> None:
    answer = await town.call(town.officer, "POST", "/people", json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "body-invalid")
    assert answer.json()["errors"][0]["pointer"] == pointer


async def test_an_unknown_person_is_404(town: Town) -> None:
    unknown = uuid7()
    attempts = [
        await town.call(town.officer, "GET", f"/people/{unknown}"),
        await set_roles(town, town.officer, unknown, []),
        await town.call(town.officer, "POST", f"/people/{unknown}/suspensions"),
        await town.call(town.officer, "POST", f"/people/{unknown}/codes"),
    ]

    assert {(a.status_code, a.json()["code"]) for a in attempts} == {(404, "holder-unknown")}
