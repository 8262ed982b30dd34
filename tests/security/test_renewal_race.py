"""A stolen certificate is not renewed while it is being revoked."""

import asyncio

from services.identity.actions import credentials
from services.identity.events import By
from tests.integration.identity.conftest import bus, seed, town
from tests.integration.identity.town import BASE, Town, new_csr

__all__ = ["bus", "seed", "town"]


async def test_a_renewal_waits_for_a_revocation_that_is_under_way(town: Town) -> None:
    thief = await town.person(town.officer)
    officer = By(town.officer.subject, None, town.officer.agency)

    async with town.db.begin() as tx:
        await credentials.revoke(
            tx, thief.thumbprint, "stolen", town.clock.now(), officer, any_agency=False
        )
        renewing = asyncio.create_task(
            town.client.post(
                f"{BASE}/renewals", json={"csr": new_csr()}, headers=thief.presenting()
            )
        )
        done, _ = await asyncio.wait({renewing}, timeout=1.0)
        assert not done

    answer = await renewing
    assert (answer.status_code, answer.json()["code"]) == (401, "certificate-revoked")
