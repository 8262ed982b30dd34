"""Calls that take long share their connections: nobody gets all, and what is given back counts."""

import asyncio
import ssl
from collections.abc import Iterator

import pytest

from gateway.turn import Turn
from gateway.upstream import Deadlines, Pool, SharedPool, UpstreamConnection


class Asking:
    """A call that waits for a connection, as far as a pool knows it."""

    def __init__(self, caller: str) -> None:
        self.caller = caller
        self.still_asks = True
        self.given: UpstreamConnection | None = None

    def upstream_ready(self, connection: UpstreamConnection) -> None:
        self.still_asks = False
        self.given = connection

    def upstream_unavailable(self) -> None:
        self.still_asks = False

    def connection(self) -> UpstreamConnection:
        assert self.given is not None
        return self.given


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def a_pool(loop: asyncio.AbstractEventLoop, *, limit: int, share: int) -> SharedPool:
    """Return a pool with `limit` connections that are open and idle, so that it opens none."""
    context = ssl.create_default_context()
    pool = SharedPool(
        "transfer",
        "https://127.0.0.1:1",
        context,
        "datong.local",
        Deadlines(loop),
        Turn(loop),
        limit,
        share,
    )
    for _ in range(limit):
        pool.connected(UpstreamConnection(pool, Turn(loop)))
    return pool


def test_a_caller_gets_its_share_and_others_get_theirs(loop: asyncio.AbstractEventLoop) -> None:
    pool = a_pool(loop, limit=4, share=2)
    greedy = [Asking("system/a") for _ in range(3)]

    assert [pool.ask(asking) for asking in greedy] == [True, True, False]
    assert [asking.given is not None for asking in greedy] == [True, True, False]
    other = Asking("system/b")
    assert pool.ask(other)
    assert other.given is not None


def test_what_is_given_back_may_be_had_again(loop: asyncio.AbstractEventLoop) -> None:
    pool = a_pool(loop, limit=2, share=1)
    first, second, third = (Asking("system/a") for _ in range(3))
    assert pool.ask(first)
    assert not pool.ask(second)

    pool.freed(first.connection())
    assert pool.ask(second)
    assert not pool.ask(third)

    pool.lost(second.connection())
    assert pool.ask(third)
    assert third.connection() is not second.connection()


def test_a_call_that_waits_counts_until_it_is_given_up(loop: asyncio.AbstractEventLoop) -> None:
    pool = a_pool(loop, limit=1, share=2)
    first, waiting, refused = (Asking("system/a") for _ in range(3))
    assert pool.ask(first)
    assert pool.ask(waiting)
    assert waiting.given is None
    assert not pool.ask(refused)

    waiting.still_asks = False
    # The queue is as long as there are connections; one that was given up makes room in it.
    last = Asking("system/a")
    assert pool.ask(last)
    pool.freed(first.connection())
    assert last.connection() is first.connection()
    assert waiting.given is None


def test_a_connection_goes_to_whoever_waits_longest(loop: asyncio.AbstractEventLoop) -> None:
    pool = a_pool(loop, limit=1, share=1)
    first, second = Asking("system/a"), Asking("system/b")
    assert pool.ask(first)
    assert pool.ask(second)

    pool.freed(first.connection())
    assert second.connection() is first.connection()
    assert not pool.ask(Asking("system/b"))
    assert pool.ask(Asking("system/a"))


def test_a_refusal_says_how_many_there_may_be(loop: asyncio.AbstractEventLoop) -> None:
    shared = a_pool(loop, limit=3, share=2)
    assert "2 of one caller and 3 of all" in shared.full
    plain = Pool(
        "audit",
        "https://127.0.0.1:1",
        ssl.create_default_context(),
        "d",
        Deadlines(loop),
        Turn(loop),
        1,
    )
    assert "audit" in plain.full
