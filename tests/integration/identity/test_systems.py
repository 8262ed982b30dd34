"""Systems: registered by their agency's security officer, read by its people."""

from kit.ids import uuid7
from tests.integration.identity.town import Town


async def test_a_system_is_registered_and_read_by_people_of_its_agency(town: Town) -> None:
    officer = await town.agency()
    registrar = await town.person(officer, "registrar")
    system = await town.system(officer)

    read = await town.call(registrar, "GET", f"/systems/{system.id}")
    listed = await town.call(registrar, "GET", "/systems")

    assert read.json()["name"] == "出生医学证明系统"
    assert [each["id"] for each in listed.json()["items"]] == [system.id]
    (state,) = await town.states(f"system/{system.id}")
    assert state["data"]["critical"] == ["state"]


async def test_systems_neither_register_nor_read_systems(town: Town) -> None:
    officer = await town.agency()
    system = await town.system(officer)

    attempts = [
        await town.call(system, "GET", "/systems"),
        await town.call(system, "GET", f"/systems/{system.id}"),
        await town.call(system, "POST", "/systems", json={"name": "另一个"}),
    ]

    assert {answer.json()["code"] for answer in attempts} == {"role-missing"}


async def test_systems_of_another_agency_cannot_be_touched(town: Town) -> None:
    own, other = await town.agency(), await town.agency()
    system = (await town.system(other)).id

    attempts = [
        await town.call(own, "GET", f"/systems/{system}"),
        await town.call(own, "POST", f"/systems/{system}/suspensions"),
        await town.call(own, "POST", f"/systems/{system}/resumptions"),
        await town.call(own, "POST", f"/systems/{system}/codes"),
        await town.call(own, "POST", "/systems", json={"name": "x", "agency": other.agency}),
    ]

    assert {answer.json()["code"] for answer in attempts} == {"other-agency"}


async def test_a_suspended_system_is_resumed(town: Town, bus: None) -> None:
    officer = await town.agency()
    system = await town.system(officer)
    await town.headers(system)

    suspended = await town.call(officer, "POST", f"/systems/{system.id}/suspensions")
    refused = await town.call(system, "GET", "/me")
    resumed = await town.call(officer, "POST", f"/systems/{system.id}/resumptions")

    assert (suspended.status_code, suspended.json()["state"]) == (200, "suspended")
    assert refused.json()["code"] == "caller-suspended"
    assert resumed.headers["datong-revision"] == f"identity.system/{system.id}@3"
    assert (await town.call(system, "GET", "/me")).status_code == 200


async def test_an_unknown_system_is_404(town: Town) -> None:
    answer = await town.call(town.officer, "GET", f"/systems/{uuid7()}")

    assert (answer.status_code, answer.json()["code"]) == (404, "holder-unknown")
