"""Steps of the procedure, and the work that waits for the caller."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Concatenate, Final, ParamSpec

from fastapi import APIRouter, Depends, Response

from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.clock import Clock
from kit.db import Db, Tx
from kit.http import Cursor, CursorInvalid, Limit, Page, decode_cursor, encode_cursor
from kit.ids import is_uuid
from kit.problems import declare
from services.exchange.sharing.actions import steps
from services.exchange.sharing.clients import Copies
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
from services.exchange.sharing.store.requests import Answered
from services.exchange.sharing.store.work import NEVER

_Said = ParamSpec("_Said")


@dataclass(frozen=True, slots=True)
class _Taking:
    """How every step is taken: in a transaction of its own, on the version that was read."""

    require: Callable[[int], None]
    db: Db
    clock: Clock
    copies: Copies
    response: Response

    async def take(
        self,
        caller: Caller,
        request: str,
        step: Callable[Concatenate[Tx, steps.Turn, _Said], Awaitable[Answered]],
        *said: _Said.args,
        **named: _Said.kwargs,
    ) -> RequestShape:
        """Take `step` in a request; answer with the request as the caller sees it then."""
        actor, now = actor_of(caller, self.copies), self.clock.now()
        turn = steps.Turn(request, actor, now, self.require)
        async with self.db.begin() as tx:
            found = await step(tx, turn, *said, **named)
        return described(self.response, RequestShape.of(*found, actor, now))


async def _taking(
    require: Require, db: Database, clock: Now, copies: Known, response: Response
) -> _Taking:
    return _Taking(require, db, clock, copies, response)


Taking = Annotated[_Taking, Depends(_taking)]

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
    taking: Taking,
) -> RequestShape:
    """Submit a draft: by the head of the asking agency's sharing office, who did not draft it.

    `If-Match`, here as for every step, names the version that the step is taken on.
    """
    return await taking.take(caller, request, steps.submit)


@router.post("/requests/{request}/supplement-demands", responses=declare(*_STEP, *BODY))
async def ask_supplement(
    request: RequestId,
    body: Reason,
    caller: Administrator,
    taking: Taking,
) -> RequestShape:
    """Ask for all that is missing, once (Decree 809, article 21): by the owner's administrator."""
    return await taking.take(caller, request, steps.ask_supplement, body.reason)


@router.post("/requests/{request}/supplements", responses=declare(*_STEP, *BODY))
async def supplement_request(
    request: RequestId,
    body: Supplement,
    caller: Consumer,
    taking: Taking,
) -> RequestShape:
    """Add what was missing: by the asking agency. The limit for the answer begins again."""
    return await taking.take(caller, request, steps.supplement, body.text)


@router.post(
    "/requests/{request}/answers",
    responses=declare(*_STEP, *BODY, *_SHARED, "answer-invalid", "terms-not-narrower"),
)
async def answer_request(
    request: RequestId,
    body: AnswerBody,
    caller: Administrator,
    taking: Taking,
) -> RequestShape:
    """Approve, with terms that only narrow what was asked for, or refuse with a reason.

    By the owner's resource administrator; the answer counts once a head of the owner confirms it.
    """
    return await taking.take(caller, request, steps.answer, taking.copies, body.to_proposal())


@router.post("/requests/{request}/returns", responses=declare(*_STEP, *BODY))
async def return_answer(
    request: RequestId,
    body: Reason,
    caller: OwnersHead,
    taking: Taking,
) -> RequestShape:
    """Return an answer to the owner's administrator, for another one: by a head of the owner."""
    return await taking.take(caller, request, steps.send_back, body.reason)


@router.post(
    "/requests/{request}/confirmations",
    responses=declare(*_STEP, *_SHARED, "grant-state-conflict", "permissions-stale"),
    dependencies=[Settled],
)
async def confirm_answer(
    request: RequestId,
    caller: OwnersHead,
    taking: Taking,
) -> RequestShape:
    """Confirm an answer: by a head of the owner, who did not give it.

    An approval issues the grant, or renews it; `Datong-Revision` names its state.
    """
    return await taking.take(caller, request, steps.confirm, taking.copies)


@router.post("/requests/{request}/withdrawals", responses=declare(*_STEP, *BODY))
async def withdraw_request(
    request: RequestId,
    body: Reason,
    caller: Consumer,
    taking: Taking,
) -> RequestShape:
    """Withdraw a request that was not decided yet: by the asking agency."""
    return await taking.take(caller, request, steps.withdraw, body.reason)


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
