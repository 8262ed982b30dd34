"""Records: search, one record with its proof, the salt of its digests."""

import asyncio
from base64 import urlsafe_b64encode
from typing import Annotated, Literal, NamedTuple

from fastapi import APIRouter, Depends, Path, Query, Response

from kit.app import StrictRoute
from kit.auth import Caller
from kit.clock import parse_rfc3339
from kit.db import Db
from kit.http import Cursor, CursorInvalid, Limit, Page, decode_cursor, encode_cursor
from kit.ids import PLAIN_ID, UUID_PATTERN
from kit.problems import declare
from services.audit.domain import refusals, search, tree
from services.audit.routes.asking import (
    AUDITOR,
    READING,
    Concerned,
    Database,
    Follower,
    From,
    Reader,
    Until,
    instant,
)
from services.audit.schemas import RecordProof, RecordSummary, Salt, text_of
from services.audit.store import index

router = APIRouter(route_class=StrictRoute)

RecordId = Annotated[str, Path(pattern=UUID_PATTERN, description="UUIDv7 of the record")]


class Filters(NamedTuple):
    """Search filters, as asked."""

    equal: dict[str, str]
    agency: str | None
    refused: bool
    from_at: str | None
    until: str | None


PlainId = Annotated[str | None, Query(pattern=PLAIN_ID)]
Uuid = Annotated[str | None, Query(pattern=UUID_PATTERN)]
Text = Annotated[str | None, Query(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


async def _filters(
    agency: PlainId = None,
    caller_agency: PlainId = None,
    owner_agency: PlainId = None,
    resource: PlainId = None,
    grant: Uuid = None,
    call: Uuid = None,
    purpose: Text = None,
    case: Text = None,
    caller: Text = None,
    subject: Text = None,
    kind: Annotated[Text, Query(alias="type")] = None,
    decision: Literal["allowed", "denied"] | None = None,
    reason: Text = None,
    refused: Annotated[
        bool, Query(description="Only calls that were refused, by the gateway or by the service")
    ] = False,
    from_: From = None,
    until: Until = None,
) -> Filters:
    asked = {
        "caller_agency": caller_agency,
        "owner_agency": owner_agency,
        "resource": resource,
        "grant_id": grant,
        "call": call,
        "purpose": purpose,
        "case_number": case,
        "caller": caller,
        "subject": subject,
        "type": kind,
        "decision": decision,
        "reason": reason,
    }
    equal = {name: value for name, value in asked.items() if value is not None}
    return Filters(equal, agency, refused, instant(from_), instant(until))


def _restriction(caller: Caller) -> str | None:
    """Return the agency to whose records the caller is restricted; None for auditors."""
    return None if caller.holds(AUDITOR) else caller.agency.id


@router.get(
    "/records",
    response_model_exclude_unset=True,
    responses={**READING, **declare("cursor-invalid")},
)
async def search_records(
    caller: Reader,
    filters: Annotated[Filters, Depends(_filters)],
    db: Database,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[RecordSummary]:
    """Search evidence, newest first. The index lags behind the log by moments.

    Others than auditors find only records in which their agency calls or owns.
    """
    query = search.Query(
        visible_to=_restriction(caller),
        agency=filters.agency,
        equal=filters.equal,
        refused=filters.refused,
        from_at=filters.from_at,
        until=filters.until,
    )
    async with db.begin() as tx:
        found = await index.search(tx, query, _position(cursor), limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[RecordSummary.of(item) for item in found[:limit]],
        next=None if last is None else encode_cursor([last.at, last.leaf]),
    )


def _position(cursor: str | None) -> tuple[str, int] | None:
    if cursor is None:
        return None
    at, leaf = decode_cursor(cursor, (str, int))
    if not isinstance(at, str) or not isinstance(leaf, int) or not 0 <= leaf < 1 << 53:
        raise CursorInvalid("The cursor is not one that this list gave out.")
    try:
        parse_rfc3339(at)
    except ValueError as error:
        raise CursorInvalid("The cursor is not one that this list gave out.") from error
    return at, leaf


async def _find(db: Db, record: str, caller: Caller) -> search.Found:
    """Return the first record with this id that the caller may see.

    Raises:
        RecordUnknown: there is none.
    """
    async with db.begin() as tx:
        found = await index.find(tx, record)
    agency = _restriction(caller)
    for item in found:
        if agency is None or item.concerns(agency):
            return item
    raise refusals.RecordUnknown(
        f"No record {record} is in the index that you may see; new records take a moment."
    )


@router.get(
    "/records/{record}",
    responses={**READING, **declare("record-unknown", "log-not-open")},
)
async def get_record(
    record: RecordId, caller: Reader, db: Database, follower: Follower
) -> RecordProof:
    """One record: its bytes, the inclusion proof and the checkpoint to which it leads."""
    found = await _find(db, record, caller)
    view = await asyncio.to_thread(follower.view)

    def prove() -> RecordProof:
        data = view.record(found.leaf)
        proof = tree.inclusion_proof(view.nodes, found.leaf, view.size)
        return RecordProof(
            record=record,
            leaf=found.leaf,
            bytes=text_of(data),
            leaf_hash=text_of(tree.leaf_hash(data)),
            size=view.size,
            proof=[text_of(item) for item in proof],
            checkpoint=view.commit.checkpoint,
        )

    return await asyncio.to_thread(prove)


@router.get(
    "/records/{record}/salt",
    responses={**READING, **declare("record-unknown", "salt-unknown")},
)
async def get_salt(record: RecordId, caller: Concerned, db: Database, response: Response) -> Salt:
    """The salt of one record's digests, for the caller's and the owner's agency."""
    agency = caller.agency.id
    async with db.begin() as tx:
        found = [item for item in await index.find(tx, record) if item.concerns(agency)]
        salt = await index.salt(tx, record)
    if not found:
        raise refusals.RecordUnknown(f"No record {record} concerns the agency {agency}.")
    if salt is None:
        raise refusals.SaltUnknown(f"Record {record} has no salt, or it was erased.")
    response.headers["Cache-Control"] = "no-store"
    return Salt(record=record, salt=urlsafe_b64encode(salt).rstrip(b"=").decode())
