"""Calls that must be refused, each for its own reason and with a next step."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from datong import Refused
from stack.demo.commands import StoryBroken
from stack.demo.entries import ARTICLE, LAW

Try = tuple[str, str, Callable[[], Awaitable[Any]]]
"""What is wrong with a call, the reason code that it must be refused with, and the call."""


async def expect_refusals(tries: Iterable[Try]) -> dict[str, str]:
    """Make calls that must be refused; return the reason code by what was wrong.

    Raises:
        StoryBroken: one was answered, or refused for another reason, or without a next step.
    """
    found: dict[str, str] = {}
    for what, code, call in tries:
        refused = await refusal_of(what, call)
        if refused.code != code or not refused.next_step:
            raise StoryBroken(f"{what}: expected {code}, was refused with {refused}")
        if code == "class-not-shared":
            _require_law(refused)
        found[what] = refused.code
    return found


async def refusal_of(what: str, call: Callable[[], Awaitable[Any]]) -> Refused:
    """Return how a call is refused.

    Raises:
        StoryBroken: it was answered.
    """
    try:
        await call()
    except Refused as refused:
        return refused
    raise StoryBroken(f"{what}: was answered, must be refused")


def _require_law(refused: Refused) -> None:
    told = f"{refused.detail} {refused.facts}"
    if LAW not in told or ARTICLE not in told:
        raise StoryBroken(f"the refusal does not name the law: {refused}")
