"""The upstream of all rivals: TLS 1.3 with client certificate, one fixed answer of 1 KiB.

`python -m bench.gateway.upstream PORT CERTIFICATE KEY CA`; runs until it is stopped.
"""

import asyncio
import json
import ssl
import sys
from hashlib import sha256
from typing import Final, cast

import uvloop
from typing_extensions import override

_ROW: Final = {"code": "330106", "name": "西湖区", "level": "county", "parent_code": "3301"}


def _body() -> bytes:
    rows = [_ROW] * 12
    body = json.dumps({"rows": rows, "next": None}, ensure_ascii=False).encode()
    return body[:-1] + b" " * (1024 - len(body)) + b"}"


BODY: Final = _body()
ANSWER: Final = (
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
    f"content-length: {len(BODY)}\r\n"
    "datong-internal-rows: 12\r\ndatong-internal-items: code,level,name,parent_code\r\n"
    f"datong-internal-digest: {sha256(BODY).hexdigest()}\r\n\r\n"
).encode() + BODY


class Fixed(asyncio.Protocol):
    """Answers each call with the same bytes; bodies must have a Content-Length."""

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with an empty buffer."""
        self._transport = cast(asyncio.Transport, transport)
        self._buffer = b""

    @override
    def data_received(self, data: bytes) -> None:
        """Answer every complete call in the buffer."""
        self._buffer += data
        while True:
            head = self._buffer.find(b"\r\n\r\n")
            if head < 0:
                return
            lower = self._buffer[:head].lower()
            at = lower.find(b"\r\ncontent-length:")
            length = int(lower[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            end = head + 4 + length
            if len(self._buffer) < end:
                return
            self._buffer = self._buffer[end:]
            self._transport.write(ANSWER)


async def _serve(port: int, certificate: str, key: str, ca: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    server = await asyncio.get_running_loop().create_server(
        Fixed, "127.0.0.1", port, ssl=context, backlog=512
    )
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), *sys.argv[2:5]))
