"""`python -m services.identity api|relay|migrate|bootstrap|republish|rotate-keys|parked`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kit import inbox, logging
from kit.clock import SystemClock
from kit.db import Db
from kit.errors import DomainError
from services.identity.settings import IdentitySettings

if TYPE_CHECKING:
    from services.identity.clients.authority import Authority

PART = "identity"


async def api(settings: IdentitySettings, _arguments: Sequence[str]) -> None:
    """Serve the API."""
    from services.identity.app import run_api  # the other commands do without FastAPI

    await run_api(settings)


async def relay(settings: IdentitySettings, _arguments: Sequence[str]) -> None:
    """Publish the outbox."""
    from kit.kafka import client_options  # only this command speaks to the bus
    from kit.relay import Relay
    from kit.serve import run_process
    from kit.topics import state_topics_of

    work = Relay(settings.postgres_url, PART, state_topics_of(PART), client_options(settings))

    async def ready() -> bool:
        return work.ready

    await run_process(settings, background=[work.run()], ready=ready)


async def migrate_database(settings: IdentitySettings, arguments: Sequence[str]) -> None:
    """Bring the database to the newest revision."""
    from kit import migrate  # brings alembic and, by the kit's tables, FastAPI

    await migrate.main(settings.postgres_url, "services.identity", arguments)


async def bootstrap(settings: IdentitySettings, arguments: Sequence[str]) -> None:
    """Create the CA, the operator's agency and its two people; write their codes to two files."""
    from services.identity.actions import keys
    from services.identity.clients.files import write_private
    from services.identity.domain.names import is_area_code
    from services.identity.domain.subjects import PLATFORM, Agency, Level

    parser = argparse.ArgumentParser(prog="python -m services.identity bootstrap")
    parser.add_argument("--directory", type=Path, required=True, help="where the codes are written")
    parser.add_argument("--name", default="Platform operator", help="name of the agency")
    parser.add_argument("--level", choices=[*Level], default=Level.NATION)
    parser.add_argument("--area-code", default="000000", help="GB/T 2260; 000000 for the nation")
    parser.add_argument("--operator-name", default="Platform operator")
    parser.add_argument("--officer-name", default="Security officer")
    options = parser.parse_args(arguments)
    if not is_area_code(options.level, options.area_code):
        parser.error(f"{options.area_code} is not an area code of GB/T 2260")
    agency = Agency(
        PLATFORM, options.name, Level(options.level), options.area_code, None, None, audits=False
    )
    async with _database(settings) as db, db.begin() as tx:
        made = await keys.bootstrap(
            tx,
            _authority(settings),
            agency,
            options.operator_name,
            options.officer_name,
            SystemClock().now(),
        )
        # Before the commit: a platform whose only codes were lost could never be entered.
        for name, code in (
            ("platform-operator", made.platform_operator),
            ("security-officer", made.security_officer),
        ):
            write_private(options.directory / f"{name}.code", code.text.encode() + b"\n")


async def republish(settings: IdentitySettings, _arguments: Sequence[str]) -> None:
    """Publish every subject's state again."""
    from services.identity.actions.republish import KINDS, republish_keys, republish_page

    async with _database(settings) as db:
        async with db.begin() as tx:
            count = await republish_keys(tx)
        for kind in KINDS:
            after: str | None = None
            while True:
                async with db.begin() as tx:
                    ids = await republish_page(tx, kind, after)
                if not ids:
                    break
                count, after = count + len(ids), ids[-1]
    _say(f"{count} states")


async def rotate_keys(settings: IdentitySettings, _arguments: Sequence[str]) -> None:
    """Let the next token key sign from now on."""
    from services.identity.actions import keys

    async with _database(settings) as db, db.begin() as tx:
        changed = await keys.rotate_keys(tx, _authority(settings), SystemClock().now())
    for key in changed:
        _say(f"{key.kid} {key.stage}")


async def parked(settings: IdentitySettings, _arguments: Sequence[str]) -> None:
    """List messages that were set aside; identity follows no topic, so there should be none."""
    async with _database(settings) as db, db.begin() as tx:
        for topic, partition, offset, _value, error in await inbox.parked(tx):
            _say(f"{topic} {partition} {offset} {error}")


COMMANDS = {
    "api": api,
    "relay": relay,
    "migrate": migrate_database,
    "bootstrap": bootstrap,
    "republish": republish,
    "rotate-keys": rotate_keys,
    "parked": parked,
}


def main(arguments: Sequence[str]) -> None:
    """Run the command that `arguments` name; a refusal ends with status 1 and one sentence."""
    parser = argparse.ArgumentParser(prog="python -m services.identity")
    parser.add_argument("command", choices=COMMANDS)
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command not in ("migrate", "bootstrap"):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    settings = IdentitySettings()
    logging.configure(PART, settings.log_level)
    try:
        asyncio.run(COMMANDS[options.command](settings, rest))
    except DomainError as error:
        sys.exit(error.detail)


@asynccontextmanager
async def _database(settings: IdentitySettings) -> AsyncIterator[Db]:
    db = Db(settings.postgres_url, PART)
    try:
        yield db
    finally:
        await db.dispose()


def _authority(settings: IdentitySettings) -> "Authority":
    from services.identity.clients.authority import Authority

    return Authority(settings.authority_directory, settings.trust_domain)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
