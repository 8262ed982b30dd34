"""Steps of the procedure, and the work that waits for the caller."""

from datetime import date
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.http import Cursor, CursorInvalid, Limit, Page, decode_cursor, encode_cursor
from kit.ids import is_uuid
from kit.problems import declare
from services.exchange.sharing.actions import steps
from services.exchange.sharing.routes.context import (
    BODY,
    CALL,
    Database,
    Known,
    Now,
    RequestId,
    Require,
    Settled,
    actor_of,
    described,
)
from services.exchange.sharing.schemas.requests import (
    AnswerBody,
    RequestShape,
    Supplement,
    WorkShape,
)
from services.exchange.sharing.schemas.texts import Reason
from services.exchange.sharing.store.work import NEVER

router = APIRouter(prefix="/sharing/v1", route_class=StrictRoute)

ConsumersHead = Annotated[Caller, Depends(allow("sharing_office_head"))]
Consumer = Annotated[Caller, Depends(allow("technical_officer", "sharing_office_head"))]
Administrator = Annotated[Caller, Depends(allow("resource_administrator"))]
OwnersHead = Annotated[Caller, Depends(allow("agency_head", "sharing_office_head"))]
Official = Annotated[Caller, Depends(allow(person=True))]

_STEP: Final = (
    *CALL,
    "other-agency",
    "request-unknown",
    "request-state-conflict",
    "same-person",
    "precondition-failed",
)
_SHARED: Final = (
    "period-invalid",
    "class-not-shared",
    "resource-unknown",
    "resource-withdrawn",
    "permission-unreadable",
    "items-unknown",
    "operations-unknown",
    "item-not-filterable",
    "filter-invalid",
    "mask-invalid",
    "mode-not-offered",
)
"""What may keep a resource from being shared as it was asked for or answered."""


@router.post("/requests/{request}/submissions", responses=declare(*_STEP, "period-invalid"))
async def submit_request(
    request: RequestId,
    caller: ConsumersHead,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Submit a draft: by the head of the asking agency's sharing office, who did not draft it.

    `If-Match`, here as for every step, names the version that the step is taken on.
    """
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.submit(tx, request, require, actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.post("/requests/{request}/supplement-demands", responses=declare(*_STEP, *BODY))
async def ask_supplement(
    request: RequestId,
    body: Reason,
    caller: Administrator,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Ask for all that is missing, once (Decree 809, article 21): by the owner's administrator."""
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.ask_supplement(tx, request, require, body.reason, actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.post("/requests/{request}/supplements", responses=declare(*_STEP, *BODY))
async def supplement_request(
    request: RequestId,
    body: Supplement,
    caller: Consumer,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Add what was missing: by the asking agency. The limit for the answer begins again."""
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.supplement(tx, request, require, body.text, actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.post(
    "/requests/{request}/answers",
    responses=declare(*_STEP, *BODY, *_SHARED, "answer-invalid", "terms-not-narrower"),
)
async def answer_request(
    request: RequestId,
    body: AnswerBody,
    caller: Administrator,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Approve, with terms that only narrow what was asked for, or refuse with a reason.

    By the owner's resource administrator; the answer counts once a head of the owner confirms it.
    """
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.answer(tx, copies, request, require, body.to_proposal(), actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.post("/requests/{request}/returns", responses=declare(*_STEP, *BODY))
async def return_answer(
    request: RequestId,
    body: Reason,
    caller: OwnersHead,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Return an answer to the owner's administrator, for another one: by a head of the owner."""
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.send_back(tx, request, require, body.reason, actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.post(
    "/requests/{request}/confirmations",
    responses=declare(*_STEP, *_SHARED, "grant-state-conflict", "permissions-stale"),
    dependencies=[Settled],
)
async def confirm_answer(
    request: RequestId,
    caller: OwnersHead,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Confirm an answer: by a head of the owner, who did not give it.

    An approval issues the grant, or renews it; `Datong-Revision` names its state.
    """
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.confirm(tx, copies, request, require, actor, now)
    return described(response, RequestShape.of(*found, actor, now))


@router.post("/requests/{request}/withdrawals", responses=declare(*_STEP, *BODY))
async def withdraw_request(
    request: RequestId,
    body: Reason,
    caller: Consumer,
    require: Require,
    db: Database,
    clock: Now,
    copies: Known,
    response: Response,
) -> RequestShape:
    """Withdraw a request that was not decided yet: by the asking agency."""
    actor, now = actor_of(caller, copies), clock.now()
    async with db.begin() as tx:
        found = await steps.withdraw(tx, request, require, body.reason, actor, now)
    return described(response, RequestShape.of(found, None, actor, now))


@router.get("/work", responses=declare(*CALL, "cursor-invalid"))
async def list_work(
    caller: Official,
    db: Database,
    copies: Known,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[WorkShape]:
    """List the requests that wait for a step which the caller may take, what is due first first."""
    after = _work_position(cursor)
    async with db.begin() as tx:
        found = await steps.list_work(tx, actor_of(caller, copies), after, limit + 1)
    shown = [WorkShape.of(work) for work in found[:limit]]
    following = None
    if len(found) > limit:
        last = shown[-1]
        following = encode_cursor([(last.due or NEVER).isoformat(), last.request])
    return Page(items=shown, next=following)


def _work_position(cursor: str | None) -> tuple[date, str] | None:
    if cursor is None:
        return None
    day, request = map(str, decode_cursor(cursor, (str, str)))
    try:
        after = date.fromisoformat(day)
    except ValueError as error:
        raise CursorInvalid("The cursor is not one that this list gave out.") from error
    if not is_uuid(request):
        raise CursorInvalid("The cursor is not one that this list gave out.")
    return after, request
