"""A batch from its opening to its end, as its owner sees it."""

from tests.integration.transfer.conftest import Town

ROWS = [
    {"code": "330000", "name": "浙江省", "level": 1},
    {"code": "330100", "name": "杭州市", "level": 2, "parent": "330000"},
]


async def test_a_snapshot_travels(town: Town) -> None:
    batch = await town.publish_rows(ROWS)
    assert batch["state"] == "effective", batch
    batch = await town.publish_rows(
        [{**ROWS[0], "name": "x"}, {"code": "1", "name": "y", "level": 3}]
    )
    batch = await town.publish_rows(
        [{"code": "1", "_op": "delete"}, {"code": "2", "name": "y", "level": 3}], mode="changes"
    )
