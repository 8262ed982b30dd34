"""Run transfer: `python -m services.exchange.transfer api | relay | migrate | republish`.

The relay imports neither the framework nor the routes: it stays small.
"""

import asyncio
import sys

from kit import logging
from services.exchange.transfer.settings import TransferSettings

PART = "transfer"
PACKAGE = "services.exchange.transfer"
USAGE = f"usage: python -m {PACKAGE} api | relay | migrate [--restored] | republish"


async def _api(settings: TransferSettings) -> None:
    from services.exchange.transfer.app import run_api  # the relay does without it

    await run_api(settings)


async def _relay(settings: TransferSettings) -> None:
    from kit import kafka, relay, serve, topics

    publisher = relay.Relay(
        settings.postgres_url, PART, topics.state_topics_of(PART), kafka.client_options(settings)
    )

    async def ready() -> bool:
        return publisher.ready

    await serve.run_process(settings, background=[publisher.run()], ready=ready)


async def _republish(_settings: TransferSettings) -> None:
    # Transfer publishes facts only; the command exists so that all services have it.
    logging.get_logger().info("republished", states=0)


async def _migrate(settings: TransferSettings, arguments: list[str]) -> None:
    from kit import migrate

    await migrate.main(settings.postgres_url, PACKAGE, arguments)


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` name."""
    command, *rest = arguments or [""]
    commands = {"api": _api, "relay": _relay, "republish": _republish}
    if command != "migrate" and (command not in commands or rest):
        sys.exit(USAGE)
    settings = TransferSettings()
    logging.configure(PART, settings.log_level)
    if command == "migrate":
        asyncio.run(_migrate(settings, rest))
    else:
        asyncio.run(commands[command](settings))


if __name__ == "__main__":
    main(sys.argv[1:])
