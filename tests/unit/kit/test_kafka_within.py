"""Foreign code that swallows cancellations never swallows ours."""

import asyncio
import contextlib

import pytest

from kit.kafka import within


async def stubborn(swallowed: asyncio.Event) -> str:
    """Do as a client that takes a cancellation for one of a task of its own."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    swallowed.set()
    return "gone on"


async def failing() -> None:
    raise OSError("no broker")


async def test_a_cancellation_of_ours_is_ours_whatever_the_work_does_with_it() -> None:
    swallowed = asyncio.Event()
    waiting = asyncio.ensure_future(within(60, stubborn(swallowed)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=5)
    assert waiting.cancelled()
    async with asyncio.timeout(5):
        await swallowed.wait()


async def test_work_that_takes_too_long_is_given_up() -> None:
    swallowed = asyncio.Event()
    with pytest.raises(TimeoutError):
        await within(0.01, stubborn(swallowed))
    async with asyncio.timeout(5):
        await swallowed.wait()


async def test_result_and_error_are_those_of_the_work() -> None:
    assert await within(60, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(OSError, match="no broker"):
        await within(60, failing())
