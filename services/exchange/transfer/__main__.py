"""Run transfer: `python -m services.exchange.transfer api | relay | work | migrate | …`.

Relay and worker import neither the framework nor the routes: they stay small.
"""

import argparse
import asyncio
import contextlib
import ctypes
import sys
import time

from kit import logging
from services.exchange.transfer.settings import TransferSettings

PART = "transfer"
PACKAGE = "services.exchange.transfer"
USAGE = (
    f"usage: python -m {PACKAGE} api | relay | work | sweep [--older-than SECONDS]"
    " | migrate [--restored] | republish"
)


_MMAP_THRESHOLD, _ARENA_MAX = -3, -8  # of glibc's mallopt(3)


def _give_memory_back() -> None:
    """Have large buffers return to the system when they are freed.

    Tables pass through threads in pieces of some MiB; what allocators keep of them per thread is
    more than all that is in use: 430 MiB at the peak of a seal become 250.
    """
    import pyarrow as pa

    pa.set_memory_pool(pa.system_memory_pool())
    with contextlib.suppress(AttributeError):  # another C library has nothing to set
        allocator = ctypes.CDLL(None).mallopt
        allocator(_MMAP_THRESHOLD, 256 << 10)
        allocator(_ARENA_MAX, 1)


async def _api(settings: TransferSettings) -> None:
    _give_memory_back()
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


async def _work(settings: TransferSettings) -> None:
    from kit import kafka, serve
    from kit.clock import SystemClock
    from kit.db import Db
    from kit.directory import Directory
    from kit.states import StateReader
    from services.exchange.transfer import consumer, worker
    from services.exchange.transfer.domain import ConsumerKeys, Copies
    from services.exchange.transfer.store import Context, FolderObjects

    _give_memory_back()
    # One connection per item, and some for claims, leases and the sweep beside them.
    db = Db(settings.postgres_url, PART, pool=2 * settings.work_concurrency + 2)
    fitting = worker.Fitting()
    arrivals = consumer.Arrivals(Copies(), Directory(), on_grant=fitting.note)
    states = StateReader(
        kafka.client_options(settings),
        dict.fromkeys((consumer.ENTRY, consumer.GRANT), arrivals.apply),
        stale_after=settings.stale_after,
        on_unreadable=arrivals.on_unreadable,
    )
    objects = FolderObjects(settings.object_directory)
    keys = ConsumerKeys(settings.pseudonym_key)
    context = Context(
        db,
        objects,
        SystemClock(),
        copies=arrivals.copies,
        keys=keys,
        is_current=lambda: states.is_fresh(time.monotonic()),
    )
    read = asyncio.Event()
    states.on_ready.append(read.set)

    async def fit() -> None:
        # At a start the topic tells older terms before the present ones; nobody moves by those.
        await read.wait()
        await fitting.run(context)

    working = worker.make_worker(
        settings.postgres_url,
        context,
        concurrency=settings.work_concurrency,
        lease=settings.work_lease,
    )
    sweeping = worker.sweep_hourly(context, chunk_retention=settings.chunk_retention)

    async def ready() -> bool:
        # Not the copies: batches become effective while the bus is away.
        await db.ping()
        return True

    try:
        background = [working.run(), sweeping, states.run(), fit()]
        await serve.run_process(settings, background=background, ready=ready)
    finally:
        await db.dispose()


async def _sweep(settings: TransferSettings, arguments: list[str]) -> None:
    from kit.clock import SystemClock
    from kit.db import Db
    from services.exchange.transfer.actions import sweeping
    from services.exchange.transfer.store import Context, FolderObjects

    parser = argparse.ArgumentParser(f"python -m {PACKAGE} sweep")
    parser.add_argument(
        "--older-than",
        type=float,
        default=sweeping.OLDER_THAN,
        metavar="SECONDS",
        help="leave objects alone that were put later than that (%(default)s)",
    )
    asked = parser.parse_args(arguments)
    db = Db(settings.postgres_url, PART, pool=1)
    context = Context(db, FolderObjects(settings.object_directory), SystemClock())
    try:
        await sweeping.sweep(
            context, older_than=asked.older_than, chunk_retention=settings.chunk_retention
        )
    finally:
        await db.dispose()


async def _republish(_settings: TransferSettings) -> None:
    # Transfer publishes facts only; the command exists so that all services have it.
    logging.get_logger().info("republished", states=0)


async def _migrate(settings: TransferSettings, arguments: list[str]) -> None:
    from kit import migrate

    await migrate.main(settings.postgres_url, PACKAGE, arguments)


def main(arguments: list[str]) -> None:
    """Run the command that `arguments` name."""
    command, *rest = arguments or [""]
    commands = {"api": _api, "relay": _relay, "work": _work, "republish": _republish}
    with_arguments = {"migrate": _migrate, "sweep": _sweep}
    if command not in with_arguments and (command not in commands or rest):
        sys.exit(USAGE)
    settings = TransferSettings()
    logging.configure(PART, settings.log_level)
    if command in with_arguments:
        asyncio.run(with_arguments[command](settings, rest))
    else:
        asyncio.run(commands[command](settings))


if __name__ == "__main__":
    main(sys.argv[1:])
