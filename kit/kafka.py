"""How every Kafka client of a part is opened.

`kit.states` reads permissions, `kit.follow` hands events to handlers, `kit.feed` reads from kept
positions, `kit.pages` writes many records at once, `kit.relay` publishes outboxes.
"""

import asyncio
import ssl
from collections.abc import Coroutine
from typing import Any, TypeVar

from kit.settings import PartSettings

Result = TypeVar("Result")


def client_options(settings: PartSettings) -> dict[str, Any]:
    """Return what every Kafka client of a part is opened with: servers and, if set, TLS."""
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka.split(",")}
    if settings.kafka_tls_ca_file is not None:
        context = ssl.create_default_context(cafile=str(settings.kafka_tls_ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(settings.tls_certificate_file, settings.tls_key_file)
        options |= {"security_protocol": "SSL", "ssl_context": context}
    return options


async def within(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Await what a Kafka client does, in a task of its own.

    aiokafka swallows cancellations here and there: only its own, then, and never the one that
    tells us to stop.

    Raises:
        TimeoutError: it takes longer than `seconds`; it has been cancelled.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_forget)
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done():
            raise TimeoutError
        return task.result()
    finally:
        task.cancel()


def _forget(task: "asyncio.Task[Any]") -> None:
    """Look at the error of a task that nobody waits for any more."""
    if not task.cancelled():
        task.exception()
