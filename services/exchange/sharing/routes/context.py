"""What routes of sharing take from the application and the call."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request, Response

from kit import idempotency
from kit.auth import Caller
from kit.clock import Clock
from kit.db import Db, Tx
from kit.http import (
    CursorInvalid,
    IfMatch,
    add_revision,
    decode_cursor,
    etag,
    require_version,
    required_key,
)
from kit.ids import PLAIN_ID, UUID_PATTERN, is_uuid
from kit.states import StateReader
from services.exchange.sharing import domain, events
from services.exchange.sharing.clients import Copies
from services.exchange.sharing.domain import Actor, Law
from services.exchange.sharing.schemas.grants import GrantShape
from services.exchange.sharing.schemas.requests import RequestShape

CALL: Final = ("role-missing", "not-through-gateway", "parameter-invalid", "permissions-behind")
BODY: Final = ("body-malformed", "body-invalid")
SETTLE_SECONDS: Final = 2.0
NEW: Final = ("idempotency-key-required", "idempotency-key-reused")

Key = Annotated[idempotency.Key, Depends(required_key)]
RequestId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the request")]
GrantId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the grant")]
ResourceFilter = Annotated[str | None, Query(pattern=PLAIN_ID)]


async def _db(request: Request) -> Db:
    db: Db = request.app.state.db
    return db


async def _clock(request: Request) -> Clock:
    clock: Clock = request.app.state.clock
    return clock


async def _copies(request: Request) -> Copies:
    copies: Copies = request.app.state.copies
    return copies


async def _bus_seconds(request: Request) -> float:
    seconds: float = request.app.state.bus_seconds
    return seconds


async def _require(if_match: IfMatch = None) -> Callable[[int], None]:
    """Return a check of the present version; without `If-Match` any version will do."""
    return lambda current: None if if_match is None else require_version(if_match, current)


async def _settled(request: Request) -> None:
    """Wait a little while copies of states are not fresh, before anything is locked.

    A pause or a change of the broker's leader makes them so for a moment. What is granted from
    them is refused when they still are not; all else goes on.
    """
    readers: Sequence[StateReader] = request.app.state.readers
    end = time.monotonic() + SETTLE_SECONDS
    while not all(reader.is_fresh(time.monotonic()) for reader in readers):
        if time.monotonic() >= end:
            return
        await asyncio.sleep(SETTLE_SECONDS / 40)


Settled: Final = Depends(_settled)
Database = Annotated[Db, Depends(_db)]
Now = Annotated[Clock, Depends(_clock)]
BusSeconds = Annotated[float, Depends(_bus_seconds)]
Known = Annotated[Copies, Depends(_copies)]
Require = Annotated[Callable[[int], None], Depends(_require)]


def actor_of(caller: Caller, copies: Copies) -> Actor:
    """Return the caller as the domain knows actors."""
    supervised: frozenset[str] = frozenset()
    if caller.holds("competent_officer"):
        supervised = copies.supervised_by(caller.agency.id)
    return Actor(caller.subject, caller.agency.id, caller.roles, supervised, caller.call or None)


def position(cursor: str | None) -> str | None:
    """Return the id at which the last page ended.

    Raises:
        CursorInvalid: the cursor is not one that such a list gave out.
    """
    if cursor is None:
        return None
    found = str(decode_cursor(cursor, (str,))[0])
    if not is_uuid(found):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return found


async def replayed(tx: Tx, caller: Caller, key: idempotency.Key) -> RequestShape | None:
    """Return what this key was answered before, or None when it is new.

    Raises:
        KeyReused: the same key with another path or body.
    """
    before = await idempotency.replay(tx, caller.subject, key)
    return None if before is None else RequestShape.model_validate(before[1])


async def remember(tx: Tx, caller: Caller, key: idempotency.Key, answered: RequestShape) -> None:
    """Keep the answer of a key."""
    status = 201 if answered.refusal is None else 403
    data = answered.model_dump(mode="json", by_alias=True)
    await idempotency.remember(tx, caller.subject, key, status, data)


def created(response: Response, answered: RequestShape) -> RequestShape:
    """Put into the headers where a new request is, and which grant it changed.

    Raises:
        ClassNotShared: a law refused it; the refusal is already committed.
    """
    refusal = answered.refusal
    if refusal is not None:
        law = Law(refusal.legal_basis_title or "", refusal.legal_basis_article or "")
        raise domain.not_shared(law, "/resource")
    response.headers["Location"] = f"/sharing/v1/requests/{answered.id}"
    return described(response, answered)


def described(response: Response, answered: RequestShape) -> RequestShape:
    """Put the version of a request into the headers, and the grant that the call changed."""
    response.headers["ETag"] = etag(answered.version)
    if answered.grant is not None:
        add_revision(response, [position_of(answered.grant)])
    return answered


def position_of(grant: GrantShape) -> tuple[str, str, int]:
    """Return where on the bus the state of a grant is."""
    return events.GRANT, f"grant/{grant.id}", grant.version
