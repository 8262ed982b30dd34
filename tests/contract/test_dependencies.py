"""Dependencies of routes run on the event loop: a plain function would cost a thread per call."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi.dependencies.models import Dependant

from tests.contract.parts import SERVICES, routes_of


def _calls(dependant: Dependant) -> Iterator[object]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)


@pytest.mark.parametrize("part", SERVICES)
def test_no_dependency_of_a_route_needs_a_thread(part: str) -> None:
    asked = {call for route in routes_of(part) for call in _calls(route.dependant)}

    assert asked
    for call in asked:
        function = call if inspect.isfunction(call) else type(call).__call__
        assert inspect.iscoroutinefunction(function), call
