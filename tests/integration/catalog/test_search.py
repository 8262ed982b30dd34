"""Searching: what is found by whom, in which order, with which numbers; how the index keeps up."""

import asyncio
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kit.clock import SystemClock
from kit.notices import listen
from kit.outbox import APPENDED
from services.catalog.actions import Searching
from services.catalog.actions import searching as module
from tests.integration.catalog.conftest import LAW, Catalogue, item, running
from tests.support.processes import wait_until


async def search(catalogue: Catalogue, query: str, **headers: str) -> dict[str, Any]:
    """Search as a system of another agency; return the answer."""
    answer = await catalogue.call(catalogue.system, "GET", f"/search?{query}", **headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def names(catalogue: Catalogue, query: str) -> list[str]:
    return [entry["name"] for entry in (await search(catalogue, query))["items"]]


def hits(searching: Searching, query: str) -> Any:
    from services.catalog.domain import Search, words

    return searching.search(Search(tuple(words(query))))


async def test_published_entries_are_found_by_every_text_that_describes_them(
    catalogue: Catalogue,
) -> None:
    await catalogue.publish(
        resource="death-registration",
        name="死亡登记信息",
        summary="公民死亡后的户口注销。",
        items=[item("code", key=True, required=True, title="公民身份号码")],
    )
    await catalogue.create(resource="a-draft", name="死亡登记草稿")

    async with running(catalogue.searching):
        for query in ("死亡", "亡登", "户口注销", "身份号", "死", "DEATH", "民身 注销", "civil"):
            assert await names(catalogue, f"q={query}") == ["死亡登记信息"], query
        for query in ("草稿", "死登", "身份证", "deat"):
            assert await names(catalogue, f"q={query}") == [], query


async def test_hits_in_names_come_first_and_carry_what_a_list_shows(catalogue: Catalogue) -> None:
    await catalogue.publish(resource="one", name="企业年报", summary="婚姻登记 婚姻登记 婚姻登记")
    named = await catalogue.publish(resource="two", name="一份名字很长的婚姻登记与其他资料的汇总")

    async with running(catalogue.searching):
        found = await search(catalogue, "q=婚姻登记")

    assert [entry["resource"] for entry in found["items"]] == ["two", "one"]
    listed = (await catalogue.call(catalogue.system, "GET", "/entries?resource=two")).json()
    first = found["items"][0]
    assert first.pop("score") > found["items"][1]["score"]
    assert first == listed["items"][0]
    assert first["id"] == named["id"]


async def test_facets_and_narrowing_agree(catalogue: Catalogue) -> None:
    await catalogue.publish(resource="one", name="河长制巡查")
    await catalogue.publish(resource="two", name="河长制名录", modes=["query", "batch"])
    await catalogue.publish(
        resource="three", name="河长制考核", share_class="not_shared", legal_basis=LAW
    )

    async with running(catalogue.searching):
        found = await search(catalogue, "q=河长制")
        narrowed = await search(catalogue, "q=河长制&share_class=not_shared")
        batch = await search(catalogue, "q=河长制&mode=batch&agency=civil-affairs")
        nobody = await search(catalogue, "q=河长制&agency=nobody-here")

    assert found["total"] == 3
    assert found["facets"] == {
        "agency": [{"value": "civil-affairs", "count": 3}],
        "share_class": [
            {"value": "unconditional", "count": 2},
            {"value": "not_shared", "count": 1},
        ],
        "mode": [{"value": "query", "count": 3}, {"value": "batch", "count": 1}],
    }
    assert [each["resource"] for each in narrowed["items"]] == ["three"]
    assert [each["resource"] for each in batch["items"]] == ["two"]
    assert nobody["items"] == []
    assert nobody["total"] == 0


async def test_pages_hold_every_hit_once_and_cursors_belong_to_their_search(
    catalogue: Catalogue,
) -> None:
    for number in range(5):
        await catalogue.publish(resource=f"resource-{number}", name=f"企业名录 {number}")

    async with running(catalogue.searching):
        seen, query = [], "q=企业&limit=2"
        while query:
            page = await search(catalogue, query)
            seen += [entry["resource"] for entry in page["items"]]
            query = f"q=企业&limit=2&cursor={page['next']}" if page["next"] else ""
        cursor = (await search(catalogue, "q=企业&limit=2"))["next"]
        for other in (
            f"q=名录&cursor={cursor}",
            f"q=企业&mode=query&cursor={cursor}",
            f"q=企业&cursor={cursor[:-1]}A",
            f"q=企业&cursor=WzQsImEiXQ{cursor[10:]}",
            "q=企业&cursor=WzQsImEiXQ",
            "q=企业&cursor=x",
        ):
            refused = await catalogue.call(catalogue.system, "GET", f"/search?{other}")
            assert (refused.status_code, refused.json()["code"]) == (400, "cursor-invalid"), other

    assert sorted(seen) == [f"resource-{number}" for number in range(5)]


@pytest.mark.parametrize(
    "query", ["", "q=", "q=%20", "q=——？", f"q={'长' * 101}", "q=a%00b", "q=企业&limit=0"]
)
async def test_a_search_without_words_is_refused(catalogue: Catalogue, query: str) -> None:
    async with running(catalogue.searching):
        refused = await catalogue.call(catalogue.system, "GET", f"/search?{query}")

    assert (refused.status_code, refused.json()["code"]) == (422, "parameter-invalid")
    assert refused.json()["errors"][0]["pointer"] in ("/query/q", "/query/limit")


async def test_before_the_index_is_made_a_search_is_told_to_come_again(
    catalogue: Catalogue,
) -> None:
    refused = await catalogue.call(catalogue.system, "GET", "/search?q=企业")

    assert (refused.status_code, refused.json()["code"]) == (503, "service-unavailable")


async def test_a_search_after_a_change_sees_it(catalogue: Catalogue) -> None:
    async with running(catalogue.searching):
        for number in range(5):
            entry = await catalogue.publish(resource=f"resource-{number}", name=f"名录{number}号")
            after = f"catalog.entry/{entry['id']}@{entry['revision']}"
            found = await search(catalogue, f"q={number}号", Datong_After=after)
            assert found["total"] == 1
            gone = await catalogue.call(
                catalogue.reviewer,
                "POST",
                f"/entries/{entry['id']}/withdrawals",
                {"reason": "No longer kept."},
            )
            after = gone.headers["datong-revision"]
            assert (await search(catalogue, f"q={number}号", Datong_After=after))["total"] == 0


async def test_a_new_version_replaces_the_one_before(catalogue: Catalogue) -> None:
    async with running(catalogue.searching):
        entry = await catalogue.publish(resource="one", name="旧名称")
        await catalogue.call(catalogue.registrar, "POST", f"/entries/{entry['id']}/drafts")
        draft = await catalogue.call(catalogue.registrar, "GET", f"/entries/{entry['id']}")
        body = {
            name: value
            for name, value in draft.json()["draft"].items()
            if name
            in ("resource", "summary", "items", "data_format", "update_frequency", "share_class")
            or name in ("modes", "use_conditions", "data_grade", "line", "area")
        }
        replaced = await catalogue.call(
            catalogue.registrar,
            "PUT",
            f"/entries/{entry['id']}/draft",
            {**body, "name": "新名称"},
            If_Match=draft.headers["etag"],
        )
        assert replaced.status_code == 200, replaced.text
        assert await catalogue.searching.catch_up(20)
        assert await names(catalogue, "q=名称") == ["旧名称"], "a draft is not published"

        await catalogue.approve(entry["id"])
        assert await catalogue.searching.catch_up(20)

        assert await names(catalogue, "q=名称") == ["新名称"]


async def test_names_of_agencies_are_searched_as_they_are_now(catalogue: Catalogue) -> None:
    await catalogue.publish(resource="one")
    directory = catalogue.town.directory
    async with running(catalogue.searching):
        assert (await search(catalogue, "q=civil-affairs"))["total"] == 1
        agency = directory.agencies["civil-affairs"]
        directory.agencies["civil-affairs"] = type(agency)(
            agency.id, "杭州市民政局", agency.level, agency.area_code, None, None, True
        )
        assert await catalogue.searching.catch_up(20)

        assert (await search(catalogue, "q=民政局"))["total"] == 1
        assert (await search(catalogue, "q=civil-affairs"))["total"] == 0


async def test_a_change_is_searched_without_anybody_waiting_for_it(catalogue: Catalogue) -> None:
    listening = asyncio.create_task(listen(catalogue.url, APPENDED, catalogue.searching.wake))
    async with running(catalogue.searching):
        await catalogue.publish(resource="one", name="台账")

        async def found() -> bool:
            return bool((await search(catalogue, "q=台账"))["total"])

        await wait_until(found, 20, "the entry is found")
    listening.cancel()
    await asyncio.wait([listening])


async def test_changes_that_commit_out_of_order_are_all_taken_up(catalogue: Catalogue) -> None:
    """The first transaction to begin is the last to commit, behind more than any overlap."""
    early = await catalogue.publish(resource="early", name="甲登记")
    late = await catalogue.publish(resource="late", name="乙登记")
    searching = catalogue.searching
    assert await searching.open()
    await searching.step()
    first, second = await asyncpg.connect(catalogue.url), await asyncpg.connect(catalogue.url)
    change = (
        "UPDATE entry SET revision = revision + 1, "
        "changed_in = pg_current_xact_id()::text::bigint WHERE id = $1"
    )
    withdraw = "UPDATE entry_version SET state = 'withdrawn' WHERE entry = $1"
    try:
        opened = first.transaction()
        await opened.start()
        await first.execute(change, early["id"])
        await first.execute(withdraw, early["id"])
        for _ in range(module.OVERLAP + 10):
            await second.execute("SELECT pg_current_xact_id()")
        async with second.transaction():
            await second.execute(change, late["id"])
            await second.execute(withdraw, late["id"])
        await searching.step()
        assert [hit.shown["name"] for hit in (await hits(searching, "登记")).hits] == ["甲登记"]
        await searching.step()
        await opened.commit()
        await searching.step()
    finally:
        await first.close()
        await second.close()

    assert (await hits(searching, "登记")).total == 0


async def test_an_index_that_stays_is_used_again_and_only_caught_up(catalogue: Catalogue) -> None:
    await catalogue.publish(resource="one", name="一号登记")
    async with running(catalogue.searching):
        pass
    await catalogue.publish(resource="two", name="二号登记")
    rebuilt = module.REBUILDS._value.get()
    again = another(catalogue)

    assert await again.open()
    assert (await hits(again, "登记")).total == 1, "the index before answers at once"
    await again.step()

    assert (await hits(again, "登记")).total == 2
    assert module.REBUILDS._value.get() == rebuilt
    await again.close()


def another(catalogue: Catalogue) -> Searching:
    """The search of a process that starts after the one before has ended."""
    path = catalogue.searching._path
    return Searching(catalogue.db, path, catalogue.searching._agencies)


def index_of(path: Path) -> Path:
    """The folder of the one index below `path`."""
    (folder,) = path.glob("entries-*")
    return folder


def _flip(path: Path) -> None:
    largest = max(index_of(path).glob("*.term"), key=lambda file: file.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[len(data) // 3] ^= 0xFF
    largest.write_bytes(data)


def _cut(path: Path) -> None:
    file = next(index_of(path).glob("*.store"))
    file.write_bytes(file.read_bytes()[:-5])


def _lose_a_file(path: Path) -> None:
    next(index_of(path).glob("*.idx")).unlink()


def _lose_the_state(path: Path) -> None:
    (path / "state.json").unlink()


def _garble_the_state(path: Path) -> None:
    (path / "state.json").write_text('{"format": ')


def _garble_the_list(path: Path) -> None:
    (index_of(path) / "meta.json").write_text("[]")


def _another_format(path: Path) -> None:
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "format": "0"}))


def _another_database(path: Path) -> None:
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "incarnation": 1}))


def _ahead_of_the_database(path: Path) -> None:
    state = json.loads((path / "state.json").read_text())
    (path / "state.json").write_text(json.dumps({**state, "position": 1 << 40}))


@pytest.mark.parametrize(
    "harm",
    [
        _flip,
        _cut,
        _lose_a_file,
        _lose_the_state,
        _garble_the_state,
        _garble_the_list,
        _another_format,
        _another_database,
        _ahead_of_the_database,
    ],
)
async def test_an_index_that_is_no_good_is_made_anew(catalogue: Catalogue, harm: Any) -> None:
    await catalogue.publish(resource="one", name="一号登记")
    async with running(catalogue.searching):
        pass
    path = catalogue.searching._path
    before = index_of(path).name
    harm(path)
    again = another(catalogue)

    async with running(again):
        assert (await hits(again, "登记")).total == 1
        assert index_of(path).name != before, "the one before is removed"


async def test_an_index_that_is_lost_while_it_is_used_is_made_anew(catalogue: Catalogue) -> None:
    await catalogue.publish(resource="one", name="一号登记")
    path = catalogue.searching._path
    async with running(catalogue.searching):
        for file in index_of(path).iterdir():
            file.unlink()
        assert (await search(catalogue, "q=登记"))["total"] == 1, "the old one still answers"
        await catalogue.publish(resource="two", name="二号登记")

        async def found() -> bool:
            return bool((await search(catalogue, "q=登记"))["total"] == 2)

        await wait_until(found, 30, "the index is made anew")


async def test_a_folder_belongs_to_one_process(catalogue: Catalogue) -> None:
    async with running(catalogue.searching):
        other = another(catalogue)
        assert not await other.open()
        await other.close()


async def test_several_processes_have_indexes_of_their_own(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    other = Searching(catalogue.db, tmp_path / "other", dict)
    async with running(catalogue.searching), running(other):
        await catalogue.publish(resource="one", name="一号登记")
        for each in (catalogue.searching, other):
            assert await each.catch_up(20)
            assert (await hits(each, "登记")).total == 1


async def test_what_is_searched_in_vain_is_told_to_those_who_write_entries(
    catalogue: Catalogue,
) -> None:
    health = catalogue.town.person("health-commission", "technical_officer")
    await catalogue.publish(resource="one", name="一号登记")
    async with running(catalogue.searching):
        for query in ("q=出租车", "q=出租车", "q=身份证 330106199001011234", "q=登记"):
            await search(catalogue, query)
        await search(catalogue, "q=登记&agency=nobody-here")
        await catalogue.call(catalogue.registrar, "GET", "/search?q=出租车")
    day = SystemClock().now().astimezone(module.SHANGHAI).date().isoformat()

    first = await catalogue.call(catalogue.reviewer, "GET", "/search/misses?limit=1")
    rest = await catalogue.call(
        catalogue.reviewer, "GET", f"/search/misses?cursor={first.json()['next']}"
    )

    assert first.json()["items"] == [{"query": "出租车", "searches": 3, "agencies": 2, "last": day}]
    assert rest.json() == {
        "items": [{"query": "身份证 #", "searches": 1, "agencies": 1, "last": day}],
        "next": None,
    }
    for caller in (health, catalogue.system):
        refused = await catalogue.call(caller, "GET", "/search/misses")
        assert (refused.status_code, refused.json()["code"]) == (403, "role-missing")
    for cursor in ("x", "WzAsImEiXQ", "WyJhIiwxXQ"):
        refused = await catalogue.call(catalogue.reviewer, "GET", f"/search/misses?cursor={cursor}")
        assert refused.json()["code"] == "cursor-invalid", cursor
