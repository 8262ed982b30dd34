"""A one-time code becomes an identity folder, or nothing is kept."""

import base64
import hashlib
import json
import stat
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from datong import (
    AsyncClient,
    Identity,
    IdentityUnusable,
    InputInvalid,
    ProofFailed,
    Refused,
    enrol,
    renew,
)
from datong.enrolment import NewKey

Answering = Callable[..., Any]
ABOUT = {
    "kind": "system",
    "id": "01990000-0000-7000-8000-000000000001",
    "agency": "health-commission",
    "not_after": "2027-02-22T00:00:00.000000Z",
}


@pytest.fixture
def code(place: Any) -> str:
    """A code that pins the departments' CA."""
    der = place.departments.certificate.public_bytes(serialization.Encoding.DER)
    pin = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    return f"dt1.{'s' * 43}.{pin}"


def _issuing(double: Any, path: str, answering: Answering, authority: Any, key: Any = None) -> None:
    async def handler(received: Any) -> Any:
        csr = x509.load_pem_x509_csr(received.json()["csr"].encode())
        assert csr.is_signature_valid
        public = key or csr.public_key()
        certificate = authority.issue_pem("system", public)
        answer = {**ABOUT, "certificate": certificate, "ca": authority.pem().decode()}
        return answering(answer, status=201)

    double.handlers[path] = handler


async def test_a_code_becomes_an_identity(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    _issuing(double, "/identity/v1/enrolments", answering, place.departments)
    double.on("/identity/v1/me", answering({"id": ABOUT["id"]}))
    folder = place.folder / "health"

    identity = await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    assert (identity.kind, identity.id, identity.agency) == ("system", ABOUT["id"], ABOUT["agency"])
    assert identity.subject == f"system/{ABOUT['id']}"
    assert Identity.load(folder) == identity
    assert double.received[0].json()["code"] == code
    assert "authorization" not in double.received[0].headers
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    async with AsyncClient(folder) as client:
        assert (await client.get_me())["id"] == ABOUT["id"]


async def test_a_certificate_of_another_ca_is_not_kept(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    impostor = type(place.departments)("departments")
    _issuing(double, "/identity/v1/enrolments", answering, impostor)
    folder = place.folder / "health"

    with pytest.raises(ProofFailed, match="code pins"):
        await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    assert not folder.exists()


async def test_a_certificate_that_the_pinned_ca_did_not_issue_is_not_kept(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    impostor = type(place.departments)("departments")
    impostor_pem = impostor.issue_pem

    class Mixed:
        pem = place.departments.pem
        issue_pem = staticmethod(impostor_pem)

    _issuing(double, "/identity/v1/enrolments", answering, Mixed)
    folder = place.folder / "health"

    with pytest.raises(ProofFailed, match="not issued by the pinned CA"):
        await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    assert not folder.exists()


async def test_a_certificate_for_another_key_is_not_kept(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    other = NewKey.generate().key.public_key()
    _issuing(double, "/identity/v1/enrolments", answering, place.departments, key=other)
    folder = place.folder / "health"

    with pytest.raises(ProofFailed, match="another key"):
        await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    assert not folder.exists()


async def test_an_answer_without_certificate_is_not_kept(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    double.on("/identity/v1/enrolments", answering({"certificate": "x"}, status=201))

    with pytest.raises(ProofFailed, match="no certificate"):
        await enrol(
            code, place.folder / "health", gateway=double.address, server_ca=place.server_ca
        )


async def test_a_spent_code_is_refused_and_nothing_is_kept(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    problem = {"code": "code-invalid", "title": "Code not valid", "detail": "Spent."}
    double.on("/identity/v1/enrolments", answering(problem, status=403))
    folder = place.folder / "health"

    with pytest.raises(Refused, match="Spent"):
        await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    assert not folder.exists()


async def test_an_identity_is_not_overwritten_unless_asked(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    _issuing(double, "/identity/v1/enrolments", answering, place.departments)
    folder = place.folder / "health"
    first = await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)

    with pytest.raises(InputInvalid, match="already holds"):
        await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)
    second = await enrol(
        code, folder, gateway=double.address, server_ca=place.server_ca, replace=True
    )

    assert len(double.received) == 2
    assert first.thumbprint != second.thumbprint


async def test_renewal_replaces_key_and_certificate_by_the_present_one(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    _issuing(double, "/identity/v1/enrolments", answering, place.departments)
    _issuing(double, "/identity/v1/renewals", answering, place.departments)
    folder = place.folder / "health"
    before = await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)
    key = before.key_file.read_bytes()

    after = await renew(folder)

    assert after.thumbprint != before.thumbprint
    assert after.key_file.read_bytes() != key
    assert after.gateway == before.gateway
    assert "authorization" not in double.of("/identity/v1/renewals")[0].headers


async def test_a_renewal_by_another_ca_changes_nothing(
    place: Any, double: Any, answering: Answering, code: str
) -> None:
    _issuing(double, "/identity/v1/enrolments", answering, place.departments)
    folder = place.folder / "health"
    before = await enrol(code, folder, gateway=double.address, server_ca=place.server_ca)
    _issuing(double, "/identity/v1/renewals", answering, type(place.departments)("departments"))

    with pytest.raises(ProofFailed):
        await renew(folder)

    assert Identity.load(folder) == before


async def test_a_renewal_interrupted_at_any_write_leaves_a_whole_identity(
    place: Any, double: Any, code: str
) -> None:
    identity = place.identity(double)
    folder = identity.directory
    key = NewKey.generate()
    renewed = place.departments.issue_pem("system", key.key.public_key()).encode()

    (folder / "certificate.pem.next").write_bytes(renewed)
    assert Identity.load(folder).thumbprint == identity.thumbprint  # before the new key
    (folder / "certificate.pem.next").write_bytes(renewed)
    identity.key_file.write_bytes(key.pem())
    assert Identity.load(folder).thumbprint != identity.thumbprint  # after it
    assert not (folder / "certificate.pem.next").exists()


async def test_an_identity_that_others_can_read_is_not_used(place: Any, double: Any) -> None:
    identity = place.identity(double)
    identity.key_file.chmod(0o640)

    with pytest.raises(IdentityUnusable, match="read by others") as caught:
        Identity.load(identity.directory)

    assert "chmod 600" in (caught.value.next_step or "")


async def test_an_identity_with_another_key_is_not_used(place: Any, double: Any) -> None:
    identity = place.identity(double)
    identity.key_file.write_bytes(NewKey.generate().pem())

    with pytest.raises(IdentityUnusable, match="does not belong"):
        Identity.load(identity.directory)


async def test_a_broken_or_absent_identity_is_named(place: Any, double: Any) -> None:
    identity = place.identity(double)
    (identity.directory / "identity.json").write_text(json.dumps({"gateway": "x"}))

    with pytest.raises(IdentityUnusable, match="cannot be read"):
        Identity.load(identity.directory)
    with pytest.raises(IdentityUnusable, match="no identity"):
        Identity.load(place.folder / "absent")
