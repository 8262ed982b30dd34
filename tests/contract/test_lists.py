"""Every route that lists has a test of what it costs in statements."""

import pytest

from tests.contract.parts import SERVICES, routes_of
from tests.support.statements import LISTS


@pytest.mark.parametrize("part", SERVICES)
def test_every_list_is_one_whose_statements_are_counted(part: str) -> None:
    lists = {
        route.name
        for route in routes_of(part)
        if route.name.startswith(("list_", "search_")) or "Page[" in str(route.response_model)
    }

    assert lists == LISTS[part]
