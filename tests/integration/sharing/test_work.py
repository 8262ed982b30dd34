"""Work lists: what waits for whom, in which order, and that lists cost constant statements."""

from datetime import timedelta

from kit.clock import shanghai_day
from tests.integration.sharing.conftest import Sharing
from tests.support.callers import TestCaller
from tests.support.statements import LISTS, statements

APPROVE = {"decision": "approve"}


async def work_of(sharing: Sharing, caller: TestCaller) -> list[tuple[str, str]]:
    page = (await sharing.call(caller, "GET", "/work")).json()
    return [(work["request"], work["step"]) for work in page["items"]]


async def test_work_waits_for_who_can_do_it(sharing: Sharing) -> None:
    heads_draft = (await sharing.draft(sharing.head))["id"]
    drafted = (await sharing.draft())["id"]
    submitted = await sharing.submitted()
    asked = await sharing.submitted()
    await sharing.step(sharing.owner, asked, "supplement-demands", {"reason": "Why?"})
    answered = await sharing.answered()
    await sharing.confirmed()
    both = sharing.town.person(
        "civil-affairs", "resource_administrator", "agency_head", "sharing_office_head"
    )
    theirs = await sharing.submitted()
    await sharing.step(both, theirs, "answers", APPROVE)

    assert await work_of(sharing, sharing.head) == sorted(
        [(drafted, "submit"), (asked, "supplement")]
    )
    assert await work_of(sharing, sharing.officer) == [(asked, "supplement")]
    assert await work_of(sharing, sharing.owner) == [(submitted, "answer")]
    assert await work_of(sharing, sharing.owners_head) == sorted(
        [(answered, "confirm"), (theirs, "confirm")]
    )
    assert await work_of(sharing, both) == sorted([(submitted, "answer"), (answered, "confirm")])
    for idle in (sharing.auditor, sharing.stranger, sharing.competent):
        assert await work_of(sharing, idle) == []
    assert heads_draft not in dict(await work_of(sharing, sharing.head))


async def test_what_is_due_first_comes_first_in_pages_and_says_when(sharing: Sharing) -> None:
    made = []
    for _ in range(3):
        made.append(await sharing.submitted())
        sharing.clock.advance(timedelta(days=7))
    both = sharing.town.person(
        "civil-affairs", "resource_administrator", "sharing_office_head", "technical_officer"
    )
    made.append((await sharing.draft(sharing.officer, systems=[sharing.system.id]))["id"])

    seen, query = [], "?limit=1"
    while query:
        page = (await sharing.call(both, "GET", f"/work{query}")).json()
        seen += page["items"]
        query = f"?limit=1&cursor={page['next']}" if page["next"] else ""

    assert [work["request"] for work in seen] == made[:3]
    assert [work["due"] for work in seen] == sorted(work["due"] for work in seen)
    assert shanghai_day(sharing.clock.now()).isoformat() > seen[0]["due"]
    assert (seen[0]["owner"], seen[0]["consumer"], seen[0]["resource"]) == (
        "civil-affairs",
        "health-commission",
        "incomes",
    )
    for cursor in ("x", "WyJ4Il0", "WyIyMDI2LTEzLTAxIiwieCJd", "WyIyMDI2LTEyLTAxIiwieCJd"):
        refused = await sharing.call(both, "GET", f"/work?cursor={cursor}")
        assert refused.json()["code"] == "cursor-invalid"


async def test_lists_cost_the_same_statements_for_few_and_for_many(sharing: Sharing) -> None:
    lists = {
        "list_work": (sharing.owner, "/work"),
        "list_requests": (sharing.head, "/requests"),
        "list_grants": (sharing.head, "/grants"),
        "list_usable": (sharing.system, "/usable"),
    }
    assert lists.keys() == LISTS["sharing"]

    async def costs() -> dict[str, tuple[int, int]]:
        found = {}
        for name, (caller, path) in lists.items():
            with statements() as sent:
                answer = await sharing.call(caller, "GET", path)
            found[name] = len(sent), len(answer.json()["items"])
        return found

    await sharing.submitted()
    await sharing.confirmed()
    await costs()  # connections and types are learned on first use
    few = await costs()
    for _ in range(5):
        await sharing.submitted()
        await sharing.confirmed()

    more = {"list_requests": 10}
    assert await costs() == {
        name: (sent, rows + more.get(name, 5)) for name, (sent, rows) in few.items()
    }
