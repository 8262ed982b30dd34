"""The edge finds the routes of the contract, byte for byte, and nothing else."""

import re
from pathlib import Path

import pytest
import yaml

from gateway.edge import EdgeRefusal, Route, Router, routes_of

CONTRACT = Path(__file__).resolve().parents[3] / "contracts" / "openapi" / "gateway.v1.yaml"


@pytest.fixture(scope="module")
def router() -> Router:
    return Router(routes_of(yaml.safe_load(CONTRACT.read_text("utf-8"))))


def refusal_of(router: Router, method: bytes, target: bytes) -> EdgeRefusal:
    with pytest.raises(EdgeRefusal) as caught:
        router.match(method, target)
    return caught.value


def test_every_route_of_the_contract_is_found_by_its_own_path(router: Router) -> None:
    for route in router.routes:
        path = route.path
        path = path.replace("{path}", "0/x001/067.p/8")
        path = re.sub(r"{[a-z]+}", "abc", path)
        assert router.match(route.method, path.encode()).route is route


def test_the_resource_of_a_data_route_is_read_from_the_path(router: Router) -> None:
    match = router.match(b"POST", b"/data/v1/xzqh-divisions/query")
    assert (match.route.operation, match.route.data, match.resource) == (
        "query",
        "query",
        "xzqh-divisions",
    )


def test_a_parameter_of_another_name_is_no_resource(router: Router) -> None:
    assert router.match(b"GET", b"/catalog/v1/entries/e1").resource is None


def test_a_path_parameter_called_path_takes_slashes(router: Router) -> None:
    assert router.match(b"GET", b"/audit/v1/tile/0/x001/067").route.operation == "get_tile"


def test_a_query_string_does_not_change_the_route(router: Router) -> None:
    match = router.match(b"GET", b"/catalog/v1/entries?limit=5&name=%E8%A1%8C")
    assert match.route.operation == "list_entries"


def test_deliveries_are_data_under_grants_and_batches_are_publications(router: Router) -> None:
    segment = router.match(b"GET", b"/data/v1/abc/deliveries/d1/segments/0")
    assert (segment.route.operation, segment.route.data) == ("get_segment", "batch")
    assert segment.resource == "abc"
    assert router.match(b"POST", b"/data/v1/abc/batches").route.data == "publish"
    assert router.match(b"GET", b"/data/v1/abc/reconciliations/days").route.data is None


def test_calls_that_take_long_have_a_lane_of_their_own(router: Router) -> None:
    lanes = {route.operation: route.lane for route in router.routes}
    assert lanes["query"] == lanes["open_batch"] == "transfer"
    for operation in ("put_chunk", "get_batch", "list_deliveries", "get_segment"):
        assert lanes[operation] == "transfer/slow"
    assert all(route.slow for route in router.routes if route.streams)


def test_a_route_that_waits_is_slow() -> None:
    document = yaml.safe_load(CONTRACT.read_text("utf-8"))
    wait = {"$ref": "#/components/parameters/Wait"}
    waiting = [
        operation
        for item in document["paths"].values()
        for operation in item.values()
        if isinstance(operation, dict) and wait in operation.get("parameters", [])
    ]
    assert {operation["operationId"] for operation in waiting} == {"get_batch", "list_deliveries"}
    assert all(operation["x-datong-slow"] for operation in waiting)


def test_uploads_are_passed_on_in_pieces_and_queries_are_held(router: Router) -> None:
    assert router.match(b"PUT", b"/data/v1/abc/batches/b1/chunks/0").route.streams
    assert not router.match(b"POST", b"/data/v1/abc/query").route.streams


def test_another_method_is_refused_with_those_that_exist(router: Router) -> None:
    refused = refusal_of(router, b"DELETE", b"/catalog/v1/entries")
    assert (refused.code, refused.allow) == ("method-not-allowed", "GET, POST")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/identity",
        b"/identity/v1",
        b"/identity/v1/me/",
        b"/Identity/v1/me",
        b"/identity/v1/ME",
        b"/identity/v1/me/more",
        b"/data/v1/abc",
        b"/data/v1/abc/query/more",
        b"/health/live",
        b"/metrics",
        b"/audit/v1/tile",
        b"/v1/identity/me",
    ],
)
def test_a_path_that_the_contract_does_not_list_is_unknown(router: Router, target: bytes) -> None:
    assert refusal_of(router, b"GET", target).code == "route-unknown"


@pytest.mark.parametrize(
    "target",
    [
        b"*",
        b"http://gateway/identity/v1/me",
        b"//identity/v1/me",
        b"/identity//v1/me",
        b"/identity/v1/../v1/me",
        b"/identity/v1/./me",
        b"/identity/v1/..",
        b"/identity/v1/%6de",
        b"/identity/v1%2fme",
        b"/identity/v1%5cme",
        b"/identity/v1/%2e%2e/me",
        b"/identity/v1/me%00",
        b"/identity/v1/me%252f",
        b"/identity/v1/me;x=1",
        b"/identity/v1/m\\e",
        b"/identity/v1/me#x",
        b"/identity/v1/m e",
        b"/identity/v1/m\x7fe",
        "/identity/v1/我".encode(),
        b"/identity/v1/\xc0\xae\xc0\xae/me",
        b"/data/v1/a:b/query",
        b"/data/v1/a@b/query",
        b"/catalog/v1/entries?a=%",
        b"/catalog/v1/entries?a=%zz",
        b"/catalog/v1/entries?a=%0d%0aX:1",
        b"/catalog/v1/entries?a=%00",
        b"/catalog/v1/entries?a=%7f",
        b"/catalog/v1/entries?a=\xff",
        b"/catalog/v1/entries?a=<script>",
        b"/catalog/v1/entries?a#b",
        b"/catalog/v1/entries?a\\b",
    ],
)
def test_a_target_that_two_readers_could_read_differently_is_malformed(
    router: Router, target: bytes
) -> None:
    assert refusal_of(router, b"GET", target).code == "call-malformed"


def test_targets_are_remembered_without_end_only_up_to_a_bound(router: Router) -> None:
    for number in range(5000):
        router.match(b"POST", b"/data/v1/resource-%d/query" % number)
    assert router.match(b"POST", b"/data/v1/resource-7/query").resource == "resource-7"


def test_the_same_route_twice_is_a_fault_of_the_contract() -> None:
    route = Route("a", b"GET", "/x/{y}", "public", "audit")
    with pytest.raises(ValueError, match="twice"):
        Router([route, route])


def test_two_names_for_one_parameter_are_a_fault_of_the_contract() -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        Router(
            [
                Route("a", b"GET", "/x/{y}", "public", "audit"),
                Route("b", b"GET", "/x/{z}/w", "public", "audit"),
            ]
        )


@pytest.mark.parametrize(
    "operation",
    [
        {"operationId": "a"},
        {"operationId": "a", "x-datong-access": "anybody", "x-datong-part": "audit"},
        {"operationId": "a", "x-datong-access": "public"},
        {
            "operationId": "a",
            "x-datong-access": "public",
            "x-datong-part": "transfer",
            "x-datong-data": "query",
        },
        {
            "operationId": "a",
            "x-datong-access": "caller",
            "x-datong-part": "transfer",
            "x-datong-data": "steal",
        },
        {
            "operationId": "a",
            "x-datong-access": "caller",
            "x-datong-part": "transfer",
            "x-datong-body-limit": 1 << 24,
        },
        {
            "operationId": "a",
            "x-datong-access": "public",
            "x-datong-part": "transfer",
            "x-datong-data": "batch",
        },
    ],
)
def test_a_route_without_complete_marks_is_a_fault_of_the_contract(
    operation: dict[str, str | int],
) -> None:
    with pytest.raises(ValueError, match="x-datong"):
        routes_of({"paths": {"/x": {"get": operation}}})
