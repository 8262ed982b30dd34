"""A thief who renews what was stolen loses the renewed certificates with the stolen one."""

import asyncio

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kit.db import Tx
from kit.http import parse_after
from services.identity.actions import credentials, republish
from services.identity.domain.credentials import Credential
from tests.integration.identity.conftest import bus, seed, town
from tests.integration.identity.town import BASE, Enrolled, Town, enrolled, new_csr

__all__ = ["bus", "seed", "town"]


async def renew(town: Town, who: Enrolled) -> Enrolled:
    """Renew as whoever holds the certificate can."""
    answer = await ask_renewal(town, who)
    assert answer.status_code == 201, answer.text
    return enrolled(answer.json())


async def ask_renewal(town: Town, who: Enrolled) -> httpx.Response:
    return await town.client.post(
        f"{BASE}/renewals", json={"csr": new_csr()}, headers=who.presenting()
    )


async def test_a_thief_who_renewed_first_is_out_with_the_stolen_certificate(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    stolen, untouched = await town.system(officer), await town.system(officer)
    first = await renew(town, stolen)
    second = await renew(town, first)
    beside = await renew(town, stolen)
    loot = (stolen, first, second, beside)
    assert [(await town.ask_token(each)).status_code for each in loot] == [200] * 4

    answer = await town.call(officer, "POST", f"/credentials/{stolen.thumbprint}/revocations")

    assert answer.json()["on_bus"] is True
    assert answer.json()["revoked"][0] == stolen.thumbprint
    assert set(answer.json()["revoked"]) == {each.thumbprint for each in loot}
    for refused in [
        *[await town.ask_token(each) for each in loot],
        *[await ask_renewal(town, each) for each in loot],
    ]:
        assert (refused.status_code, refused.json()["code"]) == (401, "certificate-revoked")
    for each in loot:
        state = (await town.states(f"credential/{each.thumbprint}"))[-1]
        assert (state["version"], state["data"]["state"]) == (2, "revoked")
    assert (await town.ask_token(untouched)).status_code == 200


async def test_renewals_that_are_not_yet_committed_are_revoked_too(town: Town, bus: None) -> None:
    officer = await town.agency()
    stolen = await town.system(officer)
    first = await renew(town, stolen)
    loot = [stolen, first]

    async with town.db.begin() as tx:
        loot.append(await renew_in(tx, town, first))
        revoking = asyncio.create_task(
            town.call(officer, "POST", f"/credentials/{stolen.thumbprint}/revocations")
        )
        done, _ = await asyncio.wait({revoking}, timeout=1.0)
        assert not done
        loot.append(await renew_in(tx, town, loot[-1]))

    answer = await revoking
    assert set(answer.json()["revoked"]) == {each.thumbprint for each in loot}
    assert [(await town.ask_token(each)).status_code for each in loot] == [401] * 4


async def renew_in(tx: Tx, town: Town, who: Enrolled) -> Enrolled:
    """Renew in a transaction that the test ends."""
    now = town.clock.now()
    made = await credentials.renew(tx, town.authority, who.certificate, new_csr(), now, None)
    certificate = x509.load_pem_x509_certificate(made.certificate.encode())
    return Enrolled(who.kind, who.id, who.agency, certificate.public_bytes(Encoding.DER))


async def test_a_revocation_from_the_middle_leaves_what_came_before(town: Town, bus: None) -> None:
    officer = await town.agency()
    old = await town.system(officer)
    stolen = await renew(town, old)
    renewed = await renew(town, stolen)

    answer = await town.call(officer, "POST", f"/credentials/{stolen.thumbprint}/revocations")

    assert answer.json()["revoked"] == [stolen.thumbprint, renewed.thumbprint]
    assert (await town.ask_token(old)).status_code == 200


async def test_revocations_and_republishing_at_one_time_do_not_block_each_other(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    chain = [await town.system(officer)]
    for _ in range(5):
        chain.append(await renew(town, chain[-1]))
    await town.headers(officer)

    async def republish_all() -> None:
        async with town.db.begin() as tx:
            await republish.republish_page(tx, Credential, None)

    answers = await asyncio.gather(
        *(
            town.call(officer, "POST", f"/credentials/{each.thumbprint}/revocations")
            for each in reversed(chain)
        )
    )
    _, again, _ = await asyncio.gather(
        republish_all(),
        town.call(officer, "POST", f"/credentials/{chain[0].thumbprint}/revocations"),
        republish_all(),
    )

    assert [answer.status_code for answer in (*answers, again)] == [200] * 7
    for each in chain:
        facts = await town.facts(f"credential/{each.thumbprint}")
        assert [fact["type"] for fact in facts] == [
            "identity.credential-issued.v1",
            "identity.credential-revoked.v1",
        ]


async def test_the_answer_names_every_certificate_of_a_diligent_thief(
    town: Town, bus: None
) -> None:
    officer = await town.agency()
    loot = [await town.system(officer)]
    for _ in range(19):
        loot.append(await renew(town, loot[-1]))

    answer = await town.call(officer, "POST", f"/credentials/{loot[0].thumbprint}/revocations")

    assert set(answer.json()["revoked"]) == {each.thumbprint for each in loot}
    named = parse_after(answer.headers["datong-revision"])
    assert len(named) == 16
    assert named[0] == ("identity.credential.v1", f"credential/{loot[0].thumbprint}", 2)
