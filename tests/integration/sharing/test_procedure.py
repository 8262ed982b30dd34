"""Requests that people decide: drafted, submitted, answered, confirmed, and what goes wrong."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from kit.clock import rfc3339
from kit.ids import uuid7
from services.exchange.sharing import consumer
from services.exchange.sharing.domain.deadlines import Limit, due
from tests.integration.sharing.conftest import LAW, Sharing

REFUSE = {"decision": "refuse", "reason": "The purpose does not need names."}
APPROVE = {"decision": "approve"}


async def facts(sharing: Sharing) -> list[str]:
    return [
        event["type"].removeprefix("sharing.").removesuffix(".v1")
        for event in await sharing.outbox("sharing.change.v1")
    ]


async def test_four_people_make_a_grant_of_a_conditional_resource(sharing: Sharing) -> None:
    draft = await sharing.draft()
    assert (draft["state"], draft["due"], draft["grant"]) == ("drafted", None, None)
    assert await sharing.outbox("sharing.grant.v1") == []

    submitted = await sharing.step(sharing.head, draft["id"], "submissions")
    last = due(Limit.ANSWER, sharing.clock.now()).isoformat()
    assert (submitted.json()["state"], submitted.json()["due"]) == ("submitted", last)
    answered = await sharing.step(sharing.owner, draft["id"], "answers", APPROVE)
    assert (answered.json()["state"], answered.json()["due"]) == ("answered", last)
    assert "datong-revision" not in answered.headers
    confirmed = await sharing.step(sharing.owners_head, draft["id"], "confirmations")

    request = confirmed.json()
    grant = request["grant"]
    assert (request["state"], request["due"], request["version"]) == ("granted", None, 4)
    assert (grant["state"], grant["validity"], grant["share_class"]) == (
        "active",
        "valid",
        "conditional",
    )
    assert confirmed.headers["datong-revision"] == f"sharing.grant/{grant['id']}@1"
    assert confirmed.headers["etag"] == '"4"'
    assert [(step["step"], step["actor"]) for step in request["steps"]] == [
        ("draft", sharing.officer.subject),
        ("submit", sharing.head.subject),
        ("answer", sharing.owner.subject),
        ("confirm", sharing.owners_head.subject),
    ]
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert state["data"]["items"] == ["code", "name"]
    assert await facts(sharing) == [
        "request-drafted",
        "request-submitted",
        "request-answered",
        "request-granted",
        "grant-issued",
    ]


async def test_an_answer_narrows_and_the_grant_is_what_was_confirmed(sharing: Sharing) -> None:
    until = rfc3339(sharing.clock.now() + timedelta(days=30))
    answer = {
        "items": ["code", "name", "mobile"],
        "purposes": ["health-statistics"],
        "row_filter": {
            "all": [
                {"item": "level", "in": ["3", "2"]},
                {"item": "born", "from": "1990-01-01", "until": "2000-01-01"},
            ]
        },
        "masks": {"name": "name", "mobile": "mobile", "code": "pseudonym"},
        "valid_until": until,
    }
    asked = {
        "items": ["code", "name", "mobile", "born"],
        "purposes": ["health-statistics", "vaccination"],
    }

    request = await sharing.confirmed(answer, **asked)

    grant = request["grant"]
    assert grant["items"] == answer["items"]
    assert grant["purposes"] == answer["purposes"]
    assert grant["masks"] == answer["masks"]
    assert grant["valid_until"] == until
    assert request["items"] == asked["items"]
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert state["data"]["row_filter"]["all"][0] == {"item": "level", "in": ["2", "3"]}
    assert state["data"]["critical"][-2:] == ["row_filter", "masks"]
    usable = (await sharing.call(sharing.system, "GET", "/usable")).json()["items"]
    assert usable[0]["masks"] == answer["masks"]
    assert usable[0]["row_filter"]["all"][1]["until"] == "2000-01-01"


async def test_a_refusal_has_a_reason_and_is_confirmed_too(sharing: Sharing) -> None:
    request = await sharing.confirmed(REFUSE)

    assert (request["state"], request["grant"]) == ("refused", None)
    assert request["refusal"] == {
        "code": None,
        "reason": REFUSE["reason"],
        "legal_basis_title": None,
        "legal_basis_article": None,
    }
    seen = (await sharing.call(sharing.officer, "GET", f"/requests/{request['id']}")).json()
    assert seen["refusal"]["reason"] == REFUSE["reason"]
    assert seen["answer"]["decision"] == "refuse"
    assert await sharing.outbox("sharing.grant.v1") == []


async def test_what_was_refused_is_asked_for_again(sharing: Sharing) -> None:
    await sharing.confirmed(REFUSE)

    again = await sharing.confirmed(items=["code"])

    assert again["grant"]["items"] == ["code"]


async def test_a_supplement_is_asked_for_once(sharing: Sharing) -> None:
    request = await sharing.submitted()
    asked = await sharing.step(
        sharing.owner, request, "supplement-demands", {"reason": "Which hospitals?"}
    )
    assert (asked.json()["state"], asked.json()["due"]) == ("supplement_asked", None)
    early = await sharing.step(sharing.owner, request, "answers", REFUSE)
    sharing.clock.advance(timedelta(days=7))
    added = await sharing.step(sharing.officer, request, "supplements", {"text": "All of them."})
    again = await sharing.step(
        sharing.owner, request, "supplement-demands", {"reason": "Which patients?"}
    )

    assert early.json()["code"] == again.json()["code"] == "request-state-conflict"
    assert added.json()["state"] == "submitted"
    assert added.json()["due"] == due(Limit.ANSWER, sharing.clock.now()).isoformat()
    assert added.json()["steps"][-1]["reason"] == "All of them."
    assert added.json()["steps"][-2]["reason"] == "Which hospitals?"
    assert (await sharing.step(sharing.owner, request, "answers", APPROVE)).status_code == 200


async def test_an_answer_is_the_owners_own_affair_until_it_is_confirmed(sharing: Sharing) -> None:
    request = await sharing.answered({"reason": "First thoughts.", "items": ["code"]})
    path = f"/requests/{request}"
    open_ = (await sharing.call(sharing.head, "GET", path)).json()
    inside = (await sharing.call(sharing.owner, "GET", path)).json()
    returned = await sharing.step(sharing.owners_head, request, "returns", {"reason": "Think."})
    await sharing.step(sharing.owner, request, "answers", APPROVE)
    await sharing.step(sharing.owners_head, request, "confirmations")
    done = (await sharing.call(sharing.head, "GET", path)).json()
    seen = (await sharing.call(sharing.auditor, "GET", path)).json()

    assert (open_["state"], open_["answer"]) == ("answered", None)
    assert inside["answer"]["items"] == ["code"]
    assert (returned.json()["state"], returned.json()["answer"]) == ("submitted", None)
    assert [step["step"] for step in done["steps"]] == ["draft", "submit", "confirm"]
    assert done["answer"]["items"] == ["code", "name"]
    assert [step["step"] for step in seen["steps"]] == [
        "draft",
        "submit",
        "answer",
        "return",
        "answer",
        "confirm",
    ]


async def test_nobody_approves_a_request_of_their_own(sharing: Sharing) -> None:
    everything = (
        "technical_officer",
        "sharing_office_head",
        "resource_administrator",
        "agency_head",
    )
    one = sharing.town.person("civil-affairs", *everything)
    system = sharing.town.system("civil-affairs")
    request = (await sharing.draft(one, systems=[system.id]))["id"]

    submitted = await sharing.step(one, request, "submissions")
    head = sharing.town.person("civil-affairs", "sharing_office_head")
    await sharing.step(head, request, "submissions")
    answered = await sharing.step(one, request, "answers", APPROVE)
    await sharing.step(sharing.owner, request, "answers", APPROVE)
    confirmed = await sharing.step(one, request, "confirmations")
    by_the_submitter = await sharing.step(head, request, "confirmations")

    refused = (submitted, answered, confirmed, by_the_submitter)
    assert [(r.status_code, r.json()["code"]) for r in refused] == [(403, "same-person")] * 4
    assert await sharing.outbox("sharing.grant.v1") == []


async def test_who_answers_does_not_confirm(sharing: Sharing) -> None:
    both = sharing.town.person("civil-affairs", "resource_administrator", "sharing_office_head")
    request = await sharing.submitted()
    await sharing.step(both, request, "answers", APPROVE)

    refused = await sharing.step(both, request, "confirmations")

    assert (refused.status_code, refused.json()["code"]) == (403, "same-person")
    assert refused.json()["facts"] == {"taken": "answer", "step": "confirm"}
    assert (await sharing.step(sharing.owners_head, request, "confirmations")).status_code == 200


async def test_the_other_side_and_strangers_take_no_step(sharing: Sharing) -> None:
    request = await sharing.submitted()
    owners_officer = sharing.town.person("civil-affairs", "technical_officer")
    consumers_administrator = sharing.town.person("health-commission", "resource_administrator")

    other = await sharing.step(owners_officer, request, "withdrawals", {"reason": "No."})
    mine = await sharing.step(consumers_administrator, request, "answers", APPROVE)
    hidden = await sharing.step(sharing.stranger, request, "answers", APPROVE)
    nothing = await sharing.step(sharing.owner, uuid7(), "answers", APPROVE)
    roleless = await sharing.step(sharing.officer, request, "submissions")

    assert [r.json()["code"] for r in (other, mine)] == ["other-agency"] * 2
    assert [(r.status_code, r.json()["code"]) for r in (hidden, nothing)] == [
        (404, "request-unknown")
    ] * 2
    assert roleless.json()["code"] == "role-missing"
    assert await facts(sharing) == ["request-drafted", "request-submitted"]


@pytest.mark.parametrize(
    ("answer", "code", "pointer"),
    [
        ({"decision": "maybe"}, "body-invalid", "/decision"),
        ({"decision": "refuse"}, "answer-invalid", "/reason"),
        ({"decision": "refuse", "reason": " \n\u3000"}, "body-invalid", "/reason"),
        (REFUSE | {"items": ["code"]}, "answer-invalid", "/decision"),
        (APPROVE | {"items": []}, "body-invalid", "/items"),
        (APPROVE | {"items": ["code", "mobile"]}, "terms-not-narrower", "/items/1"),
        (APPROVE | {"purposes": ["taxes"]}, "terms-not-narrower", "/purposes/0"),
        (
            APPROVE | {"row_filter": {"all": [{"item": "name", "in": ["x"]}]}},
            "item-not-filterable",
            "/row_filter/all/0/item",
        ),
        (
            APPROVE | {"row_filter": {"all": [{"item": "salary", "in": ["x"]}]}},
            "items-unknown",
            "/row_filter/all/0/item",
        ),
        (
            APPROVE | {"row_filter": {"all": [{"item": "level", "in": ["high"]}]}},
            "filter-invalid",
            "/row_filter/all/0/in",
        ),
        (APPROVE | {"row_filter": {"all": []}}, "body-invalid", "/row_filter/all"),
        (
            APPROVE | {"row_filter": {"all": [{"item": "level", "in": ["1"], "from": "1"}]}},
            "body-invalid",
            "/row_filter/all/0",
        ),
        (
            APPROVE | {"row_filter": {"all": [{"item": "level", "in": ["1", "1"]}]}},
            "body-invalid",
            "/row_filter/all/0",
        ),
        (APPROVE | {"masks": {"code": "name"}}, "mask-invalid", "/masks/code"),
        (APPROVE | {"masks": {"mobile": "mobile"}}, "mask-invalid", "/masks/mobile"),
        (APPROVE | {"masks": {"name": "hidden"}}, "body-invalid", "/masks/name"),
        (APPROVE | {"operations": ["company"]}, "terms-not-narrower", "/operations/0"),
        (APPROVE | {"valid_until": "2199-01-01T00:00:00Z"}, "period-invalid", "/valid_until"),
        (APPROVE | {"valid_until": "2020-01-01T00:00:00Z"}, "period-invalid", "/valid_until"),
    ],
)
async def test_an_answer_that_is_wrong_changes_nothing(
    sharing: Sharing, answer: dict[str, Any], code: str, pointer: str
) -> None:
    request = await sharing.submitted()

    refused = await sharing.step(sharing.owner, request, "answers", answer)

    assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer
    seen = (await sharing.call(sharing.owner, "GET", f"/requests/{request}")).json()
    assert (seen["state"], seen["version"]) == ("submitted", 2)


@pytest.mark.parametrize(
    ("changed", "code", "pointer"),
    [
        ({"items": ["code", "salary"]}, "items-unknown", "/items/1"),
        ({"valid_until": "2020-01-01T00:00:00Z"}, "period-invalid", "/valid_until"),
        (
            {"row_filter": {"all": [{"item": "mobile", "in": ["1"]}]}},
            "item-not-filterable",
            "/row_filter/all/0/item",
        ),
        (
            {
                "row_filter": {
                    "all": [{"item": "born", "from": "2000-01-01", "until": "1990-01-01"}]
                }
            },
            "filter-invalid",
            "/row_filter/all/0/until",
        ),
        ({"masks": {"code": "id_number"}}, "mask-invalid", "/masks/code"),
        ({"modes": ["call"]}, "request-invalid", "/items"),
        ({"operations": ["company"]}, "request-invalid", "/operations"),
        ({"statutory": {"title": "Law", "article": ""}}, "body-invalid", "/statutory/article"),
        ({"statutory": {"title": " ", "article": "1"}}, "body-invalid", "/statutory/title"),
    ],
)
async def test_a_draft_that_is_wrong_is_not_stored(
    sharing: Sharing, changed: dict[str, Any], code: str, pointer: str
) -> None:
    refused = await sharing.call(
        sharing.officer,
        "POST",
        "/requests",
        sharing.body(resource="incomes", **changed),
        Idempotency_Key=uuid7(),
    )

    assert (refused.status_code, refused.json()["code"]) == (422, code), refused.text
    assert refused.json()["errors"][0]["pointer"] == pointer
    assert await facts(sharing) == []


async def test_a_step_on_a_version_that_was_not_read_is_refused(sharing: Sharing) -> None:
    request = await sharing.answered({"items": ["code"]})
    await sharing.step(sharing.owners_head, request, "returns", {"reason": "Why?"})
    await sharing.step(sharing.owner, request, "answers", APPROVE)

    stale = await sharing.step(sharing.owners_head, request, "confirmations", If_Match='"3"')
    hidden = await sharing.step(sharing.stranger, request, "answers", APPROVE, If_Match='"3"')
    fresh = await sharing.step(sharing.owners_head, request, "confirmations", If_Match='"5"')

    assert (stale.status_code, stale.json()["code"]) == (412, "precondition-failed")
    assert hidden.json()["code"] == "request-unknown"
    assert fresh.json()["state"] == "granted"


async def test_of_two_confirmations_at_once_one_wins(sharing: Sharing) -> None:
    request = await sharing.answered()
    heads = [sharing.town.person("civil-affairs", "agency_head") for _ in range(4)]

    answers = await asyncio.gather(
        *(sharing.step(head, request, "confirmations") for head in heads)
    )

    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    assert len(await sharing.outbox("sharing.grant.v1")) == 1


async def test_of_a_confirmation_and_a_withdrawal_at_once_one_wins(sharing: Sharing) -> None:
    for _ in range(5):
        request = await sharing.answered()

        acts = await asyncio.gather(
            sharing.step(sharing.owners_head, request, "confirmations"),
            sharing.step(sharing.officer, request, "withdrawals", {"reason": "Not needed."}),
        )

        assert sorted(act.status_code for act in acts) == [200, 409]
        seen = (await sharing.call(sharing.head, "GET", f"/requests/{request}")).json()
        assert seen["state"] == ("granted" if acts[0].status_code == 200 else "withdrawn")
        assert (seen["grant"] is None) == (seen["state"] == "withdrawn")


async def test_an_answer_and_a_withdrawal_at_once_have_one_winner(sharing: Sharing) -> None:
    for _ in range(5):
        request = await sharing.submitted()

        answered, withdrawn = await asyncio.gather(
            sharing.step(sharing.owner, request, "answers", APPROVE),
            sharing.step(sharing.officer, request, "withdrawals", {"reason": "Not needed."}),
        )

        # An answer may be withdrawn from; what was withdrawn cannot be answered.
        assert withdrawn.status_code == 200
        assert answered.status_code in (200, 409)
        seen = (await sharing.call(sharing.head, "GET", f"/requests/{request}")).json()
        assert seen["state"] == "withdrawn"
        steps = [step["step"] for step in seen["steps"]]
        assert steps == ["draft", "submit", "withdraw"]


@pytest.mark.parametrize("state", ["drafted", "submitted", "answered"])
async def test_a_request_is_withdrawn_before_its_end_and_never_after(
    sharing: Sharing, state: str
) -> None:
    made = {
        "drafted": lambda: sharing.draft(),
        "submitted": lambda: sharing.submitted(),
        "answered": lambda: sharing.answered(),
    }
    found = await made[state]()
    request = found["id"] if isinstance(found, dict) else found

    withdrawn = await sharing.step(sharing.head, request, "withdrawals", {"reason": "Not needed."})
    again = await sharing.step(sharing.head, request, "withdrawals", {"reason": "Not needed."})

    assert withdrawn.json()["state"] == "withdrawn"
    assert again.json()["code"] == "request-state-conflict"
    assert again.json()["facts"]["state"] == "withdrawn"


async def test_a_statutory_recipient_is_granted_what_is_not_shared(sharing: Sharing) -> None:
    statutory = {"title": "中华人民共和国民事诉讼法", "article": "第六十七条"}

    request = await sharing.confirmed(resource="registers", statutory=statutory)

    assert request["grant"]["statutory"] == statutory
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert (state["data"]["share_class"], state["data"]["statutory"]) == ("not_shared", statutory)
    assert "statutory" not in state["data"]["critical"]
    refused = await sharing.ask(resource="registers")
    assert refused.json()["code"] == "class-not-shared"
    assert refused.json()["facts"]["legal_basis_title"] == LAW["title"]


async def test_a_class_that_becomes_not_shared_is_not_granted_any_more(sharing: Sharing) -> None:
    entry = sharing.entry("streets", share_class="conditional")
    answered = await sharing.answered(resource="streets")
    submitted = await sharing.submitted(resource="streets")
    sharing.entry("streets", id=entry, share_class="not_shared", legal_basis=LAW)

    confirmed = await sharing.step(sharing.owners_head, answered, "confirmations")
    approved = await sharing.step(sharing.owner, submitted, "answers", APPROVE)
    refused = await sharing.step(sharing.owner, submitted, "answers", REFUSE)

    assert [(r.status_code, r.json()["code"]) for r in (confirmed, approved)] == [
        (403, "class-not-shared")
    ] * 2
    assert refused.json()["state"] == "answered"
    assert await sharing.outbox("sharing.grant.v1") == []


async def test_an_item_that_is_gone_by_now_is_not_granted(sharing: Sharing) -> None:
    entry = sharing.entry("streets", share_class="conditional")
    request = await sharing.answered(resource="streets")
    code = {"name": "code", "title": "c", "type": "text", "required": True, "key": True}
    items = [code | {"filterable": True}]
    sharing.entry("streets", id=entry, share_class="conditional", version=2, items=items)

    refused = await sharing.step(sharing.owners_head, request, "confirmations")

    assert (refused.status_code, refused.json()["code"]) == (422, "items-unknown")
    assert "errors" not in refused.json()


async def test_a_withdrawn_entry_refuses_its_open_requests(sharing: Sharing) -> None:
    entry = sharing.entry("streets", share_class="conditional")
    open_ = [
        await sharing.submitted(resource="streets"),
        await sharing.answered(resource="streets"),
    ]
    granted = (await sharing.confirmed(resource="streets"))["grant"]["id"]
    event = {
        "id": uuid7(),
        "type": "catalog.entry-withdrawn.v1",
        "call": uuid7(),
        "data": {"entry": entry, "reason_text": "Merged."},
    }

    async with sharing.db.begin() as tx:
        await consumer.on_entry_withdrawn(tx, event)

    for request in open_:
        seen = (await sharing.call(sharing.head, "GET", f"/requests/{request}")).json()
        assert seen["state"] == "refused"
        assert seen["refusal"]["code"] == "resource-withdrawn"
        assert seen["steps"][-1]["actor"] == "part/sharing"
        assert seen["answer"] is None, "nobody confirmed it"
    grant = (await sharing.call(sharing.head, "GET", f"/grants/{granted}")).json()
    assert grant["state"] == "ended"


async def test_an_unconditional_resource_is_asked_for_by_a_head(sharing: Sharing) -> None:
    refused = await sharing.call(
        sharing.officer, "POST", "/requests", sharing.body(), Idempotency_Key=uuid7()
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "role-missing")
    assert refused.json()["facts"]["needed_roles"] == ["sharing_office_head"]


async def test_a_service_is_asked_for_by_its_operations(sharing: Sharing) -> None:
    service = {
        "address": "https://owner.test",
        "ca": None,
        "seconds": 5,
        "operations": [{"name": "company", "title": "c", "method": "GET", "path": "/c"}],
    }
    sharing.entry(
        "companies",
        share_class="conditional",
        items=[],
        modes=["call"],
        service=service,
        critical=["share_class", "state", "items", "service"],
    )
    body = {"resource": "companies", "modes": ["call"], "items": [], "operations": ["company"]}

    request = await sharing.confirmed(**body)
    unknown = await sharing.ask(**body | {"operations": ["company", "owners"]})

    assert request["grant"]["operations"] == ["company"]
    (state,) = await sharing.outbox("sharing.grant.v1")
    assert (state["data"]["items"], state["data"]["operations"]) == ([], ["company"])
    assert unknown.json()["code"] == "operations-unknown"
    assert unknown.json()["errors"][0]["pointer"] == "/operations/1"
