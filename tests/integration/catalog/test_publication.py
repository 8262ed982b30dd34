"""From a draft to a published entry and on: who does what, and what the bus is told."""

from kit import outbox
from services.catalog import actions
from tests.integration.catalog.conftest import LAW, Catalogue, content


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
