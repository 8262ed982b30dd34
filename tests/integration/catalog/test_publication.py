"""From a draft to a published entry and on: who does what, and what the bus is told."""

from typing import Any

import asyncpg

from kit import outbox
from services.catalog import actions
from tests.integration.catalog.conftest import LAW, Catalogue, content, item


async def test_an_approved_entry_is_visible_to_everybody_and_on_the_bus(
    catalogue: Catalogue,
) -> None:
    entry = await catalogue.create()
    assert entry["state"] == "draft"
    path = f"/entries/{entry['id']}"
    assert (await catalogue.call(catalogue.system, "GET", path)).status_code == 404

    await catalogue.call(catalogue.registrar, "POST", f"{path}/submissions")
    approved = await catalogue.call(catalogue.reviewer, "POST", f"{path}/approvals")

    assert approved.status_code == 200
    assert approved.headers["datong-revision"] == f"catalog.entry/{entry['id']}@3"
    seen = (await catalogue.call(catalogue.system, "GET", path)).json()
    assert seen["state"] == "published"
    assert seen["published"]["items"][0]["key"] is True
    assert seen["draft"] is None
    assert seen["published"]["decided_by"] is None
    (state,) = await catalogue.outbox("catalog.entry.v1")
    assert state["version"] == 3
    assert state["data"]["version"] == 1
    assert state["data"]["state"] == "published"
    assert state["data"]["critical"] == ["share_class", "state", "items"]
    facts = [event["type"] for event in await catalogue.outbox("catalog.change.v1")]
    assert facts == [
        "catalog.entry-created.v1",
        "catalog.entry-submitted.v1",
        "catalog.entry-published.v1",
    ]


async def test_nobody_approves_what_he_wrote_or_submitted(catalogue: Catalogue) -> None:
    both = catalogue.town.person("civil-affairs", "registrar", "reviewer")
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"
    await catalogue.call(both, "POST", f"{path}/submissions")

    refused = await catalogue.call(both, "POST", f"{path}/approvals")

    assert refused.status_code == 403
    assert refused.json()["code"] == "same-person"
    assert await catalogue.outbox("catalog.entry.v1") == []


async def test_a_rejected_draft_comes_back_with_its_reason(catalogue: Catalogue) -> None:
    entry = await catalogue.create()
    path = f"/entries/{entry['id']}"
    await catalogue.call(catalogue.registrar, "POST", f"{path}/submissions")

    rejected = await catalogue.call(
        catalogue.reviewer, "POST", f"{path}/rejections", {"reason": "The summary is wrong."}
    )

    assert rejected.status_code == 200
    assert rejected.json()["draft"]["state"] == "draft"
    assert rejected.json()["draft"]["reason"] == "The summary is wrong."
    assert (await catalogue.approve(entry["id"]))["state"] == "published"


async def test_the_next_version_is_drafted_while_the_published_one_stays(
    catalogue: Catalogue,
) -> None:
    entry = await catalogue.publish()
    path = f"/entries/{entry['id']}"
    begun = await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")
    assert begun.status_code == 201
    again = await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")
    assert again.json()["code"] == "entry-state-conflict"
    await catalogue.call(
        catalogue.registrar,
        "PUT",
        f"{path}/draft",
        content(name="New name"),
        If_Match=begun.headers["etag"],
    )
    seen = (await catalogue.call(catalogue.system, "GET", path)).json()
    assert (seen["published"]["version"], seen["draft"]) == (1, None)
    hidden = await catalogue.call(catalogue.system, "GET", f"{path}/versions/2")
    assert hidden.status_code == 404

    await catalogue.approve(entry["id"])

    first = (await catalogue.call(catalogue.system, "GET", f"{path}/versions/1")).json()
    second = (await catalogue.call(catalogue.system, "GET", f"{path}/versions/2")).json()
    assert (first["state"], first["name"]) == ("superseded", "行政区划代码")
    assert (second["state"], second["name"]) == ("published", "New name")
    states = await catalogue.outbox("catalog.entry.v1")
    assert [state["data"]["version"] for state in states] == [1, 2]


async def test_a_withdrawn_entry_stays_readable_and_ends_for_good(catalogue: Catalogue) -> None:
    entry = await catalogue.publish()
    path = f"/entries/{entry['id']}"
    await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")

    withdrawn = await catalogue.call(
        catalogue.reviewer, "POST", f"{path}/withdrawals", {"reason": "The law has changed."}
    )

    # No relay runs here, so the bus cannot have acknowledged it.
    assert withdrawn.status_code == 202
    assert withdrawn.json()["on_bus"] is False
    assert withdrawn.headers["datong-revision"] == f"catalog.entry/{entry['id']}@5"
    seen = (await catalogue.call(catalogue.system, "GET", path)).json()
    assert seen["state"] == "withdrawn"
    assert seen["published"]["reason"] == "The law has changed."
    for act in ("drafts", "submissions"):
        refused = await catalogue.call(catalogue.registrar, "POST", f"{path}/{act}")
        assert refused.json()["code"] == "entry-state-conflict"
    states = await catalogue.outbox("catalog.entry.v1")
    assert [state["data"]["state"] for state in states] == ["published", "withdrawn"]


async def test_an_entry_that_is_not_shared_names_its_law_on_the_bus(catalogue: Catalogue) -> None:
    await catalogue.publish(share_class="not_shared", legal_basis=LAW, modes=[])

    (state,) = await catalogue.outbox("catalog.entry.v1")

    assert state["data"]["legal_basis"] == LAW


RULES: dict[str, dict[str, Any]] = {
    "code": {"max_length": 12, "pattern": r"\d{6}|\d{9}|\d{12}"},
    "kind": {"codes": ["111", "210"]},
    "level": {"type": "integer", "minimum": "1", "maximum": "5"},
}


async def test_rules_of_items_are_kept_answered_and_told_to_the_bus(catalogue: Catalogue) -> None:
    items = [item("code", key=True, required=True, **RULES["code"])]
    items += [item(name, **RULES[name]) for name in ("kind", "level")]

    entry = await catalogue.publish(items=items, modes=["query", "batch"])

    path = f"/entries/{entry['id']}"
    seen = (await catalogue.call(catalogue.system, "GET", path)).json()["published"]
    assert seen["modes"] == ["query", "batch"]
    for answered in seen["items"]:
        assert answered | RULES[answered["name"]] == answered
    assert [answered["codes"] for answered in seen["items"]] == [None, ["111", "210"], None]
    (state,) = await catalogue.outbox("catalog.entry.v1")
    for told in state["data"]["items"]:
        assert told | RULES[told["name"]] == told
        assert None not in told.values()
    begun = await catalogue.call(catalogue.registrar, "POST", f"{path}/drafts")
    assert begun.json()["draft"]["items"] == seen["items"]


async def test_a_version_that_was_written_before_items_had_rules_is_still_read(
    catalogue: Catalogue,
) -> None:
    entry = await catalogue.publish()
    path = f"/entries/{entry['id']}"
    before = (await catalogue.call(catalogue.system, "GET", path)).json()
    connection = await asyncpg.connect(catalogue.url)
    try:
        await connection.execute(
            """UPDATE entry_version SET content = jsonb_set(content, '{items}', (
                   SELECT jsonb_agg(item - '{max_length,pattern,codes,minimum,maximum}'::text[])
                   FROM jsonb_array_elements(content -> 'items') AS item))"""
        )
    finally:
        await connection.close()

    assert (await catalogue.call(catalogue.system, "GET", path)).json() == before


async def test_republish_appends_the_state_of_all_that_was_published(
    catalogue: Catalogue,
) -> None:
    for number in range(3):
        await catalogue.publish(resource=f"resource-{number}")
    await catalogue.create(resource="still-a-draft")

    count = await actions.republish(catalogue.db)

    states = await catalogue.outbox("catalog.entry.v1")
    assert count == 3
    assert len(states) == 6
    assert states[:3] != states[3:]
    assert [s["data"] for s in states[:3]] == [s["data"] for s in states[3:]]


async def test_an_idle_outbox_counts_as_published(catalogue: Catalogue) -> None:
    assert await outbox.wait_published(catalogue.db, [])
