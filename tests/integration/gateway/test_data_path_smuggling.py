"""The smuggling corpus over raw sockets: every ambiguous call is refused, and nothing follows it.

Each case sends bytes that two servers could read in two ways, with a valid call right behind
them. Whatever the first answer is, the second call must never be answered as if it had been
found inside the first, nothing of the kind reaches a part, and the next connection works.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

import pytest

from tests.support.data_path import World, with_world

GOOD = b"GET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /identity/v1/enrolments HTTP/1.1\r\nHost: a\r\n"
GET = b"GET /identity/v1/jwks HTTP/1.1\r\n"

CORPUS: dict[str, tuple[int, bytes]] = {
    # Framing: where does the body end?
    "length and chunked": (
        400,
        POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked and length": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    ),
    "two lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na"),
    "two equal lengths": (400, POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
    "list of lengths": (400, POST + b"Content-Length: 1, 1\r\n\r\na"),
    "signed length": (400, POST + b"Content-Length: +1\r\n\r\na"),
    "negative length": (400, POST + b"Content-Length: -1\r\n\r\na"),
    "hexadecimal length": (400, POST + b"Content-Length: 0x1\r\n\r\na"),
    "empty length": (400, POST + b"Content-Length: \r\n\r\na"),
    "length that overflows": (400, POST + b"Content-Length: 18446744073709551617\r\n\r\na"),
    "length with a letter": (400, POST + b"Content-Length: 1a\r\n\r\na"),
    "length with a tab inside": (400, POST + b"Content-Length: 1\t1\r\n\r\na"),
    "length of unicode digits": (400, POST + "Content-Length: ١\r\n\r\na".encode()),
    "length on a get": (413, GET + b"Host: a\r\nContent-Length: 1\r\n\r\na"),
    "unknown coding": (400, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    "gzip before chunked": (400, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "chunked before gzip": (400, POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    "chunked twice in a list": (
        400,
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    ),
    "chunked twice": (
        400,
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    "identity beside a length": (
        400,
        POST + b"Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na",
    ),
    "coding with a vertical tab": (400, POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n"),
    "coding in quotes": (400, POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n'),
    "empty coding": (400, POST + b"Transfer-Encoding: \r\nContent-Length: 1\r\n\r\na"),
    "coding after a space": (400, POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    "coding hidden by an underscore": (
        400,
        POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    "length hidden by an underscore": (400, POST + b"Content_Length: 5\r\n\r\n"),
    "chunked in http 1.0": (
        400,
        b"POST /identity/v1/enrolments HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"0\r\n\r\n",
    ),
    # Chunks: where does each end?
    "chunk size not a number": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
    ),
    "chunk size with a prefix": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    ),
    "chunk size negative": (400, POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n"),
    "chunk size that overflows": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n",
    ),
    "chunk ended by a bare line feed": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\na\n0\n\n",
    ),
    "chunk longer than its size": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    ),
    "space after a chunk size": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n",
    ),
    "trailer": (
        400,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nDatong-Call: x\r\n\r\n",
    ),
    # Lines: where does a header end?
    "bare line feeds": (400, b"GET /identity/v1/jwks HTTP/1.1\nHost: a\n\n"),
    "bare line feed after a header": (400, GET + b"Host: a\nX: b\r\n\r\n"),
    "bare carriage return": (400, GET + b"Host: a\rX: b\r\n\r\n"),
    "folded header": (400, GET + b"Host: a\r\nX: b\r\n c\r\n\r\n"),
    "space before a header": (400, GET + b" Host: a\r\n\r\n"),
    "space before the colon": (400, GET + b"Host : a\r\n\r\n"),
    "no colon": (400, GET + b"Host: a\r\nX\r\n\r\n"),
    "no name": (400, GET + b"Host: a\r\n: b\r\n\r\n"),
    "null in a value": (400, GET + b"Host: a\r\nX: a\x00b\r\n\r\n"),
    "null in a name": (400, GET + b"Host: a\r\nX\x00: b\r\n\r\n"),
    "control character in a value": (400, GET + b"Host: a\r\nX: \x01\r\n\r\n"),
    "delete in a value": (400, GET + b"Host: a\r\nX: \x7f\r\n\r\n"),
    "bracket in a name": (400, GET + b"Host: a\r\nX[]: b\r\n\r\n"),
    # The request line: what is asked, and of whom?
    "absolute form": (400, b"GET http://a/identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "authority form": (400, b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    "asterisk form": (400, b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    "target with user": (400, b"GET @evil/identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "tab in the line": (400, b"GET\t/identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "encoded slash": (400, b"GET /identity/v1%2fjwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "encoded dots": (400, b"GET /identity/%2e%2e/identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "dots": (400, b"GET /x/../identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "double slash": (400, b"GET //identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "backslash": (400, b"GET /identity\\v1\\jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "fragment": (400, b"GET /identity/v1/jwks#x HTTP/1.1\r\nHost: a\r\n\r\n"),
    "matrix parameter": (400, b"GET /identity/v1/jwks;x=1 HTTP/1.1\r\nHost: a\r\n\r\n"),
    "raw utf-8": (400, "GET /identity/v1/键 HTTP/1.1\r\nHost: a\r\n\r\n".encode()),
    "unknown method": (400, b"BREW /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "lower-case method": (400, b"get /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "http 1.0": (400, b"GET /identity/v1/jwks HTTP/1.0\r\nHost: a\r\n\r\n"),
    "http 0.9": (400, b"GET /identity/v1/jwks\r\n\r\n"),
    "http 2 preface": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "http 1.2": (400, b"GET /identity/v1/jwks HTTP/1.2\r\nHost: a\r\n\r\n"),
    "no host": (400, GET + b"X: a\r\n\r\n"),
    "two hosts": (400, GET + b"Host: a\r\nHost: b\r\n\r\n"),
    "host with a path": (400, GET + b"Host: a/admin?x=\r\n\r\n"),
    "upgrade": (400, GET + b"Host: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "connection names a field that decides": (
        400,
        POST + b"Connection: content-length\r\nContent-Length: 1\r\n\r\na",
    ),
    "two tokens": (400, GET + b"Host: a\r\nAuthorization: Bearer a\r\nAuthorization: b\r\n\r\n"),
    "head": (405, b"HEAD /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n"),
    "body over the limit": (413, POST + b"Content-Length: 9999999\r\n\r\n"),
}


def test_the_corpus_has_at_least_forty_cases() -> None:
    assert len(CORPUS) >= 40


SAME = {
    "two spaces": b"GET  /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n",
    "empty line before": b"\r\nGET /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n",
    "another protocol's name": b"GET /identity/v1/jwks RTSP/1.1\r\nHost: a\r\n\r\n",
    "spelling of names": b"GET /identity/v1/jwks HTTP/1.1\r\nhOST:a\r\n\r\n",
}
"""Forms that the parser forgives; the part must see the usual one."""


async def _all(work: Callable[[str], Awaitable[None]], names: Iterable[str]) -> None:
    """Do `work` for all names, some at once: a refused connection lingers for half a second."""
    some = asyncio.Semaphore(16)

    async def one(name: str) -> None:
        async with some:
            await work(name)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))


@with_world()
async def test_every_ambiguous_call_is_refused_and_nothing_is_read_behind_it(
    world: World,
) -> None:
    async def send(name: str) -> None:
        status, data = CORPUS[name]
        client = await world.connect()
        await client.send(data + GOOD)
        answer = await client.read()
        assert answer.status == status, name
        assert answer.headers["connection"] == "close", name
        assert await client.is_closed(), name
        client.close()

    await _all(send, CORPUS)
    assert world.part.asked == []
    assert world.evidence.calls() == []
    assert len(world.evidence.counted) == len(CORPUS)
    after = await (await world.connect(world.caller)).call(world.query())
    assert after.status == 200
    assert world.path.in_hand == 0


@with_world()
async def test_the_corpus_byte_by_byte_gives_the_same_answers(world: World) -> None:
    async def send(name: str) -> None:
        status, data = CORPUS[name]
        client = await world.connect()
        with contextlib.suppress(ConnectionError):  # The gateway may know before the end.
            for at in range(len(data)):
                await client.send(data[at : at + 1])
        assert (await client.read()).status == status, name
        client.close()

    await _all(send, CORPUS)
    assert world.part.asked == []


@with_world()
async def test_forgiven_forms_reach_the_part_in_the_usual_one(world: World) -> None:
    for name, data in SAME.items():
        client = await world.connect()
        assert (await client.call(data)).status == 200, name
    assert {asked.line for asked in world.part.asked} == {"GET /identity/v1/jwks HTTP/1.1"}


@with_world()
async def test_with_a_certificate_each_refusal_of_the_edge_has_a_record(world: World) -> None:
    call = b"019aa500-0000-7000-8000-0000000000aa"
    client = await world.connect(world.caller)
    answer = await client.call(GET + b"Host: a\r\nX_Y: 1\r\nDatong-Call: " + call + b"\r\n\r\n")
    assert answer.code == "call-malformed"
    [record] = world.evidence.calls()
    assert answer.headers["datong-call"] == record["call"] == call.decode()
    assert (record["decision"], record["reason"]) == ("denied", "call-malformed")
    assert record["certificate"] == world.caller.thumbprint


@with_world()
@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS"])
async def test_another_method_leaves_the_connection_usable(world: World, method: str) -> None:
    client = await world.connect()
    refused = await client.call(f"{method} /identity/v1/jwks HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (refused.status, refused.headers["allow"]) == (405, "GET")
    unknown = await client.call(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
    assert unknown.code == "route-unknown"
    assert (await client.call(GOOD)).status == 200
