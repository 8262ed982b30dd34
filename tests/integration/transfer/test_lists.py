"""Lists of transfer cost the same statements for few and for many."""

from tests.integration.transfer.conftest import OWNER, RESOURCE, Town
from tests.integration.transfer.receiving import department
from tests.support.statements import LISTS, statements

ROW = {"code": "330000", "name": "浙江省", "level": 1}
DAYS = "reconciliations/days?from=2026-01-01&until=2026-12-31"


async def test_lists_cost_the_same_statements_for_few_and_for_many(town: Town) -> None:
    receiver, fickle = department(town), department(town)
    await town.publish_rows([ROW])
    await receiver.subscribe()
    batch = await town.open()
    headers = town.identities.headers(town.identities.person(OWNER, "technical_officer"))
    lists = {
        "list_batches": (town, "batches?limit=200"),
        "list_chunks": (town, f"batches/{batch}/chunks"),
        "list_subscriptions": (fickle, "subscriptions?limit=200"),
        "list_deliveries": (receiver, f"{receiver.path}/deliveries?after=0"),
        "list_reconciliations": (None, "reconciliations?limit=200"),
        "list_reconciliation_days": (None, DAYS),
    }
    assert lists.keys() == LISTS["transfer"]

    async def costs() -> dict[str, tuple[int, int]]:
        found = {}
        for name, (caller, path) in lists.items():
            with statements() as sent:
                answer = await (
                    caller.call("GET", path)
                    if caller
                    else town.client.get(f"/data/v1/{RESOURCE}/{path}", headers=headers)
                )
            assert answer.status_code == 200, f"{name}: {answer.text}"
            found[name] = len(sent), len(answer.json()["items"])
        return found

    async def more(first: int, last: int) -> None:
        for number in range(first, last):
            await town.put(batch, number, [ROW | {"code": str(number)}])
            await department(town).subscribe()
            await fickle.subscribe()
            await fickle.call("POST", f"{fickle.path}/endings")
            await town.publish_rows(
                [{"_op": "upsert", **ROW, "code": f"c{number}"}], mode="changes"
            )

    await more(0, 1)
    await costs()  # connections and types are learned on first use
    few = await costs()
    await more(1, 4)
    many = await costs()

    for name, (sent, rows) in few.items():
        assert many[name][0] == sent, name
        assert many[name][1] > rows or name == "list_reconciliation_days", name
