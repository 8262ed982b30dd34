"""Stands in for transfer behind a gateway: answers each query late, by a chosen delay."""

import asyncio
import contextlib
import math
import random
import ssl
from hashlib import sha256
from typing import Self

from stack.certificates import Certificates
from stack.ports import free_port

BODY = b'{"rows":[{"code":"3301","name":"x","parent_code":"33"}],"next":null}'
HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "Datong-Internal-Rows: 1\r\nDatong-Internal-Items: code,name,parent_code\r\n"
    "Datong-Internal-Digest: {digest}\r\nDatong-Internal-Enforced: {grant}\r\n\r\n"
)


class SlowUpstream:
    """A TLS server with transfer's certificate, on a port that is chosen before it listens.

    Attributes:
        longest: seconds; each answer comes after a random part of it, more often a large one.
        answered: answers that were sent.
    """

    def __init__(self, longest: float) -> None:
        self.longest = longest
        self.answered = 0
        self.port = free_port()
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """What the gateway's DATONG_TRANSFER_URL is to say."""
        return f"https://127.0.0.1:{self.port}"

    async def open(self, certificates: Certificates) -> Self:
        """Listen."""
        pair = certificates.parts["transfer"]
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.load_cert_chain(pair.certificate, pair.key)
        tls.load_verify_locations(certificates.ca)
        tls.verify_mode = ssl.CERT_REQUIRED
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=tls, backlog=512
        )
        return self

    async def close(self) -> None:
        """Stop listening and end all connections."""
        if self._server is not None:
            self._server.close()
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                grant = await self._read_call(reader)
                await asyncio.sleep(self.longest * math.sqrt(random.random()))
                head = HEAD.format(length=len(BODY), digest=sha256(BODY).hexdigest(), grant=grant)
                writer.write(head.encode() + BODY)
                await writer.drain()
                self.answered += 1
        writer.close()

    async def _read_call(self, reader: asyncio.StreamReader) -> str:
        """Read one call; return the grant that the gateway decided by."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head.split("\r\n")[1:])
        }
        await reader.readexactly(int(fields.get("content-length", 0)))
        return fields["datong-internal-grant"]
