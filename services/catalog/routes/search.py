"""Routes of the search, and of what was searched in vain."""

from hashlib import sha256
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.canonical import canonical
from kit.clock import Clock
from kit.db import Db, is_database_lost
from kit.http import (
    Cursor,
    CursorInvalid,
    Limit,
    Page,
    ParameterInvalid,
    decode_cursor,
    encode_cursor,
    parse_after,
)
from kit.ids import PLAIN_ID
from kit.logging import get_logger
from kit.problems import PermissionsBehind, ServiceUnavailable, declare
from services.catalog import actions, events
from services.catalog.actions import Searching
from services.catalog.domain import Mode, Search, ShareClass, without_numbers, words
from services.catalog.routes.asking import CALL, Anybody, Database, Now
from services.catalog.schemas import LINE, FoundEntries, SearchMiss

AFTER_SECONDS: Final = 2.0
MAX_DEPTH: Final = 1000
"""Hits that can be paged through; who has more narrows the search."""

router = APIRouter(prefix="/catalog/v1", route_class=StrictRoute)
log = get_logger()


async def _searching(request: Request) -> Searching:
    """Return the search of this process.

    Raises:
        ServiceUnavailable: it has none.
    """
    searching: Searching | None = request.app.state.searching
    if searching is None:
        raise ServiceUnavailable("This process has no index.")
    return searching


Index = Annotated[Searching, Depends(_searching)]
Cataloguer = Annotated[Caller, Depends(allow("registrar", "reviewer"))]


@router.get("/search", responses=declare(*CALL, "cursor-invalid", "service-unavailable"))
async def search_entries(
    caller: Anybody,
    request: Request,
    searching: Index,
    db: Database,
    clock: Now,
    q: Annotated[
        str,
        Query(
            min_length=1,
            max_length=100,
            pattern=LINE,
            description="Words; a hit has all of them in its name, summary, titles of items, name "
            "of its agency or resource id. A Chinese word may be any piece of a text, even a "
            "single character; other words are whole words in any case of letters",
        ),
    ],
    agency: Annotated[str | None, Query(pattern=PLAIN_ID)] = None,
    share_class: ShareClass | None = None,
    mode: Mode | None = None,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> FoundEntries:
    """Search published entries; the best hits come first, those with the words in the name before.

    `next` is null after the last hit and after a thousand: narrow the search then. Words that
    nothing was found for, without narrowing, are counted for those who write entries.
    """
    wanted = tuple(words(q))
    if not wanted:
        raise ParameterInvalid("q has neither letters nor digits.", pointer="/query/q")
    search = Search(wanted, agency, share_class, mode, limit=limit)
    search = _from(search, cursor)
    await _await_entries(request, searching)
    found = await searching.search(search)
    if not found.total and not search.is_narrowed:
        await _record_miss(db, q, caller, clock)
    reached = search.offset + len(found.hits)
    more = found.hits and reached < min(found.total, MAX_DEPTH)
    return FoundEntries.of(found, _cursor(search, reached) if more else None)


@router.get("/search/misses", responses=declare(*CALL, "cursor-invalid"))
async def list_search_misses(
    caller: Cataloguer,
    db: Database,
    clock: Now,
    days: Annotated[int, Query(ge=1, le=90, description="Today and the days before")] = 30,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SearchMiss]:
    """List what was searched in vain, the most frequent first, so that owners see what is missing.

    Who searched is not told, only how many agencies did.
    """
    async with db.begin() as tx:
        found = await actions.list_misses(tx, days, clock.now(), _position(cursor), limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[SearchMiss.of(miss) for miss in found[:limit]],
        next=None if last is None else encode_cursor([last.searches, last.query]),
    )


async def _await_entries(request: Request, searching: Searching) -> None:
    """Wait until entries named in `Datong-After` are searched as the caller knows them.

    Raises:
        PermissionsBehind: that took more than two seconds.
    """
    header = request.headers.get("datong-after", "")
    if not any(topic == events.ENTRY for topic, _, _ in parse_after(header)):
        return
    if not await searching.catch_up(AFTER_SECONDS):
        raise PermissionsBehind("The search did not reach the entries in Datong-After in time.")


async def _record_miss(db: Db, q: str, caller: Caller, clock: Clock) -> None:
    """Count a search in vain; a search is not refused because that cannot be written."""
    try:
        async with db.begin() as tx:
            query = without_numbers(q, actions.MISS_LENGTH)
            await actions.record_miss(tx, query, caller.agency.id, clock.now())
    except Exception as error:
        if not is_database_lost(error):
            raise
        log.warning("a search in vain was not counted", error=repr(error))


def _from(search: Search, cursor: str | None) -> Search:
    """Return `search` from where `cursor` goes on.

    Raises:
        CursorInvalid: it was altered, or is of another search.
    """
    if cursor is None:
        return search
    offset = decode_cursor(cursor, (int, str))[0]
    if not isinstance(offset, int) or not 0 < offset < MAX_DEPTH:
        raise CursorInvalid("The cursor is not one that this search gave out.")
    if cursor != _cursor(search, offset):
        raise CursorInvalid("The cursor is not one that this search gave out.")
    return search.at(offset)


def _cursor(search: Search, offset: int) -> str:
    """Return the cursor of `offset`, bound to the search so that no other one takes it."""
    bound = [
        offset,
        [word.text for word in search.words],
        search.agency or "",
        search.share_class or "",
        search.mode or "",
    ]
    return encode_cursor([offset, sha256(canonical(bound)).hexdigest()[:16]])


def _position(cursor: str | None) -> tuple[int, str] | None:
    if cursor is None:
        return None
    searches, query = decode_cursor(cursor, (int, str))
    if not isinstance(searches, int) or not 0 < searches < 1 << 62:
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return searches, str(query)
