"""What waits when a connection ends: it leaves first, and reaches no call of another."""

import asyncio
import ssl
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.listener.connection import ClientConnection
from gateway.turn import Turn
from gateway.upstream import Deadlines, Pool, UpstreamConnection


class Wire:
    """A transport that notes what happens to it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def write(self, data: bytes) -> None:
        self.log.append(data.decode())

    def abort(self) -> None:
        self.log.append("abort")

    def close(self) -> None:
        self.log.append("close")

    def is_closing(self) -> bool:
        return False


class Asking:
    """A call that wants a connection."""

    still_asks = True
    given: UpstreamConnection | None = None

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self.given = connection

    def upstream_unavailable(self) -> None:
        raise AssertionError("nobody looks for another")


@pytest.mark.parametrize("end", ["abort", "close"])
async def test_an_answer_that_waits_leaves_before_its_connection_ends(end: str) -> None:
    turn, wire = Turn(asyncio.get_running_loop()), Wire()
    connection = ClientConnection(cast(Any, SimpleNamespace(turn=turn)))
    connection._transport = cast(Any, wire)
    with turn:
        connection.write(b"answer")
        assert wire.log == []
        if end == "abort":
            connection.abort()
        else:
            connection._close()
    assert wire.log == ["answer", end]


@pytest.mark.parametrize("event", ["bytes", "end"])
async def test_a_connection_on_which_something_came_unasked_is_given_to_no_call(
    event: str,
) -> None:
    loop = asyncio.get_running_loop()
    turn = Turn(loop)
    pool = Pool(
        "audit", "https://127.0.0.1:1", ssl.create_default_context(), "d", Deadlines(loop), turn, 1
    )
    connection = UpstreamConnection(pool, turn)
    pool.connected(connection)
    if event == "bytes":
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    else:
        connection.eof_received()
    asking = Asking()
    pool.ask(asking)
    await asyncio.sleep(0)
    assert asking.given is None
    await pool.close()
