"""Asks a process whether it is ready, with as little as possible: one HTTP/1.1 request."""

import asyncio

ANSWER_SECONDS = 2.0
REQUEST = "GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"


async def is_ready(address: str) -> bool:
    """Whether `GET /health/ready` at `host:port` answers 200 within 2 s."""
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, int(port))
            try:
                writer.write(REQUEST.format(address=address).encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split(b" ")[1:2] == [b"200"]
