"""Lists of entries: what is in them, in which order, at which cost."""

import pytest

from tests.integration.catalog.conftest import LAW, Catalogue, item, running
from tests.support.statements import LISTS, statements


async def test_pages_hold_every_published_entry_once(catalogue: Catalogue) -> None:
    made = [(await catalogue.publish(resource=f"resource-{n}"))["id"] for n in range(5)]
    await catalogue.create(resource="a-draft")

    seen, query = [], "?limit=2"
    while query:
        page = (await catalogue.call(catalogue.system, "GET", f"/entries{query}")).json()
        seen += [entry["id"] for entry in page["items"]]
        query = f"?limit=2&cursor={page['next']}" if page["next"] else ""

    assert seen == made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("agency=civil-affairs", {"alpha", "beta-100%", "secret"}),
        ("agency=nobody-here", set()),
        ("share_class=not_shared", {"secret"}),
        ("text=ALPHA", {"alpha"}),
        ("text=100%25", {"beta-100%"}),
        ("text=_", set()),
        ("resource=alpha", {"alpha"}),
        ("state=withdrawn", set()),
    ],
)
async def test_filters_narrow_the_list(catalogue: Catalogue, query: str, found: set[str]) -> None:
    await catalogue.publish(resource="alpha", name="alpha")
    await catalogue.publish(resource="beta", name="beta-100%")
    await catalogue.publish(
        resource="secret", name="secret", share_class="not_shared", legal_basis=LAW
    )

    page = (await catalogue.call(catalogue.system, "GET", f"/entries?{query}")).json()

    assert {entry["name"] for entry in page["items"]} == found


async def test_drafts_are_listed_for_their_own_agency_only(catalogue: Catalogue) -> None:
    await catalogue.create()

    own = await catalogue.call(catalogue.reviewer, "GET", "/entries?state=draft")
    foreign = await catalogue.call(catalogue.stranger, "GET", "/entries?state=draft")

    assert len(own.json()["items"]) == 1
    assert foreign.json()["items"] == []


async def test_lists_cost_the_same_statements_for_few_and_for_many(catalogue: Catalogue) -> None:
    lists = {
        "list_entries": (catalogue.system, "/entries?limit=200"),
        "search_entries": (catalogue.system, "/search?q=resource&limit=50"),
        "list_search_misses": (catalogue.reviewer, "/search/misses?limit=200"),
    }
    assert lists.keys() == LISTS["catalog"]

    async def costs() -> dict[str, tuple[int, int]]:
        assert await catalogue.searching.catch_up(20)
        found = {}
        for name, (caller, path) in lists.items():
            with statements() as sent:
                answer = await catalogue.call(caller, "GET", path)
            found[name] = len(sent), len(answer.json()["items"])
        return found

    async def more(*numbers: int) -> None:
        for number in numbers:
            items = [item("code", key=True, required=True), *(item(f"i{n}") for n in range(60))]
            await catalogue.publish(resource=f"resource-{number}", items=items)
            await catalogue.call(catalogue.system, "GET", f"/search?q=missing{number}")

    async with running(catalogue.searching):
        await more(0)
        await costs()  # connections and types are learned on first use
        few = await costs()
        await more(*range(1, 11))
        many = await costs()

    assert many == {name: (sent, rows + 10) for name, (sent, rows) in few.items()}


@pytest.mark.parametrize("cursor", ["x", "W10", "WyJhIl0", "WzFd", "!!!", "ü"])
async def test_a_cursor_of_another_shape_is_refused(catalogue: Catalogue, cursor: str) -> None:
    refused = await catalogue.call(catalogue.system, "GET", f"/entries?cursor={cursor}")

    assert refused.status_code == 400
    assert refused.json()["code"] == "cursor-invalid"
