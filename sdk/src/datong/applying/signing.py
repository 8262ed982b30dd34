"""Takes a request through the steps that a file names, up to its grant."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from datong.applying.people import People
from datong.applying.report import Outcome
from datong.applying.scopes import scope_of
from datong.applying.surveying import FoundRequest
from datong.errors import IdentityUnusable
from datong.operations.operation import Json

_ASKED = ("items", "modes", "operations", "purposes", "row_filter", "masks", "statutory")
_SAID = ("basis", "scenario", "valid_from", "valid_until")
_ENDED = frozenset({"refused", "withdrawn", "supplement_asked"})

Patiently = Callable[[Callable[[], Awaitable[Json]]], Awaitable[Json]]


async def sign(
    stated: Json, people: People, found: Mapping[bytes, FoundRequest], patiently: Patiently
) -> tuple[Outcome, str]:
    """Make a request, or go on with the one that is there, as far as steps are stated.

    Raises:
        Refused: a step was refused.
        IdentityUnusable: one of the identities could not be made before.
    """
    by = people.folders.find(stated["by"])
    systems = [people.folders.find(name) for name in stated["systems"]]
    if by is None or not all(systems):
        raise IdentityUnusable("An identity of this request could not be made.")
    ids = [system.id for system in systems if system is not None]
    known = found.get(scope_of(stated, by.agency, ids))
    if known is None:
        request = await _ask(stated, ids, people, patiently)
        done = True
    else:
        difference = _difference(known) or await _answer_of_another(known, stated, people)
        if difference is not None:
            return Outcome.DIFFERS, difference
        request = {"id": known.id, "version": known.version, "state": known.state}
        done = False
    while (step := _next(request, stated)) is not None:
        request = await _take(step, request, stated, people, patiently)
        done = True
    return (Outcome.MADE if done else Outcome.THERE), ""


def _difference(known: FoundRequest) -> str | None:
    if known.state in _ENDED:
        return f"request {known.id} is {known.state}; it is for people to decide how to go on"
    if known.state == "granted" and known.grant_state != "active":
        return f"the grant of request {known.id} is {known.grant_state}"
    return None


async def _answer_of_another(known: FoundRequest, stated: Json, people: People) -> str | None:
    """Say what forbids confirming an answer that is there already; None when nothing does."""
    if known.state != "answered" or "confirmed_by" not in stated:
        return None
    by = people.folders.find(stated["answered_by"])
    async with people.client(stated["confirmed_by"]) as client:
        request = await client.get_request(known.id)
    answers = [step for step in request["steps"] if step["step"] == "answer"]
    own = by is not None and bool(answers) and answers[-1]["actor"] == f"person/{by.id}"
    if own and request["answer"] and request["answer"]["decision"] == "approve":
        return None
    return f"request {known.id} has an answer that is not the stated one; confirm or return it"


async def _ask(stated: Json, systems: list[str], people: People, patiently: Patiently) -> Json:
    terms: dict[str, Any] = {name: stated[name] for name in _ASKED if name in stated}
    terms |= {name: stated[name] for name in _SAID}
    terms.setdefault("items", [])
    key = hashlib.sha256(json.dumps([stated, systems], sort_keys=True).encode()).hexdigest()
    async with people.client(stated["by"]) as client:
        return await patiently(
            lambda: client.create_request(
                stated["resource"],
                systems=systems,
                idempotency_key=f"apply-{key[:40]}",
                **terms,
            )
        )


def _next(request: Json, stated: Json) -> str | None:
    """The identity's member for the step that follows; None at the end, or when none is stated."""
    steps = {"drafted": "submitted_by", "submitted": "answered_by", "answered": "confirmed_by"}
    step = steps.get(request["state"])
    return step if step is not None and step in stated else None


async def _take(
    step: str, request: Json, stated: Json, people: People, patiently: Patiently
) -> Json:
    number, etag = request["id"], f'"{request["version"]}"'
    async with people.client(stated[step]) as client:
        if step == "submitted_by":
            return await patiently(lambda: client.submit_request(number, etag=etag))
        if step == "confirmed_by":
            return await patiently(lambda: client.confirm_answer(number, etag=etag))
        terms = stated.get("answer", {})
        return await patiently(lambda: client.answer_request(number, "approve", etag=etag, **terms))
