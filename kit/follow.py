"""Handing events of fact topics to a service's handlers, each once, or parking them."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError, KafkaError

from kit import inbox
from kit.canonical import strict_loads
from kit.db import Db, Tx, is_database_lost
from kit.errors import DomainError, Kind
from kit.kafka import within
from kit.logging import get_logger

MAX_EVENT: Final = 1 << 20

log = get_logger()

Handler = Callable[[Tx, Mapping[str, Any]], Awaitable[None]]


async def follow(
    db: Db,
    options: Mapping[str, Any],
    group: str,
    topics: Sequence[str],
    handlers: Mapping[str, Handler],
    *,
    attempts: int = 5,
) -> None:
    """Hand each event of `topics` to the handler of its type, once, until cancelled.

    The inbox row and the handler's effect are one transaction; offsets are committed per batch,
    after it. Types without a handler are passed over. An error of kind `UNAVAILABLE`, or of the
    database, is tried again for as long as it lasts; any other is tried `attempts` times, then
    the message is parked with its error (`parked list`, `parked replay`).
    """
    while True:
        consumer = AIOKafkaConsumer(
            *topics,
            **options,
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            session_timeout_ms=10_000,
            heartbeat_interval_ms=3_000,
            request_timeout_ms=15_000,
            max_poll_records=500,
        )
        try:
            await consumer.start()
            while True:
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for record in records:
                        await _handle(db, record, handlers, attempts)
                with contextlib.suppress(CommitFailedError):
                    await consumer.commit()
        except (KafkaError, OSError) as error:
            log.warning("bus lost", error=repr(error))
            await asyncio.sleep(0.5)
        finally:
            with contextlib.suppress(Exception):
                await within(5, consumer.stop())


async def _handle(db: Db, record: Any, handlers: Mapping[str, Handler], attempts: int) -> None:
    """Handle one message or park it; returns only when one of both is committed."""
    failed = 0
    while True:
        try:
            async with db.begin() as tx:
                await handle_once(tx, record.value, handlers)
        except Exception as error:  # noqa: BLE001 - a poison message must not end the reader
            if is_database_lost(error):
                log.warning("database lost", error=repr(error))
                await asyncio.sleep(0.2)
                continue
            failed += not (isinstance(error, DomainError) and error.kind is Kind.UNAVAILABLE)
            log.warning("event not handled", topic=record.topic, error=repr(error), failed=failed)
            if failed >= attempts:
                async with db.begin() as tx:
                    await inbox.park(
                        tx, record.topic, record.partition, record.offset, record.value, repr(error)
                    )
                return
        else:
            return
        await asyncio.sleep(0.2)


async def handle_once(tx: Tx, value: bytes, handlers: Mapping[str, Handler]) -> None:
    """Give one event to its handler unless the inbox has it.

    Raises:
        NotStrictJson, KeyError: not an event. Whatever the handler raises.
    """
    event = strict_loads(value, max_bytes=MAX_EVENT)
    handler = handlers.get(event["type"])
    if handler is not None and await inbox.first_time(tx, event["id"]):
        await handler(tx, event)
