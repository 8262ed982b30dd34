"""What a turn brings is taken in order, and written in order at its end; nothing waits longer."""

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from gateway.turn import AT_ONCE, MOST, Turn


class Wire:
    """A transport that notes what is written; `then` is called after the first piece."""

    def __init__(self, log: list[str], name: str, then: Callable[[], None] | None = None) -> None:
        self._log = log
        self._name = name
        self._then = then

    def write(self, data: bytes) -> None:
        self._log.append(f"{self._name} writes {data.decode()}")
        then, self._then = self._then, None
        if then is not None:
            then()


class Hearer:
    """A receiver that answers each piece on its wire."""

    def __init__(self, turn: Turn, log: list[str], name: str) -> None:
        self._turn = turn
        self._log = log
        self._name = name
        self.wire = cast(asyncio.WriteTransport, Wire(log, name))

    def take(self, data: bytes) -> None:
        if data.startswith(b"fault"):
            raise ValueError("a fault of ours")
        text = data.decode()[:8]
        self._log.append(f"{self._name} takes {text}")
        self._turn.write(self.wire, text.encode())

    def fail(self) -> None:
        self._log.append(f"{self._name} fails")
        if self._name == "c":
            raise ValueError("and another")


async def test_all_is_heard_before_anything_is_taken_and_taken_before_it_is_written() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    a, b = Hearer(turn, log, "a"), Hearer(turn, log, "b")
    turn.hear(a, b"1")
    turn.hear(b, b"2")
    turn.hear(a, b"3")
    assert log == []
    await asyncio.sleep(0)
    assert log[:3] == ["a takes 1", "b takes 2", "a takes 3"]
    assert log[3:] == ["a writes 1", "b writes 2", "a writes 3"]


async def test_a_large_piece_does_not_wait_and_overtakes_nothing() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    a, b = Hearer(turn, log, "a"), Hearer(turn, log, "b")
    turn.hear(a, b"1")
    turn.hear(b, b"x" * (AT_ONCE + 1))
    assert log == ["a takes 1", "b takes xxxxxxxx", "a writes 1", "b writes xxxxxxxx"]
    turn.hear(a, b"2")
    await asyncio.sleep(0)
    assert log[4:] == ["a takes 2", "a writes 2"]


async def test_a_fault_ends_one_connection_and_the_others_go_on() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    a, b, c = (Hearer(turn, log, name) for name in "abc")
    turn.hear(a, b"fault")
    turn.hear(c, b"fault, and it cannot even be ended")
    turn.hear(b, b"2")
    await asyncio.sleep(0)
    assert log == ["a fails", "c fails", "b takes 2", "b writes 2"]


async def test_a_transport_that_fails_keeps_no_other_from_being_written_to() -> None:
    def fault() -> None:
        raise OSError("a fault")

    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    bad, good = Wire(log, "a", fault), Wire(log, "b")
    with turn:
        turn.write(cast(asyncio.WriteTransport, bad), b"1")
        turn.write(cast(asyncio.WriteTransport, good), b"2")
    assert log == ["a writes 1", "b writes 2"]
    turn.write(cast(asyncio.WriteTransport, good), b"3")
    assert log[2:] == ["b writes 3"]


async def test_much_is_written_at_once_behind_what_waits() -> None:
    """Else nobody would hear that the other side takes no more, and a file would lie in memory."""
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    wire = cast(asyncio.WriteTransport, Wire(log, "a"))
    large = b"x" * (AT_ONCE + 1)
    with turn:
        turn.write(wire, b"1")
        turn.write(wire, large)
        assert log == ["a writes 1", f"a writes {large.decode()}"]
        for number in range(MOST):
            turn.write(wire, b"%d" % number)
        assert len(log) == 2
        turn.write(wire, b"and one")
        assert len(log) == 3 + MOST
        assert log[-1] == "a writes and one"


async def test_outside_a_turn_writing_waits_for_nothing() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    wire = cast(asyncio.WriteTransport, Wire(log, "a"))
    turn.write(wire, b"1")
    assert log == ["a writes 1"]
    with turn:
        turn.write(wire, b"2")
        assert log == ["a writes 1"]
        turn.flush()
        assert log == ["a writes 1", "a writes 2"]
        turn.write(wire, b"3")
    assert log[2:] == ["a writes 3"]


async def test_what_a_transport_has_written_when_it_calls_back_comes_last() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    again = Wire(log, "a", lambda: turn.write(cast(asyncio.WriteTransport, again), b"3"))
    with turn:
        turn.write(cast(asyncio.WriteTransport, again), b"1")
        turn.write(cast(asyncio.WriteTransport, again), b"2")
    assert log == ["a writes 1", "a writes 2", "a writes 3"]


async def test_a_turn_that_raises_still_writes_what_it_had() -> None:
    turn, log = Turn(asyncio.get_running_loop()), list[str]()
    wire = cast(asyncio.WriteTransport, Wire(log, "a"))

    def work() -> None:
        with turn:
            turn.write(wire, b"1")
            raise ValueError("a fault")

    with pytest.raises(ValueError, match="a fault"):
        work()
    turn.write(wire, b"2")
    assert log == ["a writes 1", "a writes 2"]
