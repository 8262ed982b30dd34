"""A call that decided by an older copy of a grant than the worker's leaves nothing behind."""

from dataclasses import replace
from typing import Any

import pytest

from tests.integration.transfer.conftest import Town
from tests.integration.transfer.receiving import Department, department

ROWS: list[dict[str, Any]] = [{"code": "330000", "name": "浙江省", "level": 1}]


def narrow_before(town: Town, health: Department) -> None:
    """Let the worker have heard of narrower terms when nobody had subscribed yet."""
    health.give(["code", "name"])
    town.fitting._changed.clear()


@pytest.mark.parametrize("starts", ["beginning", "now"])
async def test_who_subscribed_by_older_terms_is_moved_by_the_next_work(
    town: Town, starts: str
) -> None:
    await town.publish_rows(ROWS)
    health = department(town)
    await health.subscribe(starts)
    narrow_before(town, health)

    await town.publish_rows([{**ROWS[0], "level": 2}])

    await health.look_again()
    assert [item["name"] for item in health.subscription["items"]] == ["code", "name"]
    (delivery,) = await health.deliveries()
    assert delivery["kind"] == "table"
    assert await health.catch_up() == ["agreed"]


async def test_who_may_have_missed_a_prolongation_ends_nobody(town: Town) -> None:
    await town.publish_rows(ROWS)
    health = department(town)
    await health.subscribe()
    await town.work()
    known = town.context
    town.context = replace(known, is_current=lambda: False)
    health.give(valid_until="2026-01-02T00:00:00.000000Z")

    await town.publish_rows([{**ROWS[0], "level": 2}])

    health.give(valid_until="2999-01-01T00:00:00.000000Z")
    town.context = known
    assert (await health.look_again())["state"] == "active"
    assert await health.catch_up() == ["agreed", "agreed"]


async def test_nobody_is_moved_by_terms_that_may_be_older_ones(town: Town) -> None:
    await town.publish_rows(ROWS)
    health = department(town)
    await health.subscribe()
    narrow_before(town, health)
    known = town.context
    town.context = replace(known, is_current=lambda: False)

    await town.work()

    assert len((await health.look_again())["items"]) == 4
    town.context = known
    await town.publish_rows([{**ROWS[0], "level": 2}])
    assert len((await health.look_again())["items"]) == 2
