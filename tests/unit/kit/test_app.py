"""Whatever goes wrong, the caller gets a problem document that says no more than it should."""

from typing import Annotated, Any

import asyncpg
import httpx
import pytest
from aiokafka.errors import KafkaConnectionError
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.exc import DBAPIError

from kit.app import StrictRoute, create_app
from kit.auth import Access, DirectoryIdentities, Public
from kit.clock import SystemClock
from kit.directory import Directory
from kit.health import health_app
from kit.tokens import Verifier
from tests.support.callers import gateway_client

router = APIRouter(route_class=StrictRoute)


class Body(BaseModel):
    """A body with one required and one limited member."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(max_length=3)
    sizes: list[int] = []


@router.post("/things/{number}")
async def put_thing(number: int, body: Body, _: Annotated[None, Depends(Public())]) -> str:
    """Take a body and a parameter."""
    return f"{number} {body.name}"


def starting_up() -> Exception:
    """Return what a connection cannot be opened with while the database recovers."""
    wrapped = Exception("the database system is starting up")
    wrapped.__cause__ = asyncpg.CannotConnectNowError("the database system is starting up")
    return DBAPIError(None, None, wrapped)


FAILURES: dict[str, Exception] = {
    "secret": RuntimeError("password=hunter2"),
    "refused": ConnectionRefusedError("10.0.0.1"),
    "shutdown": asyncpg.AdminShutdownError("terminating connection"),
    "broken": asyncpg.ConnectionDoesNotExistError("gone"),
    "closed": asyncpg.InterfaceError("pool is closed"),
    "ending": asyncpg.InternalClientError("another operation is in progress"),
    "bus": KafkaConnectionError("no broker"),
    "slow": TimeoutError(),
    "recovering": starting_up(),
}


@router.get("/failures/{name}")
async def fail(name: str, _: Annotated[None, Depends(Public())]) -> str:
    """Fail as asked."""
    raise FAILURES[name]


class Far:
    """A reader of states that never gets anywhere."""

    ready = True

    async def wait_for(self, _positions: Any, _seconds: float) -> bool:
        """Say at once that the states were not reached."""
        return False


class Starting(Far):
    """A reader that has not read everything for the first time."""

    ready = False


def _app(*readers: Any) -> Any:
    access = Access(DirectoryIdentities(Directory()), Verifier("", ""), SystemClock())
    return create_app("place", [router], access=access, readers=readers)


async def _ask(method: str, path: str, app: Any = None, **more: Any) -> httpx.Response:
    async with gateway_client(app or _app()) as client:
        return await client.request(method, path, **more)


def _problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    document: dict[str, Any] = answer.json()
    assert (answer.status_code, document["code"]) == (status, code), document
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["datong-internal-reason"] == code
    assert answer.headers["cache-control"] == "no-store"
    return document


async def test_a_good_call_is_answered() -> None:
    assert (await _ask("POST", "/things/7", json={"name": "a"})).json() == "7 a"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"name":"a","name":"b"}',
        b'{"name":NaN}',
        b"\xef\xbb\xbf{}",
        b'{"name":"\\ud800"}',
        b"\xff",
    ],
)
async def test_a_body_that_is_not_strict_json_is_refused(body: bytes) -> None:
    answer = await _ask(
        "POST", "/things/7", content=body, headers={"Content-Type": "application/json"}
    )

    _problem(answer, 400, "body-malformed")


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/name"]),
        ({"name": "abcd", "sizes": [1, "x"]}, ["/name", "/sizes/1"]),
        ({"name": "a", "a/b": 1}, ["/a~1b"]),
    ],
)
async def test_every_wrong_member_is_pointed_at_and_none_is_repeated(
    body: Any, pointers: list[str]
) -> None:
    document = _problem(await _ask("POST", "/things/7", json=body), 422, "body-invalid")

    assert [error["pointer"] for error in document["errors"]] == pointers
    assert "abcd" not in str(document)


async def test_a_wrong_parameter_is_named() -> None:
    answer = await _ask("POST", "/things/seven", json={"name": "a"})

    document = _problem(answer, 422, "parameter-invalid")
    assert document["errors"][0]["pointer"].endswith("number")


async def test_unknown_routes_and_methods_are_problems_too() -> None:
    _problem(await _ask("GET", "/nothing"), 404, "route-unknown")
    _problem(await _ask("DELETE", "/things/7"), 405, "method-not-allowed")


async def test_an_unexpected_error_tells_nothing_but_the_call() -> None:
    answer = await _ask("GET", "/failures/secret", headers={"Datong-Call": "c-1"})

    document = _problem(answer, 500, "internal-error")
    assert document["call"] == "c-1"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("name", [name for name in FAILURES if name != "secret"])
async def test_a_lost_dependency_is_a_503(name: str) -> None:
    answer = await _ask("GET", f"/failures/{name}")

    _problem(answer, 503, "service-unavailable")
    assert "10.0.0.1" not in answer.text


async def test_states_that_the_caller_has_seen_are_waited_for() -> None:
    after = {"Datong-After": "sharing.grant/1@7"}
    answer = await _ask("POST", "/things/7", _app(Far()), json={"name": "a"}, headers=after)
    _problem(answer, 503, "permissions-behind")

    wrong = await _ask("POST", "/things/7", json={"name": "a"}, headers={"Datong-After": "x"})
    _problem(wrong, 422, "parameter-invalid")


async def test_a_service_that_still_reads_permissions_refuses_instead_of_guessing() -> None:
    answer = await _ask("POST", "/things/7", _app(Starting()), json={"name": "a"})
    problem = _problem(answer, 503, "service-unavailable")
    assert "just started" in problem["detail"]


async def test_the_document_shows_problems_in_place_of_fastapis_own_errors() -> None:
    document = _app().openapi()

    responses = document["paths"]["/things/{number}"]["post"]["responses"]
    assert set(responses) == {"200", "default"}
    assert "HTTPValidationError" not in str(document)


async def test_probes_answer_on_their_own_port() -> None:
    good = True

    async def ready() -> bool:
        if not good:
            raise ConnectionRefusedError
        return True

    transport = httpx.ASGITransport(app=health_app(ready))
    async with httpx.AsyncClient(transport=transport, base_url="http://probe.test") as client:
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        good = False
        assert (await client.get("/health/ready")).status_code == 503
        assert "datong_call_seconds" in (await client.get("/metrics")).text
        assert (await client.get("/other")).status_code == 404
