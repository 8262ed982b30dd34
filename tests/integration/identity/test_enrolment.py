"""Enrolment: a one-time code and a CSR become a certificate, once."""

import asyncio
from datetime import timedelta

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kit.tokens import base64url
from tests.integration.identity.town import BASE, Enrolled, Town, csr_of, enrolled, new_csr


async def enrol(town: Town, code: str, csr: str) -> httpx.Response:
    return await town.client.post(f"{BASE}/enrolments", json={"code": code, "csr": csr})


async def a_code(town: Town) -> tuple[str, str]:
    """Return id and code of a new system of the operator's agency."""
    answer = await town.call(town.officer, "POST", "/systems", json={"name": "统一门户"})
    return answer.json()["id"], answer.json()["code"]


async def test_a_code_and_a_csr_become_a_certificate_of_ninety_days(town: Town) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    system, code = await a_code(town)

    answer = await enrol(town, code, csr_of(key))

    body = answer.json()
    assert answer.status_code == 201
    assert (body["kind"], body["id"], body["agency"]) == ("system", system, "platform")
    certificate = x509.load_pem_x509_certificate(body["certificate"].encode())
    ca = x509.load_pem_x509_certificate(body["ca"].encode())
    certificate.verify_directly_issued_by(ca)
    assert certificate.public_key() == key.public_key()
    assert code.endswith("." + base64url(ca.fingerprint(hashes.SHA256())))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == [
        f"spiffe://datong.test/department/platform/system/{system}"
    ]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert "minister" not in certificate.subject.rfc4514_string()
    now = town.clock.now()
    assert now - timedelta(minutes=5) <= certificate.not_valid_before_utc <= now
    life = certificate.not_valid_after_utc - now
    assert timedelta(days=89, hours=23) < life <= timedelta(days=90)


async def test_the_answer_names_the_states_to_wait_for(town: Town) -> None:
    system, code = await a_code(town)

    answer = await enrol(town, code, new_csr())

    revision = answer.headers["datong-revision"].split(", ")
    assert revision[0] == f"identity.credential/{answer.json()['thumbprint']}@1"
    assert f"identity.system/{system}@1" in revision
    assert any(part.startswith("identity.agency/platform@") for part in revision)


async def test_state_and_fact_of_a_new_certificate_are_published(town: Town) -> None:
    _, code = await a_code(town)
    who = await town.enrol(code)

    (state,) = await town.states(f"credential/{who.thumbprint}")
    (fact,) = await town.facts(f"credential/{who.thumbprint}")

    assert state["data"]["state"] == "active"
    assert state["data"]["holder"] == who.id
    assert state["data"]["critical"] == ["not_after", "state"]
    assert fact["type"] == "identity.credential-issued.v1"
    assert fact["actor"] == who.subject
    assert fact["data"]["authorised_by"] == "code"


async def test_a_code_works_once_and_its_second_use_is_a_fact(town: Town) -> None:
    system, code = await a_code(town)
    await town.enrol(code)

    again = await enrol(town, code, new_csr())

    assert (again.status_code, again.json()["code"]) == (403, "code-used")
    facts = await town.facts(f"system/{system}")
    assert facts[-1]["type"] == "identity.code-refused.v1"
    assert facts[-1]["data"]["reason"] == "code-used"


async def test_of_two_enrolments_at_once_one_wins(town: Town) -> None:
    _, code = await a_code(town)

    answers = await asyncio.gather(*(enrol(town, code, new_csr()) for _ in range(4)))

    assert sorted(answer.status_code for answer in answers) == [201, 403, 403, 403]


async def test_a_code_expires_after_a_day(town: Town) -> None:
    _, code = await a_code(town)
    town.clock.advance(timedelta(hours=24))

    answer = await enrol(town, code, new_csr())

    assert (answer.status_code, answer.json()["code"]) == (403, "code-expired")


async def test_a_new_code_replaces_the_unused_one(town: Town) -> None:
    system, old = await a_code(town)
    new = (await town.call(town.officer, "POST", f"/systems/{system}/codes")).json()["code"]

    assert (await enrol(town, old, new_csr())).json()["code"] == "code-expired"
    assert (await enrol(town, new, new_csr())).status_code == 201


async def test_an_unknown_code_is_refused_without_saying_more(town: Town) -> None:
    _, code = await a_code(town)
    version, secret, ca = code.split(".")
    swapped = ("A" if secret[0] != "A" else "B") + secret[1:]
    forged = [
        "dt1.",
        code + "x",
        code.upper(),
        f"{version}.{swapped}.{ca}",
        f"{version}.{secret}.{secret}",
    ]

    answers = [await enrol(town, text, new_csr()) for text in forged]

    assert {answer.status_code for answer in answers} == {403}
    assert len({answer.json()["detail"] for answer in answers}) == 1
    assert {answer.json()["code"] for answer in answers} == {"code-invalid"}
    assert (await enrol(town, code, new_csr())).status_code == 201


@pytest.mark.parametrize(
    "csr",
    [
        csr_of(rsa.generate_private_key(65537, 2048)),
        csr_of(ec.generate_private_key(ec.SECP384R1())),
        csr_of(ec.generate_private_key(ec.SECP256K1())),
        csr_of(ed25519.Ed25519PrivateKey.generate()),
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        "not a request",
    ],
    ids=["rsa", "p-384", "secp256k1", "ed25519", "broken", "text"],
)
async def test_a_csr_with_a_foreign_key_is_refused_and_the_code_stays_good(
    town: Town, csr: str
) -> None:
    _, code = await a_code(town)

    answer = await enrol(town, code, csr)

    assert (answer.status_code, answer.json()["code"]) == (422, "csr-invalid")
    assert answer.json()["errors"][0]["pointer"] == "/csr"
    assert (await enrol(town, code, new_csr())).status_code == 201


async def test_a_suspended_holder_does_not_enrol(town: Town, bus: None) -> None:
    system, code = await a_code(town)
    await town.call(town.officer, "POST", f"/systems/{system}/suspensions")

    answer = await enrol(town, code, new_csr())

    assert (answer.status_code, answer.json()["code"]) == (403, "caller-suspended")


async def renew(town: Town, who: Enrolled, csr: str | None = None) -> httpx.Response:
    return await town.client.post(
        f"{BASE}/renewals", json={"csr": csr or new_csr()}, headers=who.presenting()
    )


async def test_after_a_renewal_both_certificates_work(town: Town) -> None:
    _, code = await a_code(town)
    old = await town.enrol(code)

    new = enrolled((await renew(town, old)).json())

    assert (new.id, new.agency) == (old.id, old.agency)
    assert new.thumbprint != old.thumbprint
    for who in (old, new):
        assert (await town.call(who, "GET", "/me")).json()["thumbprint"] == who.thumbprint


async def test_an_unknown_certificate_does_not_renew(town: Town) -> None:
    _, code = await a_code(town)
    who = await town.enrol(code)
    foreign = Enrolled(who.kind, who.id, who.agency, who.certificate + b"\0")

    answer = await renew(town, foreign)

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-invalid")


async def test_an_expired_certificate_does_not_renew(town: Town) -> None:
    _, code = await a_code(town)
    who = await town.enrol(code)
    town.clock.advance(timedelta(days=90, seconds=1))

    answer = await renew(town, who)

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-invalid")


async def test_a_suspended_or_revoked_holder_does_not_renew(town: Town, bus: None) -> None:
    system, code = await a_code(town)
    who = await town.enrol(code)
    await town.call(town.officer, "POST", f"/systems/{system}/suspensions")
    suspended = await renew(town, who)
    await town.call(town.officer, "POST", f"/credentials/{who.thumbprint}/revocations")
    revoked = await renew(town, who)

    assert suspended.json()["code"] == "caller-suspended"
    assert revoked.json()["code"] == "certificate-revoked"


async def test_without_a_certificate_there_is_no_renewal(town: Town) -> None:
    answer = await town.client.post(f"{BASE}/renewals", json={"csr": new_csr()})

    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-missing")
