"""A change and its events are one: published after the commit, in order, none lost, none early."""

import asyncio
import json

from kit.canonical import canonical
from kit.outbox import append, wait_published
from tests.integration.kit.conftest import Part
from tests.support.processes import wait_until


async def test_events_are_published_in_the_order_in_which_they_were_appended(part: Part) -> None:
    part.start_relay()
    for first in range(0, 30, 3):
        await part.append(*(part.state(n + 1) for n in range(first, first + 3)))

    async def all_there() -> bool:
        return len(await part.published(part.states)) == 30

    await wait_until(all_there, 20)
    versions = [event["version"] for event in await part.published(part.states)]
    assert versions == list(range(1, 31))


async def test_an_event_carries_its_envelope_in_canonical_bytes_under_its_subject(
    part: Part,
) -> None:
    await wait_published_with_relay(
        part, part.state(7, state="行政"), part.fact("grant-given", n=1)
    )

    (key, value), *_ = [m for m in await part.messages(part.states) if m[0] != b"~beat"]
    state = json.loads(value)
    (fact,) = await part.published(part.facts)
    assert key == b"grant/1"
    assert value == canonical(state)
    assert (state["specversion"], state["type"], state["subject"]) == (
        "1.0",
        part.states,
        "grant/1",
    )
    assert (state["version"], state["data"]["state"]) == (7, "行政")
    assert state["source"] == f"/{part.name}"
    assert (fact["type"], fact["actor"], fact["call"]) == ("grant-given.v1", "person/1", "c")
    assert (fact["sequence"], fact["data"]) == (1, {"n": 1})
    assert fact["incarnation"] == state["incarnation"] > 1_600_000_000_000


async def wait_published_with_relay(part: Part, *events: object) -> None:
    part.start_relay()
    ids = await part.append(*events)  # type: ignore[arg-type]
    assert await wait_published(part.db, ids, 20)


async def test_facts_are_numbered_densely_in_the_order_of_publication(part: Part) -> None:
    part.start_relay()
    for n in range(5):
        await part.append(part.fact("a", n=n), part.state(n + 1))

    async def all_there() -> bool:
        return len(await part.published(part.facts)) == 5

    await wait_until(all_there, 20)
    facts = await part.published(part.facts)
    assert [(f["sequence"], f["data"]["n"]) for f in facts] == [(n + 1, n) for n in range(5)]


async def test_a_change_that_was_undone_publishes_nothing(part: Part) -> None:
    class Undone(Exception):
        pass

    try:
        async with part.db.begin() as tx:
            await append(tx, part.state(1))
            raise Undone
    except Undone:
        pass
    await wait_published_with_relay(part, part.state(2))

    assert [event["version"] for event in await part.published(part.states)] == [2]


async def test_a_row_that_commits_after_a_younger_one_is_not_passed_over(part: Part) -> None:
    part.start_relay()
    async with part.db.begin() as slow:
        (older,) = await append(slow, part.state(1, "grant/old"))
        (younger,) = await part.append(part.state(1, "grant/young"))
        assert younger > older
        assert await wait_published(part.db, [younger], 20)

    assert await wait_published(part.db, [older], 20)
    assert len(await part.published(part.states)) == 2


async def test_waiting_tells_that_the_bus_has_not_acknowledged(part: Part) -> None:
    ids = await part.append(part.state(1))

    assert not await wait_published(part.db, ids, 0.1)
    assert await wait_published(part.db, [], 0.1)


async def test_two_relays_publish_every_event_once_and_the_second_takes_over(part: Part) -> None:
    first, second = (part.start_relay() for _ in range(2))
    await wait_until(lambda: first.ready or second.ready, 20)
    ids = await part.append(*(part.state(n) for n in range(1, 6)))
    assert await wait_published(part.db, ids, 20)
    working, waiting = (first, second) if first.ready else (second, first)
    assert not waiting.ready

    await part.stop(part.tasks[0] if working is first else part.tasks[1])
    await wait_until(lambda: waiting.ready, 20)
    ids = await part.append(part.state(6))

    assert await wait_published(part.db, ids, 20)
    assert [e["version"] for e in await part.published(part.states)] == [1, 2, 3, 4, 5, 6]


async def test_a_relay_beats_once_a_second_on_its_state_topics_only(part: Part) -> None:
    part.start_relay()

    async def beats() -> int:
        return sum(key == b"~beat" for key, _ in await part.messages(part.states))

    async def three() -> bool:
        return await beats() >= 3

    await wait_until(three, 20)
    assert await part.messages(part.facts) == []
    _, value = (await part.messages(part.states))[0]
    assert json.loads(value)["data"] == {"database": "up"}


class Forwarder:
    """A way to the database that can be cut: the relay goes through it."""

    def __init__(self, url: str) -> None:
        address = url.rsplit("@", 1)[1].split("/")[0]
        self._host, port = address.split(":")
        self._port = int(port)
        self._url = url.replace(address, "127.0.0.1:{}")
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0) -> str:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self._url.format(self.port)

    def cut(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, there_writer}
        await asyncio.gather(
            self._copy(reader, there_writer),
            self._copy(there_reader, writer),
            return_exceptions=True,
        )

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


async def test_a_relay_without_its_database_says_so_and_goes_on_when_it_is_back(
    part: Part,
) -> None:
    forwarder = Forwarder(part.url)
    relay = part.start_relay(await forwarder.start())
    await wait_until(lambda: relay.ready, 20)

    forwarder.cut()

    async def down() -> bool:
        return any(b'"down"' in value for _, value in await part.messages(part.states))

    await wait_until(down, 20)
    assert not relay.ready
    await forwarder.start(forwarder.port)
    ids = await part.append(part.state(1))
    assert await wait_published(part.db, ids, 20)
    forwarder.cut()
