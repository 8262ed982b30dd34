"""A bootstrapped platform per module, and an application on it per test."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kit.migrate import upgrade
from services.identity.actions import keys
from services.identity.domain.subjects import PLATFORM, Agency, Level
from tests.integration.identity.town import Seed, Town, relay_stand_in


@pytest.fixture(scope="session")
def service_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder for private keys of this session."""
    return tmp_path_factory.mktemp("authority")


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


@pytest.fixture
def settings(
    seed: Seed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """The environment of identity's processes on the module's database."""
    values = environment(seed.url, seed.authority, tmp_path)
    for name, value in values.items():
        monkeypatch.setitem(os.environ, name, value)
    yield values


def environment(url: str, authority: Path, folder: Path) -> dict[str, str]:
    """Return the settings of identity's processes; the TLS files need not exist for commands."""
    url_file = folder / "postgres.url"
    url_file.write_text(url, encoding="utf-8")
    return {
        "DATONG_ENVIRONMENT": "development",
        "DATONG_TRUST_DOMAIN": "datong.test",
        "DATONG_TLS_CERTIFICATE_FILE": str(folder / "identity.pem"),
        "DATONG_TLS_KEY_FILE": str(folder / "identity.key"),
        "DATONG_TLS_CA_FILE": str(folder / "ca.pem"),
        "DATONG_KAFKA": "127.0.0.1:1",
        "DATONG_ISSUER": "https://identity.datong.example",
        "DATONG_AUDIENCE": "https://datong.example",
        "DATONG_POSTGRES_URL_FILE": str(url_file),
        "DATONG_AUTHORITY_DIRECTORY": str(authority),
    }


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
