"""Bad input: a precise problem, nothing changed, never a 500."""

from base64 import urlsafe_b64encode
from typing import Any

import pytest

from kit.http import encode_cursor
from kit.ids import uuid7
from tests.integration.identity.town import BASE, Town
from tests.support.callers import gateway_client

JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{} {}",
        b'{"name": "a", "name": "b"}',
        b'{"name": NaN}',
        b'{"name": "\xff"}',
        b'\xef\xbb\xbf{"name": "a"}',
        b'{"name": "\\ud800"}',
        b'{"name": 1e999}',
        b"[" * 100_000,
        b'{"name": "' + b"x" * (1 << 20) + b'"}',
    ],
    ids=[
        "empty",
        "cut off",
        "two documents",
        "duplicate name",
        "NaN",
        "not UTF-8",
        "byte order mark",
        "lone surrogate",
        "infinite",
        "too deep",
        "too large",
    ],
)
async def test_malformed_json_is_refused(town: Town, body: bytes) -> None:
    answer = await town.call(town.officer, "POST", "/systems", content=body, headers=JSON)

    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("body-malformed", "body-invalid")
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_form_where_json_is_wanted_is_refused(town: Town) -> None:
    answer = await town.call(town.officer, "POST", "/systems", data={"name": "x"})

    assert answer.status_code in (415, 422)


@pytest.mark.parametrize(
    "path",
    [
        "/people/not-a-uuid",
        "/people/00000000-0000-0000-0000-00000000000Z",
        "/systems/%00",
        "/agencies/UPPER",
        "/agencies/a",
        "/agencies/%E5%B1%80",
        "/people?agency=%00",
        "/people?limit=0",
        "/people?limit=201",
        "/people?limit=x",
        "/credentials?holder=nobody",
    ],
)
async def test_a_parameter_of_another_shape_is_refused(town: Town, path: str) -> None:
    answer = await town.call(town.operator, "GET", path)

    assert (answer.status_code, answer.json()["code"]) == (422, "parameter-invalid")


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "%00",
        "é",
        encode_cursor([5]),
        encode_cursor(["a\0b"]),
        encode_cursor([uuid7(), uuid7()]),
        urlsafe_b64encode(b'{"a":1}').decode(),
        urlsafe_b64encode(b"[NaN]").decode(),
    ],
)
@pytest.mark.parametrize("listed", ["/agencies", "/people", "/systems", "/credentials"])
async def test_an_altered_cursor_is_refused(town: Town, listed: str, cursor: str) -> None:
    caller = town.officer if listed == "/systems" else town.operator

    answer = await town.call(caller, "GET", listed, params={"cursor": cursor})

    assert (answer.status_code, answer.json()["code"]) == (400, "cursor-invalid")


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Authorization": ""}, "token-missing"),
        ({"Authorization": "Basic eDp5"}, "token-missing"),
        ({"Authorization": "Bearer a.b.c"}, "token-invalid"),
        ({"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}, "token-invalid"),
        ({"Datong-Internal-Certificate": "!"}, "certificate-missing"),
        ({"Datong-Internal-Certificate": "AAAA"}, "token-not-bound"),
    ],
)
async def test_a_caller_who_cannot_prove_itself_is_refused(
    town: Town, headers: dict[str, str], code: str
) -> None:
    answer = await town.call(town.operator, "GET", "/me", headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (401, code)


@pytest.mark.parametrize("peer", [None, "catalog"])
@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/ca"), ("POST", "/token"), ("GET", "/me"), ("GET", "/agencies")]
)
async def test_nobody_but_the_gateway_is_heard(
    town: Town, peer: str | None, method: str, path: str
) -> None:
    async with gateway_client(town.app, peer=peer) as client:
        headers = await town.headers(town.operator)
        answer = await client.request(method, BASE + path, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (403, "not-through-gateway")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "route-unknown"),
        ("DELETE", "/agencies", 405, "method-not-allowed"),
        ("POST", "/people/x/y/z", 404, "route-unknown"),
    ],
)
async def test_an_unknown_route_is_a_problem(
    town: Town, method: str, path: str, status: int, code: str
) -> None:
    answer = await town.call(town.operator, method, path)

    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_an_empty_reason_is_refused_and_nothing_is_suspended(town: Town) -> None:
    officer = await town.agency()
    path = f"/agencies/{officer.agency}"
    bodies: list[Any] = [{}, {"reason": ""}, {"reason": 5}, {"why": "x"}, [], "x"]

    answers = [
        await town.call(town.operator, "POST", f"{path}/suspensions", json=body) for body in bodies
    ]

    assert {answer.status_code for answer in answers} == {422}
    assert (await town.call(town.operator, "GET", path)).json()["state"] == "active"


async def test_a_database_that_does_not_answer_is_503(town: Town) -> None:
    away = Town("postgresql://nobody@127.0.0.1:1/none", town.authority._directory)

    answer = await away.client.get(f"{BASE}/jwks")
    await away.close()

    assert (answer.status_code, answer.json()["code"]) == (503, "service-unavailable")
