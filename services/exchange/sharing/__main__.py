"""Run sharing: `python -m services.exchange.sharing COMMAND`.

    api | relay | consume           the three processes
    migrate [--restored]            bring the database to the newest revision
    republish                       publish the state of every grant again
    parked list | parked replay     messages that no handler could take

Only `api` imports the framework.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from kit import logging
from services.exchange.sharing.settings import SharingSettings

PART = "sharing"


async def _api(settings: SharingSettings) -> None:
    from services.exchange.sharing.app import run_api  # the others do without it

    await run_api(settings)


async def _relay(settings: SharingSettings) -> None:
    from kit import kafka, relay, serve, topics

    publisher = relay.Relay(
        settings.postgres_url, PART, topics.state_topics_of(PART), kafka.client_options(settings)
    )

    async def ready() -> bool:
        return publisher.ready

    await serve.run_process(settings, background=[publisher.run()], ready=ready)


async def _consume(settings: SharingSettings) -> None:
    from kit import kafka, serve
    from kit.db import Db
    from kit.follow import follow
    from services.exchange.sharing import consumer

    db = Db(settings.postgres_url, PART)

    async def ready() -> bool:
        await db.ping()
        return True

    following = follow(
        db,
        kafka.client_options(settings),
        consumer.GROUP,
        consumer.TOPICS,
        consumer.HANDLERS,
    )
    try:
        await serve.run_process(settings, background=[following], ready=ready)
    finally:
        await db.dispose()


async def _republish(settings: SharingSettings) -> None:
    from kit.db import Db
    from services.exchange.sharing.actions import upkeep

    db = Db(settings.postgres_url, PART)
    try:
        count = await upkeep.republish(db)
    finally:
        await db.dispose()
    logging.get_logger().info("republished", states=count)


async def _parked_list(settings: SharingSettings) -> None:
    from kit import inbox
    from kit.db import Db

    db = Db(settings.postgres_url, PART)
    try:
        async with db.begin() as tx:
            messages = await inbox.parked(tx)
    finally:
        await db.dispose()
    for topic, partition, offset, _, error in messages:
        sys.stdout.write(f"{topic}/{partition}@{offset}\t{error}\n")


async def _parked_replay(settings: SharingSettings) -> None:
    from kit.db import Db
    from services.exchange.sharing import consumer
    from services.exchange.sharing.actions import upkeep

    db = Db(settings.postgres_url, PART)
    try:
        handled, failed = await upkeep.replay_parked(db, consumer.HANDLERS)
    finally:
        await db.dispose()
    sys.stdout.write(f"{handled} handled, {len(failed)} stay parked\n")
    if failed:
        sys.exit("\n".join(failed))


COMMANDS: dict[tuple[str, ...], Callable[[SharingSettings], Awaitable[None]]] = {
    ("api",): _api,
    ("relay",): _relay,
    ("consume",): _consume,
    ("republish",): _republish,
    ("parked", "list"): _parked_list,
    ("parked", "replay"): _parked_replay,
}


async def _migrate(settings: SharingSettings, arguments: list[str]) -> None:
    from kit import migrate

    await migrate.main(settings.postgres_url, "services.exchange.sharing", arguments)


async def _run(arguments: list[str]) -> None:
    settings = SharingSettings()
    logging.configure(PART, settings.log_level)
    if arguments[0] == "migrate":
        await _migrate(settings, arguments[1:])
    else:
        await COMMANDS[tuple(arguments)](settings)


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` name."""
    if arguments[:1] != ["migrate"] and tuple(arguments) not in COMMANDS:
        sys.exit(__doc__)
    asyncio.run(_run(arguments))


if __name__ == "__main__":
    main(sys.argv[1:])
