"""What every route needs, and small pieces that they answer with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Request, Response

from kit.auth import Caller
from kit.clock import Clock
from kit.db import Db
from kit.http import CursorInvalid, add_revision, decode_cursor, encode_cursor, etag
from kit.outbox import wait_published
from services.identity import events
from services.identity.actions.subjects import Changed
from services.identity.actions.tokens import Terms
from services.identity.clients.authority import Authority
from services.identity.domain.credentials import Credential
from services.identity.domain.subjects import AnySubject, Subject
from services.identity.events import By
from services.identity.schemas.parts import Change

NO_STORE: Final = "no-store"
ON_BUS: Final[dict[int | str, dict[str, Any]]] = {
    202: {"model": Change, "description": "Changed; not yet acknowledged by the bus"}
}


@dataclass(frozen=True, slots=True)
class Context:
    """What the composition root gives to the routes."""

    db: Db
    clock: Clock
    authority: Authority
    terms: Terms


async def context(request: Request) -> Context:
    """Return the application's context."""
    found: Context = request.app.state.context
    return found


Here = Annotated[Context, Depends(context)]


def by(caller: Caller) -> By:
    """Return who acts, for facts and ownership."""
    return By(caller.subject, caller.call or None, caller.agency.id)


def name_state(response: Response, *subjects: Subject | Credential) -> None:
    """Name version and revision of the first subject, and the revisions of the others."""
    response.headers["ETag"] = etag(subjects[0].version)
    states = [events.state_of(subject) for subject in subjects]
    add_revision(response, [(state.topic, state.subject, state.version) for state in states])


async def told(here: Context, changed: Changed[AnySubject], response: Response) -> Change:
    """Wait until the bus has a change, at most 2 s; answer 200, or 202 when it has not."""
    name_state(response, changed.subject)
    on_bus = await wait_published(here.db, changed.outbox)
    if not on_bus:
        response.status_code = 202
    subject = changed.subject
    return Change(on_bus=on_bus, id=subject.id, state=subject.state, version=subject.version)


def after_of(cursor: str | None, is_key: Callable[[str], bool]) -> str | None:
    """Return the key after which a page begins.

    Raises:
        CursorInvalid: not one that this list gave out.
    """
    if cursor is None:
        return None
    key = str(decode_cursor(cursor, [str])[0])
    if not is_key(key):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return key


def next_of(keys: list[str], limit: int) -> str | None:
    """Return the cursor of the next page, or None when this page was not full."""
    return encode_cursor([keys[-1]]) if len(keys) == limit else None
