"""Requests: granted at once, refused by law, or not taken."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from kit.clock import rfc3339
from kit.ids import uuid7
from tests.integration.sharing.conftest import LAW, Sharing


async def test_an_unconditional_resource_is_granted_in_one_request(sharing: Sharing) -> None:
    answer = await sharing.ask()

    assert answer.status_code == 201
    request = answer.json()
    grant = request["grant"]
    assert request["state"] == "granted"
    assert grant["state"] == "active"
    assert grant["systems"] == [sharing.system.id]
    assert answer.headers["datong-revision"] == f"sharing.grant/{grant['id']}@1"
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert state["subject"] == f"grant/{grant['id']}"
    assert state["version"] == 1
    assert state["data"]["items"] == ["code", "name"]
    assert state["data"]["operations"] == []
    facts = [event["type"] for event in await sharing.outbox("sharing.change.v1")]
    assert facts == ["sharing.request-granted.v1", "sharing.grant-issued.v1"]


@pytest.mark.parametrize("modes", [["batch"], ["query", "batch"]])
async def test_a_grant_covers_the_modes_that_were_asked_for(
    sharing: Sharing, modes: list[str]
) -> None:
    sharing.entry("villages", modes=["query", "batch"])

    answer = await sharing.ask(resource="villages", modes=modes)

    assert answer.status_code == 201
    assert answer.json()["grant"]["modes"] == modes
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert state["data"]["modes"] == modes
    for fact in await sharing.outbox("sharing.change.v1"):
        assert fact["data"]["modes"] == modes
    (usable,) = (await sharing.call(sharing.system, "GET", "/usable")).json()["items"]
    assert usable["modes"] == modes


async def test_a_resource_that_is_not_shared_is_refused_by_its_law_and_on_record(
    sharing: Sharing,
) -> None:
    answer = await sharing.ask(resource="secrets")

    assert answer.status_code == 403
    problem = answer.json()
    assert problem["code"] == "class-not-shared"
    assert problem["facts"] == {
        "legal_basis_title": LAW["title"],
        "legal_basis_article": LAW["article"],
    }
    assert await sharing.outbox("sharing.grant.v1") == []
    (fact,) = await sharing.outbox("sharing.change.v1")
    assert fact["type"] == "sharing.request-refused.v1"
    assert fact["data"]["reason"] == "class-not-shared"
    (request,) = (await sharing.call(sharing.head, "GET", "/requests")).json()["items"]
    assert request["state"] == "refused"
    assert request["refusal"]["legal_basis_article"] == LAW["article"]


async def test_the_same_key_has_one_effect_and_one_answer(sharing: Sharing) -> None:
    key, body = uuid7(), sharing.body()
    first = await sharing.call(sharing.head, "POST", "/requests", body, Idempotency_Key=key)
    second = await sharing.call(sharing.head, "POST", "/requests", body, Idempotency_Key=key)
    other = await sharing.call(
        sharing.head, "POST", "/requests", body | {"items": ["code"]}, Idempotency_Key=key
    )

    assert first.json() == second.json()
    assert first.headers["datong-revision"] == second.headers["datong-revision"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await sharing.outbox("sharing.grant.v1")) == 1


async def test_a_refusal_by_law_is_repeated_for_the_same_key(sharing: Sharing) -> None:
    key, body = uuid7(), sharing.body(resource="secrets")

    answers = [
        await sharing.call(sharing.head, "POST", "/requests", body, Idempotency_Key=key)
        for _ in range(2)
    ]

    assert [answer.json()["code"] for answer in answers] == ["class-not-shared"] * 2
    assert answers[0].json()["facts"] == answers[1].json()["facts"]
    assert len(await sharing.outbox("sharing.change.v1")) == 1


async def test_a_key_is_required(sharing: Sharing) -> None:
    refused = await sharing.call(sharing.head, "POST", "/requests", sharing.body())

    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency-key-required")


@pytest.mark.parametrize(
    ("changed", "status", "code", "pointer"),
    [
        ({"statutory": {"title": "Law", "article": "1"}}, 422, "request-invalid", "/statutory"),
        ({"resource": "old"}, 410, "resource-withdrawn", "/resource"),
        ({"resource": "nowhere"}, 404, "resource-unknown", "/resource"),
        ({"items": ["code", "salary"]}, 422, "items-unknown", "/items/1"),
        ({"items": ["code", "code"]}, 422, "request-invalid", "/items/1"),
        ({"items": []}, 422, "request-invalid", "/items"),
        ({"modes": ["batch"]}, 422, "mode-not-offered", "/modes/0"),
        ({"modes": ["query", "batch"]}, 422, "mode-not-offered", "/modes/1"),
        ({"modes": ["query", "query"]}, 422, "request-invalid", "/modes/1"),
        ({"modes": ["telepathy"]}, 422, "body-invalid", "/modes/0"),
        ({"modes": []}, 422, "body-invalid", "/modes"),
        ({"modes": ["batch"], "items": []}, 422, "request-invalid", "/items"),
        ({"systems": [uuid7()]}, 422, "system-unknown", "/systems/0"),
        ({"systems": ["not-an-id"]}, 422, "body-invalid", "/systems/0"),
        ({"purposes": ["Taxes"]}, 422, "body-invalid", "/purposes/0"),
        ({"purposes": [f"p-{n}" for n in range(21)]}, 422, "body-invalid", "/purposes"),
        ({"basis": ""}, 422, "body-invalid", "/basis"),
        ({"basis": "\n"}, 422, "body-invalid", "/basis"),
        ({"scenario": "\u3000 "}, 422, "body-invalid", "/scenario"),
        ({"scenario": 5}, 422, "body-invalid", "/scenario"),
        ({"valid_until": 1767225600}, 422, "body-invalid", "/valid_until"),
        ({"valid_until": "2026-01-01T00:00:00"}, 422, "body-invalid", "/valid_until"),
        ({"valid_from": "9999-12-31T23:59:59-12:00"}, 422, "body-invalid", "/valid_from"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, 422, "period-invalid", "/valid_until"),
        ({"more": 1}, 422, "body-invalid", "/more"),
    ],
)
async def test_a_request_that_is_wrong_is_refused_with_a_pointer(
    sharing: Sharing, changed: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    refused = await sharing.ask(**changed)

    assert (refused.status_code, refused.json()["code"]) == (status, code), refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert await sharing.outbox("sharing.change.v1") == []


async def test_a_period_is_at_most_three_years_and_not_over(sharing: Sharing) -> None:
    now = sharing.clock.now()
    long = await sharing.ask(valid_until=rfc3339(now + timedelta(days=3 * 366 + 1)))
    over = await sharing.ask(
        valid_from=rfc3339(now - timedelta(days=2)), valid_until=rfc3339(now - timedelta(days=1))
    )

    assert [r.json()["code"] for r in (long, over)] == ["period-invalid", "period-invalid"]


async def test_a_system_of_another_agency_looks_unknown(sharing: Sharing) -> None:
    foreign = sharing.town.system("tax-bureau")

    refused = await sharing.ask(systems=[sharing.system.id, foreign.id])

    assert refused.json()["code"] == "system-unknown"
    assert refused.json()["errors"][0]["pointer"] == "/systems/1"


async def test_an_entry_that_cannot_be_read_grants_nothing(sharing: Sharing) -> None:
    sharing.entry("divisions", critical=["share_class", "state", "items", "clearance"])

    refused = await sharing.ask()

    assert (refused.status_code, refused.json()["code"]) == (503, "permission-unreadable")


async def test_what_may_be_old_grants_nothing_but_work_goes_on(sharing: Sharing) -> None:
    approved = await sharing.answered()
    refused = await sharing.answered({"decision": "refuse", "reason": "No need."})
    grant = await sharing.grant()
    sharing.is_fresh = False

    async def renew() -> httpx.Response:
        return await sharing.call(
            sharing.head,
            "POST",
            f"/grants/{grant['id']}/renewals",
            {"valid_until": rfc3339(sharing.clock.now() + timedelta(days=400))},
            Idempotency_Key=uuid7(),
        )

    async def confirm(request: str) -> httpx.Response:
        return await sharing.step(sharing.owners_head, request, "confirmations")

    stale = [await sharing.ask(), await renew(), await confirm(approved)]
    await sharing.submitted()
    ended = [await confirm(refused), await sharing.change(sharing.owner, grant["id"], "endings")]
    sharing.is_fresh = True

    assert [(answer.status_code, answer.json()["code"]) for answer in stale] == [
        (503, "permissions-stale")
    ] * 3
    assert [answer.status_code for answer in ended] == [200, 202]
    assert (await confirm(approved)).json()["state"] == "granted"


@pytest.mark.parametrize(
    "body", [b'{"basis": "a", "basis": "b"}', b"{", b'{"basis": "\xff"}', b'{"basis": 1e999}']
)
async def test_a_body_that_is_not_strict_json_is_malformed(sharing: Sharing, body: bytes) -> None:
    headers = sharing.town.headers(
        sharing.head, **{"Content-Type": "application/json", "Idempotency-Key": uuid7()}
    )

    refused = await sharing.client.post("/sharing/v1/requests", headers=headers, content=body)

    assert (refused.status_code, refused.json()["code"]) == (400, "body-malformed")


async def test_only_the_head_of_a_sharing_office_asks(sharing: Sharing) -> None:
    for caller in (sharing.owner, sharing.system, sharing.auditor):
        refused = await sharing.call(
            caller, "POST", "/requests", sharing.body(), Idempotency_Key=uuid7()
        )
        assert refused.json()["code"] == "role-missing"


async def test_requests_are_seen_by_both_agencies_and_auditors_only(sharing: Sharing) -> None:
    request = (await sharing.ask()).json()
    path = f"/requests/{request['id']}"

    for caller in (sharing.head, sharing.owner, sharing.auditor):
        assert (await sharing.call(caller, "GET", path)).json() == request
    hidden = await sharing.call(sharing.stranger, "GET", path)
    listed = await sharing.call(sharing.stranger, "GET", "/requests")

    assert (hidden.status_code, hidden.json()["code"]) == (404, "request-unknown")
    assert listed.json()["items"] == []


async def test_a_service_waits_for_the_states_that_a_caller_has_seen(sharing: Sharing) -> None:
    refused = await sharing.call(
        sharing.head,
        "POST",
        "/requests",
        sharing.body(),
        Idempotency_Key=uuid7(),
        Datong_After="catalog.entry/not-a-position",
    )

    assert refused.json()["code"] == "parameter-invalid"
