"""A bootstrapped platform per module, and an application on it per test."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit.migrate import upgrade
from services.identity.actions import keys
from services.identity.domain.subjects import PLATFORM, Agency, Level
from tests.integration.identity.town import Seed, Town, relay_stand_in


@pytest.fixture(scope="module")
def seed(create_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Seed:
    """A bootstrapped database; its two people are enrolled."""
    made: list[Seed] = []
    url, authority = create_database(), tmp_path_factory.mktemp("authority")
    thread = threading.Thread(target=lambda: made.append(asyncio.run(_seed(url, authority))))
    thread.start()
    thread.join()
    return made[0]


@pytest.fixture
async def town(seed: Seed) -> AsyncIterator[Town]:
    """An application on the module's database."""
    town = Town(seed.url, seed.authority)
    town.operator, town.officer = seed.operator, seed.officer
    yield town
    await town.close()


@pytest.fixture
async def bus(seed: Seed) -> AsyncIterator[None]:
    """A bus that takes everything at once."""
    async with relay_stand_in(seed.url):
        yield


async def _seed(url: str, authority: Path) -> Seed:
    await upgrade(url, "services.identity")
    town = Town(url, authority)
    agency = Agency(PLATFORM, "大数据局", Level.CITY, "330100", None, None, audits=False)
    async with town.db.begin() as tx:
        codes = await keys.bootstrap(tx, town.authority, agency, "赵敏", "钱进", datetime.now(UTC))
    operator = await town.enrol(codes.platform_operator.text)
    officer = await town.enrol(codes.security_officer.text)
    await town.close()
    return Seed(url, authority, operator, officer)
