"""Certificates: listed, revoked for good, and on the list for outsiders."""

from datetime import timedelta

from cryptography import x509

from tests.integration.identity.town import BASE, Town


async def crl(town: Town) -> x509.CertificateRevocationList:
    answer = await town.client.get(f"{BASE}/crl")
    assert answer.headers["content-type"] == "application/pkix-crl"
    return x509.load_der_x509_crl(answer.content)


def serial_of(certificate: bytes) -> int:
    return x509.load_der_x509_certificate(certificate).serial_number


async def test_a_revoked_certificate_is_on_the_signed_list(town: Town, bus: None) -> None:
    officer = await town.agency()
    system = await town.system(officer)
    before = await crl(town)

    answer = await town.call(
        officer, "POST", f"/credentials/{system.thumbprint}/revocations", json={"reason": "遗失"}
    )
    after = await crl(town)

    assert answer.json() == {
        "on_bus": True,
        "id": system.thumbprint,
        "state": "revoked",
        "version": 2,
        "revoked": [system.thumbprint],
    }
    serial = serial_of(system.certificate)
    assert before.get_revoked_certificate_by_serial_number(serial) is None
    assert after.get_revoked_certificate_by_serial_number(serial) is not None
    ca = x509.load_pem_x509_certificate((await town.client.get(f"{BASE}/ca")).content)
    assert after.is_signature_valid(ca.public_key())  # type: ignore[arg-type]
    assert after.next_update_utc is not None
    assert after.next_update_utc - after.last_update_utc == timedelta(days=7)


async def test_the_list_is_signed_anew_after_an_hour(town: Town) -> None:
    first, again = await crl(town), await crl(town)
    town.clock.advance(timedelta(hours=1))
    later = await crl(town)

    assert first.last_update_utc == again.last_update_utc
    assert later.last_update_utc > first.last_update_utc


async def test_a_revocation_is_final_and_a_second_one_changes_nothing(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    system = await town.system(officer)
    path = f"/credentials/{system.thumbprint}/revocations"

    answers = [await town.call(officer, "POST", path) for _ in range(2)]

    assert [answer.json()["version"] for answer in answers] == [2, 2]
    assert answers[0].headers["datong-revision"] == f"identity.credential/{system.thumbprint}@2"
    facts = await town.facts(f"credential/{system.thumbprint}")
    assert [fact["type"] for fact in facts] == [
        "identity.credential-issued.v1",
        "identity.credential-revoked.v1",
    ]


async def test_certificates_are_listed_to_their_agency_and_to_operators(town: Town) -> None:
    officer, other = await town.agency(), await town.agency()
    system = await town.system(officer)

    own = await town.call(officer, "GET", "/credentials")
    one = await town.call(officer, "GET", f"/credentials?holder={system.id}")
    refused = await town.call(officer, "GET", f"/credentials?agency={other.agency}")
    operators = await town.call(town.operator, "GET", f"/credentials?agency={officer.agency}")

    assert {c["thumbprint"] for c in own.json()["items"]} == {
        officer.thumbprint,
        system.thumbprint,
    }
    assert [c["holder"] for c in one.json()["items"]] == [system.id]
    assert one.json()["items"][0]["serial"] == f"{serial_of(system.certificate):032x}"
    assert refused.json()["code"] == "other-agency"
    assert operators.json()["items"] == own.json()["items"]


async def test_only_the_own_agency_and_operators_revoke(town: Town, bus: None) -> None:
    officer, other = await town.agency(), await town.agency()
    system = await town.system(officer)
    path = f"/credentials/{system.thumbprint}/revocations"

    assert (await town.call(other, "POST", path)).json()["code"] == "other-agency"
    assert (await town.call(system, "POST", path)).json()["code"] == "role-missing"
    assert (await town.call(town.operator, "POST", path)).status_code == 200


async def test_an_unknown_certificate_is_404(town: Town) -> None:
    answer = await town.call(town.operator, "POST", f"/credentials/{'A' * 43}/revocations")

    assert (answer.status_code, answer.json()["code"]) == (404, "credential-unknown")


async def test_all_certificates_are_listed_in_pages(town: Town) -> None:
    for _ in range(3):
        await town.agency()
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = (await town.call(town.operator, "GET", "/credentials", params=query)).json()
        seen += [each["thumbprint"] for each in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]

    (counted,) = await town.sql("SELECT count(*) FROM credential")
    assert len(seen) == len(set(seen)) == counted["count"]
