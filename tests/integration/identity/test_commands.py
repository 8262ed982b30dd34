"""Commands: the first start, keys in rotation, states sent again."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from jose import jwt
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from kit.db import sqlalchemy_url
from kit.migrate import upgrade
from kit.outbox import KIT_TABLES
from services.identity.actions import keys
from services.identity.actions.republish import republish_page
from services.identity.app import is_ready
from services.identity.domain.subjects import Agency
from services.identity.models import METADATA
from stack.settings import inherited_environment
from tests.integration.identity.town import BASE, Seed, Town, environment


async def run(values: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one command of identity as its own process."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.identity", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=inherited_environment(**values),
    )


async def test_a_platform_begins_with_two_people_whose_codes_lie_in_private_files(
    create_database: Callable[[], str], tmp_path: Path
) -> None:
    url, authority, codes = create_database(), tmp_path / "authority", tmp_path / "codes"
    values = environment(url, authority, tmp_path)
    bootstrap = ("bootstrap", "--directory", str(codes), "--name", "市大数据局")

    migrated = await run(values, "migrate")
    town = Town(url, authority)
    ready_before = await is_ready(town.db, town.authority)
    first = await run(values, *bootstrap)
    second = await run(values, *bootstrap)

    assert (migrated.returncode, first.returncode) == (0, 0), migrated.stderr + first.stderr
    assert ready_before
    assert await is_ready(town.db, town.authority)
    assert second.returncode == 1
    assert "people already" in second.stderr
    assert "Traceback" not in second.stderr
    files = sorted(codes.iterdir())
    assert [file.name for file in files] == ["platform-operator.code", "security-officer.code"]
    private = [*files, *authority.iterdir()]
    assert {file.stat().st_mode & 0o777 for file in private} == {0o600}
    assert authority.stat().st_mode & 0o777 == 0o700
    operator = await town.enrol(files[0].read_text().strip())
    officer = await town.enrol(files[1].read_text().strip())
    assert (await town.call(operator, "GET", "/me")).json()["roles"] == ["platform_operator"]
    assert (await town.call(officer, "GET", "/me")).json()["roles"] == ["security_officer"]
    assert [f["type"] for f in await town.facts("agency/platform")] == [
        "identity.agency-created.v1",
        "identity.bootstrapped.v1",
    ]
    secret = files[0].read_text().split(".")[1]
    assert secret not in str(await town.sql("SELECT * FROM code"))
    assert secret not in str(await town.sql("SELECT envelope FROM outbox"))
    await town.close()


async def test_an_unknown_command_or_argument_is_one_sentence(tmp_path: Path) -> None:
    unknown = await run({}, "dance")
    surplus = await run({}, "rotate-keys", "--now")

    assert (unknown.returncode, surplus.returncode) == (2, 2)
    assert "Traceback" not in unknown.stderr + surplus.stderr


async def test_the_next_key_signs_after_a_rotation_and_old_tokens_stay_good(
    town: Town, seed: Seed, tmp_path: Path
) -> None:
    before = (await town.client.get(f"{BASE}/jwks")).json()["keys"]
    await town.headers(town.operator)

    done = await run(environment(seed.url, seed.authority, tmp_path), "rotate-keys")
    after = (await town.client.get(f"{BASE}/jwks")).json()["keys"]
    fresh = await town.ask_token(town.operator)

    assert done.returncode == 0, done.stderr
    kids = {key["kid"] for key in before}
    assert kids < {key["kid"] for key in after}
    assert len(after) == 3
    assert (await town.call(town.operator, "GET", "/me")).status_code == 200
    old = (await town.headers(town.operator))["Authorization"].removeprefix("Bearer ")
    assert kid_of(old) != kid_of(fresh.json()["access_token"])
    assert kid_of(fresh.json()["access_token"]) in kids


async def test_a_replaced_key_is_retired_when_its_tokens_have_expired(town: Town) -> None:
    now = town.clock.now()
    async with town.db.begin() as tx:
        changed = await keys.rotate_keys(tx, town.authority, now)
    old = next(key.kid for key in changed if key.stage == "previous")
    async with town.db.begin() as tx:
        early = await keys.retire_keys(tx, now + timedelta(minutes=10, seconds=59))
    async with town.db.begin() as tx:
        due = await keys.retire_keys(tx, now + timedelta(minutes=11))

    assert old not in [key.kid for key in early]
    assert old in [key.kid for key in due]
    state = (await town.states(f"key/{old}"))[-1]
    assert state["data"]["state"] == "retired"
    jwks = (await town.client.get(f"{BASE}/jwks")).json()["keys"]
    assert old not in [key["kid"] for key in jwks]


async def test_republish_sends_every_subject_again_in_its_present_version(
    town: Town, seed: Seed, tmp_path: Path
) -> None:
    officer = await town.agency()
    await town.sql("DELETE FROM outbox")

    done = await run(environment(seed.url, seed.authority, tmp_path), "republish")

    assert done.returncode == 0, done.stderr
    rows = await town.sql("SELECT key, topic FROM outbox")
    (expected,) = await town.sql(
        "SELECT (SELECT count(*) FROM agency) + (SELECT count(*) FROM person)"
        " + (SELECT count(*) FROM system) + (SELECT count(*) FROM credential)"
        " + (SELECT count(*) FROM key) AS count"
    )
    assert len(rows) == expected["count"]
    assert done.stdout.strip() == f"{expected['count']} states"
    assert f"agency/{officer.agency}" in {row["key"] for row in rows}
    assert {row["topic"] for row in rows} >= {
        "identity.agency.v1",
        "identity.person.v1",
        "identity.credential.v1",
        "identity.key.v1",
    }


async def test_a_change_waits_for_republish_and_comes_after_it(town: Town) -> None:
    officer = await town.agency()
    async with town.db.begin() as tx:
        await republish_page(tx, Agency, None)
        suspending = asyncio.create_task(
            town.call(town.operator, "POST", f"/agencies/{officer.agency}/suspensions")
        )
        done, _ = await asyncio.wait([suspending], timeout=0.3)
        assert not done
    await suspending

    assert [s["version"] for s in await town.states(f"agency/{officer.agency}")] == [1, 1, 2]


async def test_nothing_is_parked(seed: Seed, tmp_path: Path) -> None:
    done = await run(environment(seed.url, seed.authority, tmp_path), "parked")

    assert (done.returncode, done.stdout) == (0, "")


async def test_the_migrations_make_what_the_models_say(database_url: str) -> None:
    await upgrade(database_url, "services.identity")
    await upgrade(database_url, "services.identity")  # the second changes nothing
    others = set(KIT_TABLES.tables) | {"alembic_version"}

    def differences(connection: Connection) -> list[object]:
        def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
            return not (kind == "table" and name in others)

        context = MigrationContext.configure(connection, opts={"include_object": ours})
        return list(compare_metadata(context, METADATA))

    engine = create_async_engine(sqlalchemy_url(database_url))
    try:
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
    finally:
        await engine.dispose()

    assert found == []


async def test_a_relay_does_not_load_the_web_framework() -> None:
    program = (
        "import sys\n"
        "import services.identity.__main__, kit.relay, kit.serve\n"
        "import kit.kafka, kit.follow, kit.states\n"
        "print([m for m in ('fastapi', 'starlette', 'jose') if m in sys.modules])"
    )

    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )

    assert done.stdout.strip() == "[]", done.stderr


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])
