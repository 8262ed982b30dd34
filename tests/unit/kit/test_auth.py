"""Who may call: each check has its own reason, and roles are those of now, not of the token."""

from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Request, Response

from kit.app import DirectRoute, StrictRoute, create_app
from kit.auth import (
    Access,
    Caller,
    CertificateOnly,
    DirectoryIdentities,
    Public,
    Rule,
    allow,
)
from kit.clock import SystemClock
from kit.tokens import SigningKey, Verifier
from tests.support.callers import AUDIENCE, ISSUER, Identities, gateway_client

router = APIRouter(route_class=StrictRoute)
direct = APIRouter(route_class=DirectRoute)


@router.get("/registrars")
async def registrars(caller: Annotated[Caller, Depends(allow("registrar", "reviewer"))]) -> str:
    """A route for two roles."""
    return caller.subject


@router.get("/anybody")
async def anybody(caller: Annotated[Caller, Depends(allow(person=True, system=True))]) -> str:
    """A route for all callers."""
    return f"{caller.subject} of {caller.agency.id} in {caller.call}"


@router.get("/certificates")
async def certificates(certificate: Annotated[bytes, Depends(CertificateOnly())]) -> int:
    """A route for holders of a certificate."""
    return len(certificate)


@router.get("/everybody")
async def everybody(_: Annotated[None, Depends(Public())]) -> str:
    """A public route."""
    return "welcome"


@direct.post("/direct/{name}")
async def act(request: Request, caller: Annotated[Caller, Depends(allow(system=True))]) -> Response:
    """A route that FastAPI does not resolve."""
    return Response(f"{request.path_params['name']} by {caller.kind}")


class Place:
    """An application and its callers."""

    def __init__(self) -> None:
        self.identities = Identities()
        identities = DirectoryIdentities(self.identities.directory)
        access = Access(identities, Verifier(ISSUER, AUDIENCE), SystemClock())
        self.app = create_app("place", [router, direct], access=access)

    async def get(
        self, path: str, headers: dict[str, str], *, peer: str | None = "gateway"
    ) -> httpx.Response:
        async with gateway_client(self.app, peer=peer) as client:
            return await client.get(path, headers=headers)

    async def code(self, path: str, headers: dict[str, str], **more: Any) -> str:
        answer = await self.get(path, headers, **more)
        assert answer.headers["datong-internal-reason"] == answer.json()["code"]
        return str(answer.json()["code"])


@pytest.fixture
def place() -> Place:
    return Place()


async def test_a_person_with_one_of_the_roles_may_call(place: Place) -> None:
    person = place.identities.person("a-1", "reviewer", "auditor")

    answer = await place.get("/registrars", place.identities.headers(person))

    assert answer.json() == person.subject


async def test_others_are_told_which_roles_may(place: Place) -> None:
    for caller in (place.identities.person("a-1", "auditor"), place.identities.system("a-1")):
        answer = await place.get("/registrars", place.identities.headers(caller))
        assert (answer.status_code, answer.json()["code"]) == (403, "role-missing")
        assert answer.json()["facts"]["needed_roles"] == ["registrar", "reviewer"]


async def test_roles_are_looked_up_as_they_are_now(place: Place) -> None:
    person = place.identities.person("a-1", "auditor")
    headers = place.identities.headers(person)
    assert await place.code("/registrars", headers) == "role-missing"

    place.identities.set_state(person, "active", "registrar")

    assert (await place.get("/registrars", headers)).status_code == 200


async def test_a_caller_knows_its_agency_and_its_call(place: Place) -> None:
    system = place.identities.system("a-1")
    headers = place.identities.headers(system)

    answer = await place.get("/anybody", headers)

    assert answer.json() == f"{system.subject} of a-1 in {headers['Datong-Call']}"


@pytest.mark.parametrize("path", ["/registrars", "/anybody", "/certificates", "/everybody"])
@pytest.mark.parametrize("peer", ["catalog", None])
async def test_only_the_gateway_may_pass_calls_on(
    place: Place, path: str, peer: str | None
) -> None:
    person = place.identities.person("a-1", "registrar")

    code = await place.code(path, place.identities.headers(person), peer=peer)

    assert code == "not-through-gateway"


async def test_each_missing_or_wrong_proof_has_its_own_reason(place: Place) -> None:
    identities = place.identities
    person, other = identities.person("a-1", "registrar"), identities.person("a-1")
    good = identities.headers(person)
    certificate, token = "Datong-Internal-Certificate", "Authorization"
    foreign = SigningKey.generate().sign({"iss": ISSUER})
    cases = {
        "certificate-missing": {certificate: ""} | {certificate: "not base64!"},
        "token-missing": {token: ""},
        "token-invalid": {token: f"Bearer {foreign}"},
        "token-not-bound": {certificate: identities.headers(other)[certificate]},
    }
    for code, wrong in cases.items():
        assert await place.code("/anybody", good | wrong) == code
    assert await place.code("/anybody", good | {token: "Basic abc"}) == "token-missing"
    del good[certificate]
    assert await place.code("/certificates", good) == "certificate-missing"


async def test_an_expired_token_is_refused_also_when_it_was_accepted_before(place: Place) -> None:
    person = place.identities.person("a-1")
    token = place.identities.token(person, iat=1, exp=601)
    headers = place.identities.headers(person) | {"Authorization": f"Bearer {token}"}

    assert await place.code("/anybody", headers) == "token-invalid"


async def test_revoked_suspended_and_unreadable_callers_are_refused(place: Place) -> None:
    identities = place.identities
    person = identities.person("a-1")
    headers = identities.headers(person)
    assert (await place.get("/anybody", headers)).status_code == 200

    identities.set_state(person, "suspended")
    assert await place.code("/anybody", headers) == "caller-suspended"
    identities.agency("a-1", state="suspended")
    assert await place.code("/anybody", headers) == "agency-suspended"
    identities.revoke(person)
    assert await place.code("/anybody", headers) == "certificate-revoked"
    identities.directory.on_unreadable("identity.person.v1", person.subject, "torn")
    assert await place.code("/anybody", headers) == "permission-unreadable"


async def test_a_certificate_that_nobody_issued_is_refused(place: Place) -> None:
    stranger = Identities().person("a-1")
    headers = place.identities.headers(stranger)

    assert await place.code("/anybody", headers) == "certificate-invalid"


async def test_public_routes_ask_for_nothing_but_the_gateway(place: Place) -> None:
    assert (await place.get("/everybody", {})).json() == "welcome"


async def test_a_direct_route_checks_its_caller_like_any_other(place: Place) -> None:
    identities = place.identities
    async with gateway_client(place.app) as client:
        good = await client.post("/direct/x", headers=identities.headers(identities.system("a-1")))
        bad = await client.post("/direct/x", headers=identities.headers(identities.person("a-1")))

    assert good.text == "x by system"
    assert bad.json()["code"] == "role-missing"


def test_a_direct_route_without_a_rule_is_refused_when_it_is_declared() -> None:
    async def open_to_all(request: Request) -> Response:
        return Response()

    with pytest.raises(TypeError, match="allow"):
        APIRouter(route_class=DirectRoute).get("/open")(open_to_all)


def test_a_rule_that_admits_nobody_or_an_unknown_role_is_refused() -> None:
    with pytest.raises(ValueError, match="nobody"):
        allow()
    with pytest.raises(ValueError, match="registrars"):
        allow("registrars")
    assert allow("auditor", system=True).rule == Rule("caller", frozenset({"auditor"}), system=True)
