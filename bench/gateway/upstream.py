"""What stands behind all rivals: TLS 1.3 with client certificate, one fixed answer of 1 KiB.

`python -m bench.gateway.upstream part|owner PORT [CERTIFICATE KEY CA]`; runs until it is stopped.
A part says what the answer holds and under which grant, as transfer does; an owner's service says
nothing of that. Without a certificate it speaks in the clear.
"""

import asyncio
import json
import re
import ssl
import sys
from collections.abc import Callable, Sequence
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
_HEAD: Final = (
    f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(BODY)}\r\n"
)
_OF_OWNER: Final = f"{_HEAD}\r\n".encode() + BODY
_OF_PART: Final = (
    f"{_HEAD}datong-internal-rows: 12\r\ndatong-internal-items: code,level,name,parent_code\r\n"
    f"datong-internal-digest: {sha256(BODY).hexdigest()}\r\n"
).encode()
_GRANT: Final = re.compile(rb"\r\ndatong-internal-grant: ([^\r]+)", re.IGNORECASE)


class Fixed(asyncio.Protocol):
    """Answers each call with the same body; those of calls must have a Content-Length."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

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
            called, self._buffer = self._buffer[:head], self._buffer[end:]
            self._transport.write(self._answer(called))


def _answer_of_part(head: bytes) -> bytes:
    grant = _GRANT.search(head)
    enforced = b"" if grant is None else b"datong-internal-enforced: %b\r\n" % grant[1]
    return b"".join((_OF_PART, enforced, b"\r\n", BODY))


def _answer_of_owner(_head: bytes) -> bytes:
    return _OF_OWNER


_KINDS: Final = {"part": _answer_of_part, "owner": _answer_of_owner}


async def _serve(kind: str, port: int, files: Sequence[str]) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: Fixed(_KINDS[kind]),
        "127.0.0.1",
        port,
        ssl=_context(*files) if files else None,
        backlog=512,
    )
    await server.serve_forever()


def _context(certificate: str, key: str, ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(ca)
    return context


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:6]))
