"""Tokens: bound to the certificate, only for its holder, only while everything is active."""

from datetime import timedelta
from typing import Any

import pytest
from jose import jwt
from sqlalchemy import event

from kit.tokens import Verifier, VerifyingKey, require_bound
from tests.integration.identity.town import BASE, Enrolled, Town
from tests.support.callers import AUDIENCE, ISSUER


async def test_a_token_is_bound_to_the_certificate_and_verifies_with_the_jwks(town: Town) -> None:
    answer = await town.ask_token(town.operator)
    keys = (await town.client.get(f"{BASE}/jwks")).json()["keys"]

    token = answer.json()["access_token"]
    now = int(town.clock.now().timestamp())
    by_kid = {key["kid"]: VerifyingKey(key) for key in keys}
    claims = Verifier(ISSUER, AUDIENCE, leeway=0).verify(token, by_kid, now)
    require_bound(claims, town.operator.thumbprint)
    assert claims.subject == town.operator.subject
    assert claims.expires_at == now + 600
    assert jwt.get_unverified_claims(token)["client_id"] == town.operator.id
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json()["token_type"] == "Bearer"
    assert len(keys) == 2  # the next key is known before it signs


async def test_a_token_costs_one_statement(town: Town) -> None:
    await town.ask_token(town.operator)
    statements: list[str] = []
    engine = town.db._engine.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))

    await town.ask_token(town.operator)

    assert len(statements) == 1


async def test_the_client_id_must_be_the_holder_of_the_certificate(town: Town) -> None:
    answer = await town.ask_token(town.operator, client_id=town.officer.id)

    assert (answer.status_code, answer.json()["code"]) == (401, "client-mismatch")
    assert answer.headers["datong-internal-reason"] == "client-mismatch"


async def test_an_unknown_certificate_gets_no_token(town: Town) -> None:
    who = town.operator
    foreign = Enrolled(who.kind, who.id, who.agency, who.certificate + b"\0")

    answer = await town.ask_token(foreign)

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-invalid")


async def test_an_expired_certificate_gets_no_token(town: Town) -> None:
    town.clock.advance(timedelta(days=91))

    answer = await town.ask_token(town.operator)

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-invalid")


async def test_suspension_and_revocation_end_tokens_and_calls(town: Town, bus: None) -> None:
    officer = await town.agency()
    person = await town.person(officer, "registrar")
    await town.call(officer, "POST", f"/people/{person.id}/suspensions")
    assert (await town.ask_token(person)).json()["code"] == "caller-suspended"
    await town.call(officer, "POST", f"/people/{person.id}/resumptions")
    assert (await town.call(person, "GET", "/me")).status_code == 200

    await town.call(officer, "POST", f"/people/{person.id}/suspensions")
    assert (await town.call(person, "GET", "/me")).json()["code"] == "caller-suspended"
    await town.call(officer, "POST", f"/credentials/{person.thumbprint}/revocations")
    assert (await town.ask_token(person)).json()["code"] == "certificate-revoked"
    assert (await town.call(person, "GET", "/me")).json()["code"] == "certificate-revoked"


async def test_a_suspended_agency_ends_tokens_and_calls_of_all_its_people(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    await town.headers(officer)
    await town.call(town.operator, "POST", f"/agencies/{officer.agency}/suspensions")

    assert (await town.ask_token(officer)).json()["code"] == "agency-suspended"
    assert (await town.call(officer, "GET", "/me")).json()["code"] == "agency-suspended"


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("body", "headers", "status", "code", "pointer"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415, "content-type-unsupported", None),
        (b"", FORM, 422, "body-invalid", "/grant_type"),
        (b"grant_type=client_credentials", FORM, 422, "body-invalid", "/client_id"),
        (b"grant_type=&client_id=x", FORM, 422, "body-invalid", "/grant_type"),
        (b"grant_type=password&client_id=x", FORM, 400, "grant-type-unsupported", "/grant_type"),
        (b"grant_type=a&grant_type=a&client_id=x", FORM, 400, "body-malformed", None),
        (b"grant_type=%ff&client_id=x", FORM, 400, "body-malformed", None),
        (b"grant_type=\xff&client_id=x", FORM, 400, "body-malformed", None),
        (b"&".join(b"a%d=1" % i for i in range(50)), FORM, 400, "body-malformed", None),
        (b"client_id=" + b"x" * 5000, FORM, 413, "body-too-large", None),
    ],
)
async def test_a_bad_form_is_refused(
    town: Town, body: bytes, headers: Any, status: int, code: str, pointer: str | None
) -> None:
    answer = await town.client.post(
        f"{BASE}/token", content=body, headers=town.operator.presenting() | headers
    )

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    errors = answer.json().get("errors", [{"pointer": None}])
    assert errors[0]["pointer"] == pointer


async def test_no_certificate_no_token(town: Town) -> None:
    answer = await town.client.post(f"{BASE}/token", data={"grant_type": "client_credentials"})

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-missing")


async def test_me_says_who_the_caller_is(town: Town) -> None:
    officer = await town.agency(name="市卫生健康委员会")
    system = await town.system(officer)

    me = (await town.call(system, "GET", "/me")).json()

    assert (me["kind"], me["id"], me["roles"]) == ("system", system.id, [])
    assert (me["agency"], me["agency_name"]) == (officer.agency, "市卫生健康委员会")


async def test_anothers_token_is_refused(town: Town) -> None:
    officer = await town.agency()
    stolen = (await town.headers(officer))["Authorization"]

    answer = await town.client.get(
        f"{BASE}/me", headers=town.operator.presenting() | {"Authorization": stolen}
    )

    assert (answer.status_code, answer.json()["code"]) == (401, "token-not-bound")
