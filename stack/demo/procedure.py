"""A request on its way from a draft to a grant or a refusal, each step by another person."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from kit.clock import SystemClock, rfc3339
from stack.demo.town import Town


@dataclass(frozen=True)
class Signers:
    """Short names of the four people who sign (ADR 0025).

    Attributes:
        drafts, submits: of the agency that asks.
        answers, confirms: of the agency that owns the resource.
    """

    drafts: str
    submits: str
    answers: str
    confirms: str

    @property
    def names(self) -> tuple[str, ...]:
        """All four, in the order in which they sign."""
        return (self.drafts, self.submits, self.answers, self.confirms)


@dataclass(frozen=True)
class Asked:
    """What is asked for, whatever the systems and the period.

    Attributes:
        statutory: the law that names the asking agency as a recipient, of what is not shared else.
    """

    resource: str
    items: Sequence[str]
    purpose: str
    basis: str
    scenario: str
    modes: Sequence[str] = ("query",)
    operations: Sequence[str] = ()
    statutory: dict[str, str] | None = None


YEAR: Final = timedelta(days=365)
_JUST_NOW: Final = timedelta(minutes=-1)


def instant(after: timedelta) -> str:
    """Return the instant so much after now, as calls state it."""
    moment: datetime = SystemClock().now() + after
    return rfc3339(moment)


async def draft(
    town: Town, who: str, asked: Asked, system: str, begins: timedelta = _JUST_NOW
) -> dict[str, Any]:
    """Have somebody draft a request for a year; return it."""
    drafted: dict[str, Any] = await town.client(who).create_request(
        asked.resource,
        systems=[town.identities[system].id],
        items=list(asked.items),
        modes=list(asked.modes),
        operations=list(asked.operations),
        purposes=[asked.purpose],
        basis=asked.basis,
        scenario=asked.scenario,
        statutory=asked.statutory,
        valid_from=instant(begins),
        valid_until=instant(begins + YEAR),
    )
    return drafted


async def submit(
    town: Town, signers: Signers, asked: Asked, system: str, begins: timedelta = _JUST_NOW
) -> str:
    """Have a request drafted and submitted; return its id."""
    request: str = (await draft(town, signers.drafts, asked, system, begins))["id"]
    await town.client(signers.submits).submit_request(request)
    return request


async def refuse(town: Town, signers: Signers, request: str, reason: str) -> dict[str, Any]:
    """Have a request refused by two people of the owner; return it."""
    await town.client(signers.answers).answer_request(request, "refuse", reason=reason)
    refused: dict[str, Any] = await town.client(signers.confirms).confirm_answer(request)
    return refused


async def approve(town: Town, signers: Signers, request: str, **terms: Any) -> dict[str, Any]:
    """Have a request granted by two people of the owner; return it with its grant.

    Args:
        terms: what the answer leaves of what was asked for, as of `answer_request`.
    """
    await town.client(signers.answers).answer_request(request, "approve", **terms)
    granted: dict[str, Any] = await town.client(signers.confirms).confirm_answer(request)
    return granted
