"""Run the catalogue: `python -m services.catalog api | relay | migrate [--restored] | republish`.

The relay imports neither the framework nor the routes: it stays small.
"""

import asyncio
import sys

from kit import logging
from services.catalog.settings import ApiSettings, CatalogSettings

PART = "catalog"
USAGE = "usage: python -m services.catalog api | relay | migrate [--restored] | republish"


async def _api(_settings: CatalogSettings) -> None:
    from services.catalog.app import run_api  # the relay does without it

    await run_api(ApiSettings())


async def _relay(settings: CatalogSettings) -> None:
    from kit import kafka, relay, serve, topics

    publisher = relay.Relay(
        settings.postgres_url, PART, topics.state_topics_of(PART), kafka.client_options(settings)
    )

    async def ready() -> bool:
        return publisher.ready

    await serve.run_process(settings, background=[publisher.run()], ready=ready)


async def _republish(settings: CatalogSettings) -> None:
    from kit.db import Db
    from services.catalog import actions

    db = Db(settings.postgres_url, PART)
    try:
        count = await actions.republish(db)
    finally:
        await db.dispose()
    logging.get_logger().info("republished", states=count)


async def _migrate(settings: CatalogSettings, arguments: list[str]) -> None:
    from kit import migrate

    await migrate.main(settings.postgres_url, "services.catalog", arguments)


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` name."""
    command, *rest = arguments or [""]
    commands = {"api": _api, "relay": _relay, "republish": _republish}
    if command != "migrate" and (command not in commands or rest):
        sys.exit(USAGE)
    settings = CatalogSettings()
    logging.configure(PART, settings.log_level)
    if command == "migrate":
        asyncio.run(_migrate(settings, rest))
    else:
        asyncio.run(commands[command](settings))


if __name__ == "__main__":
    main(sys.argv[1:])
