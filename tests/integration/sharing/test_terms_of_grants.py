"""Grants that become narrower, and grants whose period is prolonged."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from kit.clock import rfc3339
from kit.ids import uuid7
from tests.integration.sharing.conftest import LAW, Sharing
from tests.support.callers import TestCaller

APPROVE = {"decision": "approve"}


async def narrow(
    sharing: Sharing, grant: str, caller: TestCaller | None = None, **terms: Any
) -> Any:
    body = {"reason": "Less is enough.", **terms}
    return await sharing.call(caller or sharing.owner, "POST", f"/grants/{grant}/narrowings", body)


async def renew(
    sharing: Sharing,
    grant: dict[str, Any],
    days: int,
    caller: TestCaller | None = None,
    **more: Any,
) -> Any:
    until = rfc3339(sharing.clock.now() + timedelta(days=days))
    return await sharing.call(
        caller or sharing.head,
        "POST",
        f"/grants/{grant['id']}/renewals",
        {"valid_until": until, **more},
        Idempotency_Key=uuid7(),
    )


async def test_the_owner_narrows_a_grant_step_by_step(sharing: Sharing) -> None:
    grant = (await sharing.grant(purposes=["a-purpose", "b-purpose"]))["id"]
    rows = {"all": [{"item": "level", "from": "1", "until": "10"}]}

    first = await narrow(sharing, grant, masks={"name": "name"}, row_filter=rows)
    second = await narrow(
        sharing,
        grant,
        row_filter={"all": [{"item": "level", "in": ["9"]}]},
        purposes=["a-purpose"],
    )
    third = await narrow(sharing, grant, items=["code"])

    assert [answer.status_code for answer in (first, second, third)] == [202] * 3
    found = third.json()["grant"]
    assert (found["version"], found["state"], found["reason"]) == (4, "active", None)
    assert (found["items"], found["masks"], found["purposes"]) == (["code"], {}, ["a-purpose"])
    assert third.headers["datong-revision"] == f"sharing.grant/{grant}@4"
    states = await sharing.outbox("sharing.grant.v1")
    assert [sorted({"row_filter", "masks"} & set(s["data"]["critical"])) for s in states] == [
        [],
        ["masks", "row_filter"],
        ["masks", "row_filter"],
        ["row_filter"],
    ]
    fact = (await sharing.outbox("sharing.change.v1"))[-1]
    assert fact["type"] == "sharing.grant-narrowed.v1"
    assert fact["data"]["reason_text"] == "Less is enough."


@pytest.mark.parametrize(
    ("terms", "code", "pointer"),
    [
        ({}, "terms-not-narrower", None),
        ({"items": ["code", "name"]}, "terms-not-narrower", None),
        ({"items": ["code", "level"]}, "terms-not-narrower", "/items/1"),
        ({"items": []}, "body-invalid", "/items"),
        ({"masks": {"code": "name"}}, "mask-invalid", "/masks/code"),
        (
            {"row_filter": {"all": [{"item": "mobile", "in": ["1"]}]}},
            "item-not-filterable",
            "/row_filter/all/0/item",
        ),
        ({"valid_until": "2030-01-01T00:00:00Z"}, "body-invalid", "/valid_until"),
    ],
)
async def test_a_narrowing_that_is_wrong_changes_nothing(
    sharing: Sharing, terms: dict[str, Any], code: str, pointer: str | None
) -> None:
    grant = (await sharing.grant())["id"]

    refused = await narrow(sharing, grant, **terms)

    assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text
    errors = refused.json().get("errors")
    assert (None if errors is None else errors[0]["pointer"]) == pointer
    assert len(await sharing.outbox("sharing.grant.v1")) == 1


async def test_only_the_owners_administrator_narrows_and_never_what_has_ended(
    sharing: Sharing,
) -> None:
    grant = (await sharing.grant())["id"]
    consumer = sharing.town.person("health-commission", "resource_administrator")

    refused = [
        (await narrow(sharing, grant, caller, items=["code"])).json()["code"]
        for caller in (consumer, sharing.stranger, sharing.head, sharing.owners_head)
    ]
    await sharing.change(sharing.owner, grant, "endings")
    ended = await narrow(sharing, grant, items=["code"])

    assert refused == ["other-agency", "grant-unknown", "role-missing", "role-missing"]
    assert ended.json()["code"] == "grant-state-conflict"


async def test_what_no_longer_fits_the_entry_is_repeated_and_narrowed(sharing: Sharing) -> None:
    def items(level: str, born: str, *, filterable: bool) -> list[dict[str, Any]]:
        shapes = [("code", "text", True), ("level", level, filterable), ("born", born, False)]
        return [
            {"name": name, "title": name, "type": kind, "required": name == "code"}
            | {"key": name == "code", "filterable": chosen}
            for name, kind, chosen in shapes
        ]

    level = {"item": "level", "from": "1", "until": "10"}
    code = {"item": "code", "in": ["330100"]}
    entry = sharing.entry("streets", items=items("integer", "date", filterable=True))
    grant = await sharing.grant(
        resource="streets",
        items=["code", "level", "born"],
        row_filter={"all": [level]},
        masks={"born": "year"},
    )
    sharing.entry("streets", id=entry, version=2, items=items("integer", "text", filterable=False))

    narrower = await narrow(
        sharing,
        grant["id"],
        row_filter={"all": [level, code]},
        masks={"born": "year", "code": "pseudonym"},
    )
    other = await narrow(sharing, grant["id"], row_filter={"all": [level | {"until": "5"}, code]})

    assert narrower.status_code == 202, narrower.text
    assert narrower.json()["grant"]["masks"] == {"born": "year", "code": "pseudonym"}
    assert (other.status_code, other.json()["code"]) == (422, "item-not-filterable")
    assert other.json()["errors"][0]["pointer"] == "/row_filter/all/0/item"


async def test_a_narrowing_beside_a_renewal_is_not_undone_by_it(sharing: Sharing) -> None:
    grant = (await sharing.confirmed())["grant"]
    request = (await renew(sharing, grant, 400, sharing.officer)).json()["id"]
    await sharing.step(sharing.head, request, "submissions")
    await sharing.step(sharing.owner, request, "answers", APPROVE)

    await asyncio.gather(
        narrow(sharing, grant["id"], items=["code"]),
        sharing.step(sharing.owners_head, request, "confirmations"),
    )

    found = (await sharing.call(sharing.head, "GET", f"/grants/{grant['id']}")).json()
    assert (found["items"], found["version"]) == (["code"], 3)
    assert found["valid_until"] > grant["valid_until"]


async def test_two_narrowings_at_once_both_count(sharing: Sharing) -> None:
    grant = (await sharing.grant(purposes=["a-purpose", "b-purpose"]))["id"]

    answers = await asyncio.gather(
        narrow(sharing, grant, items=["code"]), narrow(sharing, grant, purposes=["b-purpose"])
    )

    assert [answer.status_code for answer in answers] == [202, 202]
    found = (await sharing.call(sharing.head, "GET", f"/grants/{grant}")).json()
    assert (found["items"], found["purposes"], found["version"]) == (["code"], ["b-purpose"], 3)


async def test_an_unconditional_grant_is_renewed_at_once_and_keeps_its_id(
    sharing: Sharing,
) -> None:
    grant = await sharing.grant()

    answer = await renew(sharing, grant, 400)

    request = answer.json()
    renewed = request["grant"]
    assert (answer.status_code, request["state"], request["renews"]) == (
        201,
        "granted",
        grant["id"],
    )
    assert answer.headers["datong-revision"] == f"sharing.grant/{grant['id']}@2"
    assert (renewed["id"], renewed["version"]) == (grant["id"], 2)
    assert renewed["valid_from"] == grant["valid_from"]
    assert renewed["valid_until"] > grant["valid_until"]
    assert (request["scenario"], request["basis"]) == ("Addresses of patients", grant["basis"])
    types = [event["type"] for event in await sharing.outbox("sharing.change.v1")]
    assert types[-2:] == ["sharing.request-granted.v1", "sharing.grant-renewed.v1"]
    origin = (await sharing.call(sharing.head, "GET", f"/requests/{grant['request']}")).json()
    assert origin["grant"]["version"] == 2


async def test_a_conditional_grant_is_renewed_by_four_people(sharing: Sharing) -> None:
    grant = (await sharing.confirmed())["grant"]
    await narrow(sharing, grant["id"], items=["code"])
    drafted = (await renew(sharing, grant, 400, sharing.officer, scenario="Still needed.")).json()
    twice = await renew(sharing, grant, 400, sharing.officer)
    assert (drafted["state"], drafted["items"]) == ("drafted", ["code"])

    request = drafted["id"]
    await sharing.step(sharing.head, request, "submissions")
    widened = await sharing.step(
        sharing.owner, request, "answers", APPROVE | {"purposes": ["health-statistics"]}
    )
    until = rfc3339(sharing.clock.now() + timedelta(days=380))
    await sharing.step(sharing.owner, request, "answers", APPROVE | {"valid_until": until})
    confirmed = await sharing.step(sharing.owners_head, request, "confirmations")

    assert (twice.status_code, twice.json()["code"]) == (409, "request-state-conflict")
    assert twice.json()["facts"] == {"request": request}
    assert widened.json()["code"] == "answer-invalid"
    renewed = confirmed.json()["grant"]
    assert (renewed["id"], renewed["version"], renewed["valid_until"]) == (grant["id"], 3, until)
    assert renewed["items"] == ["code"]
    assert confirmed.headers["datong-revision"] == f"sharing.grant/{grant['id']}@3"


async def test_a_grant_that_was_ended_meanwhile_is_not_renewed(sharing: Sharing) -> None:
    grant = (await sharing.confirmed())["grant"]
    request = (await renew(sharing, grant, 400, sharing.officer)).json()["id"]
    await sharing.step(sharing.head, request, "submissions")
    await sharing.step(sharing.owner, request, "answers", APPROVE)
    await sharing.change(sharing.owner, grant["id"], "endings")

    refused = await sharing.step(sharing.owners_head, request, "confirmations")
    again = await renew(sharing, grant, 400)

    assert refused.json()["code"] == again.json()["code"] == "grant-state-conflict"
    seen = (await sharing.call(sharing.owner, "GET", f"/requests/{request}")).json()
    assert seen["state"] == "answered"


async def test_an_expired_grant_shows_it_and_begins_anew(sharing: Sharing) -> None:
    grant = await sharing.grant()
    assert grant["validity"] == "valid"
    sharing.clock.advance(timedelta(days=366))
    expired = (await sharing.call(sharing.head, "GET", f"/grants/{grant['id']}")).json()

    renewed = (await renew(sharing, grant, 30)).json()["grant"]

    assert (expired["validity"], expired["state"]) == ("expired", "active")
    assert renewed["validity"] == "valid"
    assert renewed["valid_from"] == rfc3339(sharing.clock.now())


@pytest.mark.parametrize("days", [-1, 300, 365 * 3 + 2])
async def test_a_renewal_reaches_at_most_three_years_ahead(sharing: Sharing, days: int) -> None:
    grant = await sharing.grant()

    refused = await renew(sharing, grant, days)

    assert (refused.status_code, refused.json()["code"]) == (422, "period-invalid")
    assert refused.json()["errors"][0]["pointer"] == "/valid_until"


async def test_renewals_one_after_the_other_reach_no_further_than_one(sharing: Sharing) -> None:
    grant = await sharing.grant()

    first = await renew(sharing, grant, 365 * 3)
    second = await renew(sharing, grant, 365 * 4)
    sharing.clock.advance(timedelta(days=365))
    third = await renew(sharing, grant, 365 * 3)

    assert [answer.status_code for answer in (first, second, third)] == [201, 422, 201]
    assert second.json()["code"] == "period-invalid"


async def test_a_grant_that_begins_later_is_renewed_from_there(sharing: Sharing) -> None:
    now = sharing.clock.now()
    begins, ends = now + timedelta(days=365), now + timedelta(days=700)
    grant = await sharing.grant(valid_from=rfc3339(begins), valid_until=rfc3339(ends))

    renewed = await renew(sharing, grant, 365 * 4)
    refused = await renew(sharing, grant, 365 * 4 + 2)

    assert renewed.json()["grant"]["valid_from"] == rfc3339(begins)
    assert refused.json()["code"] == "period-invalid"


async def test_a_statutory_grant_is_never_renewed_without_the_owner(sharing: Sharing) -> None:
    statutory = {"title": "中华人民共和国民事诉讼法", "article": "第六十七条"}
    entry = sharing.entry("streets", share_class="not_shared", legal_basis=LAW)
    grant = (await sharing.confirmed(resource="streets", statutory=statutory))["grant"]
    # Once the class is back, the grant alone would pass: nobody would have examined its law.
    sharing.entry("streets", id=entry, version=2)

    asked = await renew(sharing, grant, 400)

    assert (asked.status_code, asked.json()["state"]) == (201, "drafted")
    assert asked.json()["statutory"] == statutory
    assert len(await sharing.outbox("sharing.grant.v1")) == 1


async def test_the_same_key_for_another_grant_renews_nothing(sharing: Sharing) -> None:
    grants, key = [await sharing.grant(), await sharing.grant()], uuid7()
    body = {"valid_until": rfc3339(sharing.clock.now() + timedelta(days=400))}

    answers = [
        await sharing.call(
            sharing.head, "POST", f"/grants/{grant['id']}/renewals", body, Idempotency_Key=key
        )
        for grant in grants
    ]

    assert answers[0].json()["renews"] == grants[0]["id"]
    assert (answers[1].status_code, answers[1].json()["code"]) == (422, "idempotency-key-reused")


async def test_who_may_not_renew(sharing: Sharing) -> None:
    grant = await sharing.grant()
    owner = sharing.town.person("civil-affairs", "sharing_office_head")

    refused = [
        (await renew(sharing, grant, 400, caller)).json()["code"]
        for caller in (owner, sharing.stranger, sharing.officer, sharing.owner)
    ]

    assert refused == ["other-agency", "grant-unknown", "role-missing", "role-missing"]


async def test_a_renewal_follows_the_class_that_the_entry_has_now(sharing: Sharing) -> None:
    entry = sharing.entry("streets")
    grant = await sharing.grant(resource="streets")
    sharing.entry("streets", id=entry, share_class="conditional", version=2)
    drafted = await renew(sharing, grant, 400)
    await sharing.step(sharing.officer, drafted.json()["id"], "withdrawals", {"reason": "Later."})
    sharing.entry("streets", id=entry, share_class="not_shared", legal_basis=LAW, version=3)
    refused = await renew(sharing, grant, 400)

    assert drafted.json()["state"] == "drafted"
    assert (refused.status_code, refused.json()["code"]) == (403, "class-not-shared")


async def test_the_same_key_renews_once(sharing: Sharing) -> None:
    grant, key = await sharing.grant(), uuid7()
    body = {"valid_until": rfc3339(sharing.clock.now() + timedelta(days=400))}
    path = f"/grants/{grant['id']}/renewals"

    answers = [
        await sharing.call(sharing.head, "POST", path, body, Idempotency_Key=key) for _ in range(2)
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["datong-revision"] == answers[1].headers["datong-revision"]
    assert len(await sharing.outbox("sharing.grant.v1")) == 2
