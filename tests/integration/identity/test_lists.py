"""Lists of identity cost the same statements for few and for many."""

from secrets import token_hex

from tests.integration.identity.town import Town
from tests.support.statements import LISTS, statements


async def test_lists_cost_the_same_statements_for_few_and_for_many(town: Town) -> None:
    officer = await town.agency(id=f"agency-{token_hex(4)}")
    lists = {
        "list_agencies": (town.operator, "/agencies"),
        "list_people": (officer, "/people"),
        "list_systems": (officer, "/systems"),
        "list_credentials": (officer, "/credentials"),
    }
    assert lists.keys() == LISTS["identity"]

    async def costs() -> dict[str, tuple[int, int]]:
        found = {}
        for name, (caller, path) in lists.items():
            with statements() as sent:
                answer = await town.call(caller, "GET", f"{path}?limit=200")
            found[name] = len(sent), len(answer.json()["items"])
        return found

    await town.person(officer, "registrar")
    await town.system(officer)
    await costs()  # connections and types are learned on first use
    few = await costs()
    for _ in range(5):
        await town.person(officer, "registrar")
        await town.system(officer)
        await town.agency()
    many = await costs()

    for name, (sent, rows) in few.items():
        assert many[name] == (sent, rows + {"list_credentials": 10}.get(name, 5)), name
