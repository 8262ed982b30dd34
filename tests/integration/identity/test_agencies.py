"""Agencies: created by operators, suspended and resumed, felt on the bus."""

from typing import Any

import pytest

from tests.integration.identity.town import Town, an_agency


async def test_an_operator_creates_an_agency_with_its_first_security_officer(town: Town) -> None:
    body = an_agency(name="市民政局", line="民政", competent="platform")

    answer = await town.call(town.operator, "POST", "/agencies", json=body)
    officer = await town.enrol(answer.json()["security_officer"]["code"])
    read = await town.call(officer, "GET", f"/agencies/{body['id']}")

    assert answer.status_code == 201
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["datong-revision"].startswith(f"identity.agency/{body['id']}@1")
    assert read.json()["competent"] == "platform"
    assert read.headers["etag"] == '"1"'
    me = (await town.call(officer, "GET", "/me")).json()
    assert me["roles"] == ["security_officer"]


async def test_state_and_fact_are_one_transaction_and_name_who_and_which_call(town: Town) -> None:
    body = an_agency()
    call = {"Datong-Call": "0197f2a0-0000-7000-8000-000000000001"}
    await town.call(town.operator, "POST", "/agencies", json=body, headers=call)

    state, fact = await town.outbox(f"agency/{body['id']}")

    assert state["type"] == "identity.agency.v1"
    assert state["version"] == 1
    assert state["data"] == {
        "id": body["id"],
        "name": body["name"],
        "level": "city",
        "area_code": "330100",
        "line": None,
        "competent": None,
        "state": "active",
        "critical": ["state"],
    }
    assert fact["type"] == "identity.agency-created.v1"
    assert fact["actor"] == town.operator.subject
    assert fact["call"] == call["Datong-Call"]


async def test_an_id_is_taken_once(town: Town) -> None:
    body = an_agency()
    await town.call(town.operator, "POST", "/agencies", json=body)

    again = await town.call(town.operator, "POST", "/agencies", json=body)

    assert (again.status_code, again.json()["code"]) == (409, "agency-exists")
    assert len(await town.states(f"agency/{body['id']}")) == 1


async def test_an_agency_may_be_its_own_competent_department(town: Town) -> None:
    body = an_agency(id="city-data-bureau", competent="city-data-bureau")

    answer = await town.call(town.operator, "POST", "/agencies", json=body)

    assert answer.status_code == 201


@pytest.mark.parametrize(
    ("change", "status", "code", "pointer"),
    [
        ({"id": "Großes-Amt"}, 422, "body-invalid", "/id"),
        ({"id": "../x"}, 422, "body-invalid", "/id"),
        ({"id": 5}, 422, "body-invalid", "/id"),
        ({"name": ""}, 422, "body-invalid", "/name"),
        ({"name": "民政\u0000局"}, 422, "body-invalid", "/name"),
        ({"name": "民政\n局"}, 422, "body-invalid", "/name"),
        ({"level": "village"}, 422, "body-invalid", "/level"),
        ({"area_code": "990000"}, 422, "body-invalid", "/area_code"),
        ({"area_code": "000000"}, 422, "body-invalid", "/area_code"),
        ({"area_code": 330100}, 422, "body-invalid", "/area_code"),
        ({"audits": "yes"}, 422, "body-invalid", "/audits"),
        ({"extra": 1}, 422, "body-invalid", "/extra"),
        ({"security_officer": {}}, 422, "body-invalid", "/security_officer/name"),
        ({"security_officer": None}, 422, "body-invalid", "/security_officer"),
        ({"competent": "nobody-there"}, 404, "agency-unknown", "/competent"),
    ],
)
async def test_a_bad_agency_is_refused_with_a_pointer(
    town: Town, change: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    body = an_agency(**change)

    answer = await town.call(town.operator, "POST", "/agencies", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["errors"][0]["pointer"] == pointer
    assert answer.json()["next_step"]
    count = await town.sql("SELECT 1 FROM agency WHERE id = $1", str(body["id"]))
    assert count == []


async def test_only_operators_create_and_suspend_agencies(town: Town) -> None:
    created = await town.call(town.officer, "POST", "/agencies", json=an_agency())
    suspended = await town.call(town.officer, "POST", "/agencies/platform/suspensions")

    assert (created.status_code, created.json()["code"]) == (403, "role-missing")
    assert created.json()["facts"]["needed_roles"] == ["platform_operator"]
    assert suspended.json()["code"] == "role-missing"


async def test_a_suspension_is_answered_200_once_the_bus_has_it(town: Town, bus: None) -> None:
    officer = await town.agency()
    path = f"/agencies/{officer.agency}"

    answer = await town.call(town.operator, "POST", f"{path}/suspensions", json={"reason": "泄露"})

    assert answer.status_code == 200
    assert answer.json() == {
        "on_bus": True,
        "id": officer.agency,
        "state": "suspended",
        "version": 2,
    }
    assert answer.headers["datong-revision"] == f"identity.agency/{officer.agency}@2"
    fact = (await town.facts(f"agency/{officer.agency}"))[-1]
    assert fact["type"] == "identity.agency-suspended.v1"
    assert fact["data"] == {"agency": officer.agency, "reason": "泄露", "version": 2}


async def test_without_a_bus_a_suspension_is_accepted_and_says_so(town: Town) -> None:
    officer = await town.agency()

    answer = await town.call(town.operator, "POST", f"/agencies/{officer.agency}/suspensions")

    assert answer.status_code == 202
    assert answer.json()["on_bus"] is False
    assert (await town.ask_token(officer)).json()["code"] == "agency-suspended"


async def test_suspending_twice_changes_nothing_and_still_tells_the_truth(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    path = f"/agencies/{officer.agency}"
    await town.call(town.operator, "POST", f"{path}/suspensions")

    again = await town.call(town.operator, "POST", f"{path}/suspensions")

    assert (again.status_code, again.json()["version"]) == (200, 2)
    assert [s["version"] for s in await town.states(f"agency/{officer.agency}")] == [1, 2, 2]
    assert len(await town.facts(f"agency/{officer.agency}")) == 2


async def test_a_resumption_lets_the_people_call_again(town: Town, bus: None) -> None:
    officer = await town.agency()
    path = f"/agencies/{officer.agency}"
    await town.call(town.operator, "POST", f"{path}/suspensions")

    answer = await town.call(town.operator, "POST", f"{path}/resumptions")

    assert (answer.json()["state"], answer.json()["version"]) == ("active", 3)
    assert (await town.call(officer, "GET", "/me")).status_code == 200


async def test_nobody_suspends_the_own_agency(town: Town) -> None:
    answer = await town.call(town.operator, "POST", "/agencies/platform/suspensions")

    assert (answer.status_code, answer.json()["code"]) == (409, "own-access")
    assert (await town.call(town.operator, "GET", "/agencies/platform")).json()["version"] == 1


async def test_agencies_are_listed_in_pages(town: Town) -> None:
    for number in range(3):
        await town.agency(id=f"bureau-{number}")
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await town.call(town.operator, "GET", "/agencies", params=query)).json()
        seen += [agency["id"] for agency in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert seen == sorted(set(seen))
    assert {"platform", "bureau-0", "bureau-1", "bureau-2"} <= set(seen)


async def test_an_unknown_agency_is_404(town: Town) -> None:
    answer = await town.call(town.operator, "GET", "/agencies/no-such-agency")

    assert (answer.status_code, answer.json()["code"]) == (404, "agency-unknown")
