"""Probes and metrics as a plain ASGI application; without FastAPI, so that relays stay small."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from kit.logging import get_logger

log = get_logger()

Ready = Callable[[], Awaitable[bool]]


def health_app(ready: Ready) -> Callable[..., Awaitable[None]]:
    """Return the plain ASGI application for probes: `/health/live`, `/health/ready`, `/metrics`."""

    async def app(scope: Mapping[str, Any], _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, body, media = 404, b"not found\n", b"text/plain"
        if scope["path"] == "/health/live":
            status, body = 200, b"live\n"
        elif scope["path"] == "/health/ready":
            good = await _is_ready(ready)
            status, body = (200, b"ready\n") if good else (503, b"not ready\n")
        elif scope["path"] == "/metrics":
            status, body, media = 200, generate_latest(), CONTENT_TYPE_LATEST.encode()
        headers = [(b"content-type", media), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def _is_ready(ready: Ready) -> bool:
    try:
        async with asyncio.timeout(2):
            return await ready()
    except Exception as error:  # noqa: BLE001 - whatever fails, the answer is "not ready"
        log.info("not ready", error=repr(error))
        return False
