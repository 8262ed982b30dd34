"""Grants: who sees them, who changes them, what may be used."""

import asyncio
from datetime import timedelta

import pytest

from kit import inbox
from kit.canonical import canonical
from kit.clock import rfc3339
from kit.ids import uuid7
from services.exchange.sharing import consumer
from services.exchange.sharing.actions import upkeep
from tests.integration.sharing.conftest import Sharing


async def test_a_suspended_grant_can_be_resumed_and_an_ended_one_cannot(sharing: Sharing) -> None:
    grant = await sharing.grant()
    acts = ["suspensions", "resumptions", "endings", "resumptions", "suspensions", "endings"]

    answers = [await sharing.change(sharing.owner, grant["id"], act) for act in acts]

    # No relay runs here, so the bus cannot have acknowledged the changes.
    assert [answer.status_code for answer in answers] == [202, 202, 202, 409, 409, 409]
    assert answers[0].json()["on_bus"] is False
    assert answers[0].json()["grant"]["reason"] == "For suspensions."
    assert answers[0].headers["datong-revision"] == f"sharing.grant/{grant['id']}@2"
    assert answers[1].json()["grant"]["reason"] is None
    assert answers[3].json()["code"] == "grant-state-conflict"
    states = await sharing.outbox("sharing.grant.v1")
    assert [(s["version"], s["data"]["state"]) for s in states] == [
        (1, "active"),
        (2, "suspended"),
        (3, "active"),
        (4, "ended"),
    ]
    facts = (await sharing.outbox("sharing.change.v1"))[2:]
    assert [(fact["type"], fact["data"]["reason_text"]) for fact in facts] == [
        ("sharing.grant-suspended.v1", "For suspensions."),
        ("sharing.grant-resumed.v1", "For resumptions."),
        ("sharing.grant-ended.v1", "For endings."),
    ]


async def test_the_consumer_ends_its_grant_and_decides_nothing_else(sharing: Sharing) -> None:
    grant = await sharing.grant()

    suspended = await sharing.change(sharing.head, grant["id"], "suspensions")
    resumed = await sharing.change(sharing.head, grant["id"], "resumptions")
    ended = await sharing.change(sharing.head, grant["id"], "endings")

    assert suspended.json()["code"] == resumed.json()["code"] == "other-agency"
    assert ended.json()["grant"]["state"] == "ended"


async def test_the_competent_department_of_the_owner_suspends(sharing: Sharing) -> None:
    grant = await sharing.grant()

    assert (
        await sharing.call(sharing.competent, "GET", f"/grants/{grant['id']}")
    ).status_code == 200
    listed = (await sharing.call(sharing.competent, "GET", "/grants")).json()["items"]
    suspended = await sharing.change(sharing.competent, grant["id"], "suspensions")

    assert [found["id"] for found in listed] == [grant["id"]]
    assert suspended.json()["grant"]["state"] == "suspended"


async def test_what_the_competent_department_suspended_it_alone_resumes(sharing: Sharing) -> None:
    grant = (await sharing.grant())["id"]
    by_the_owner = await sharing.change(sharing.owner, grant, "suspensions")
    taken_over = await sharing.change(sharing.competent, grant, "suspensions")
    twice = [
        await sharing.change(caller, grant, "suspensions")
        for caller in (sharing.owner, sharing.competent)
    ]

    refused = await sharing.change(sharing.owner, grant, "resumptions")
    resumed = await sharing.change(sharing.competent, grant, "resumptions")
    again = await sharing.change(sharing.owner, grant, "suspensions")
    by_the_owner_again = await sharing.change(sharing.owner, grant, "resumptions")

    sides = [answer.json()["grant"]["suspended_by"] for answer in (by_the_owner, taken_over)]
    assert sides == ["owner", "competent"]
    assert [answer.json()["code"] for answer in twice] == ["grant-state-conflict"] * 2
    assert (refused.status_code, refused.json()["code"]) == (403, "other-agency")
    assert refused.json()["facts"] == {"owner": "civil-affairs", "suspended_by": "competent"}
    assert resumed.json()["grant"]["suspended_by"] is None
    assert (again.status_code, by_the_owner_again.status_code) == (202, 202)


async def test_an_agency_that_supervises_itself_suspends_by_the_role(sharing: Sharing) -> None:
    sharing.town.agency("civil-affairs", competent="civil-affairs")
    officer = sharing.town.person("civil-affairs", "competent_officer")
    grant = (await sharing.grant())["id"]

    suspended = await sharing.change(officer, grant, "suspensions")
    refused = await sharing.change(sharing.owner, grant, "resumptions")
    ended = await sharing.change(sharing.owner, grant, "endings")

    assert suspended.json()["grant"]["suspended_by"] == "competent"
    assert refused.json()["code"] == "other-agency"
    assert (ended.json()["grant"]["state"], ended.json()["grant"]["suspended_by"]) == (
        "ended",
        None,
    )


async def test_a_role_of_the_wrong_side_is_missing(sharing: Sharing) -> None:
    grant = await sharing.grant()
    officer = sharing.town.person("civil-affairs", "competent_officer")
    security = sharing.town.person("health-commission", "security_officer")

    at_owner = await sharing.change(officer, grant["id"], "suspensions")
    at_consumer = await sharing.change(security, grant["id"], "endings")
    system = await sharing.change(sharing.system, grant["id"], "endings")

    assert [a.json()["code"] for a in (at_owner, at_consumer, system)] == ["role-missing"] * 3
    assert at_consumer.json()["facts"]["needed_roles"] == ["sharing_office_head"]


async def test_strangers_neither_see_nor_change_a_grant(sharing: Sharing) -> None:
    grant = await sharing.grant()

    seen = await sharing.call(sharing.stranger, "GET", f"/grants/{grant['id']}")
    changed = await sharing.change(sharing.stranger, grant["id"], "endings")
    listed = await sharing.call(sharing.stranger, "GET", "/grants")
    unknown = await sharing.change(sharing.owner, uuid7(), "endings")

    assert {a.json()["code"] for a in (seen, changed, unknown)} == {"grant-unknown"}
    assert listed.json()["items"] == []
    assert len(await sharing.outbox("sharing.grant.v1")) == 1


async def test_both_agencies_and_auditors_list_a_grant(sharing: Sharing) -> None:
    grant = await sharing.grant()

    for caller in (sharing.head, sharing.owner, sharing.auditor):
        listed = (await sharing.call(caller, "GET", "/grants?state=active")).json()
        assert listed["items"] == [grant]
        none = (await sharing.call(caller, "GET", "/grants?state=ended")).json()
        assert none["items"] == []


async def test_pages_hold_every_grant_once(sharing: Sharing) -> None:
    made = [(await sharing.grant())["id"] for _ in range(5)]

    for path in ("/grants", "/usable", "/requests"):
        seen, query = [], "?limit=2"
        while query:
            page = (await sharing.call(sharing.head, "GET", f"{path}{query}")).json()
            seen += page["items"]
            query = f"?limit=2&cursor={page['next']}" if page["next"] else ""
        ids = [found["grant"] if path == "/usable" else found["id"] for found in seen]
        assert len(ids) == 5
        if path != "/requests":
            assert ids == made


async def test_usable_is_what_is_active_now_and_names_the_system(sharing: Sharing) -> None:
    other = sharing.town.system("health-commission")
    now = sharing.clock.now()
    mine = await sharing.grant(valid_until=rfc3339(now + timedelta(minutes=4)))
    theirs = await sharing.grant(systems=[other.id])
    later = await sharing.grant(valid_from=rfc3339(now + timedelta(minutes=2)))
    ended = await sharing.grant()
    await sharing.change(sharing.owner, ended["id"], "endings")

    async def usable(query: str = "", *, person: bool = False) -> list[str]:
        caller = sharing.head if person else sharing.system
        page = (await sharing.call(caller, "GET", f"/usable{query}")).json()
        return [found["grant"] for found in page["items"]]

    assert await usable() == [mine["id"]]
    assert await usable(person=True) == [mine["id"], theirs["id"]]
    assert await usable(f"?system={other.id}", person=True) == [theirs["id"]]
    sharing.clock.advance(timedelta(minutes=2))
    assert await usable() == [mine["id"], later["id"]]
    sharing.clock.advance(timedelta(minutes=2))
    assert await usable() == [later["id"]]


async def test_a_withdrawn_entry_ends_its_grants(sharing: Sharing) -> None:
    entry = sharing.entry("streets")
    one = await sharing.grant(resource="streets")
    await sharing.grant()
    event = {
        "id": uuid7(),
        "type": "catalog.entry-withdrawn.v1",
        "call": uuid7(),
        "data": {"entry": entry, "reason_text": "The law has changed."},
    }

    for _ in range(2):
        async with sharing.db.begin() as tx:
            if await inbox.first_time(tx, str(event["id"])):
                await consumer.on_entry_withdrawn(tx, event)

    listed = (await sharing.call(sharing.owner, "GET", "/grants?state=ended")).json()["items"]
    assert [found["id"] for found in listed] == [one["id"]]
    assert listed[0]["reason"] == "The entry was withdrawn: The law has changed."
    fact = (await sharing.outbox("sharing.change.v1"))[-1]
    assert (fact["actor"], fact["call"]) == ("part/sharing", event["call"])
    assert fact["data"]["grant_version"] == 2


async def withdraw(sharing: Sharing, entry: str) -> None:
    async with sharing.db.begin() as tx:
        await consumer.on_entry_withdrawn(
            tx, {"id": uuid7(), "data": {"entry": entry, "reason_text": "Merged."}}
        )


async def test_after_its_withdrawal_was_handled_an_old_copy_of_an_entry_grants_nothing(
    sharing: Sharing,
) -> None:
    streets = sharing.entry("streets")
    answered = await sharing.answered()
    incomes = sharing.copies.entry_of("incomes")
    assert incomes is not None
    await withdraw(sharing, streets)

    asked = await sharing.ask(resource="streets")
    confirmed = await sharing.step(sharing.owners_head, answered, "confirmations")
    await withdraw(sharing, incomes.id)
    drafted = await sharing.call(
        sharing.officer,
        "POST",
        "/requests",
        sharing.body(resource="incomes"),
        Idempotency_Key=uuid7(),
    )

    assert (asked.status_code, asked.json()["code"]) == (410, "resource-withdrawn")
    assert asked.json()["errors"][0]["pointer"] == "/resource"
    assert confirmed.json()["state"] == "granted"
    assert drafted.json()["code"] == "resource-withdrawn"


async def test_whatever_comes_first_a_withdrawal_leaves_no_grant(sharing: Sharing) -> None:
    for number in range(8):
        entry = sharing.entry(f"streets-{number}")
        grant = (await sharing.grant(resource=f"streets-{number}"))["id"]
        body = {"valid_until": rfc3339(sharing.clock.now() + timedelta(days=400))}

        await asyncio.gather(
            sharing.ask(resource=f"streets-{number}"),
            sharing.call(
                sharing.head, "POST", f"/grants/{grant}/renewals", body, Idempotency_Key=uuid7()
            ),
            withdraw(sharing, entry),
            sharing.ask(resource=f"streets-{number}"),
        )

        path = f"/grants?resource=streets-{number}"
        listed = (await sharing.call(sharing.owner, "GET", path)).json()["items"]
        assert {found["state"] for found in listed} == {"ended"}


async def test_parked_messages_are_replayed_once_they_can_be_handled(sharing: Sharing) -> None:
    entry = sharing.entry("streets")
    await sharing.grant(resource="streets")
    good = {
        "id": uuid7(),
        "type": "catalog.entry-withdrawn.v1",
        "data": {"entry": entry, "reason_text": "Merged."},
    }
    async with sharing.db.begin() as tx:
        await inbox.park(tx, "catalog.change.v1", 0, 7, canonical(good), "was broken")
        await inbox.park(tx, "catalog.change.v1", 0, 8, b"{", "is broken")

    handled, failed = await upkeep.replay_parked(sharing.db, consumer.HANDLERS)

    assert handled == 1
    assert len(failed) == 1
    assert failed[0].startswith("catalog.change.v1/0@8")
    async with sharing.db.begin() as tx:
        assert [message[2] for message in await inbox.parked(tx)] == [8]
    listed = (await sharing.call(sharing.owner, "GET", "/grants?state=ended")).json()["items"]
    assert len(listed) == 1


async def test_republish_appends_the_state_of_every_grant(sharing: Sharing) -> None:
    for _ in range(3):
        await sharing.grant()

    count = await upkeep.republish(sharing.db)

    states = await sharing.outbox("sharing.grant.v1")
    assert count == 3
    assert [s["data"] for s in states[:3]] == [s["data"] for s in states[3:]]


@pytest.mark.parametrize("act", ["suspensions", "resumptions", "endings"])
async def test_a_change_needs_a_reason(sharing: Sharing, act: str) -> None:
    grant = await sharing.grant()

    for body in (None, {}, {"reason": ""}, {"reason": 5}, {"reason": "a\u0000"}, []):
        refused = await sharing.call(sharing.owner, "POST", f"/grants/{grant['id']}/{act}", body)
        assert refused.json()["code"] == "body-invalid", body
