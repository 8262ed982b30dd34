"""Routes about systems."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.clock import rfc3339
from kit.http import Cursor, Limit, Page
from kit.ids import is_uuid
from services.identity.actions import codes, subjects
from services.identity.domain.subjects import Standing, System
from services.identity.routes.context import (
    NO_STORE,
    ON_BUS,
    Here,
    after_of,
    by,
    name_state,
    next_of,
    told,
)
from services.identity.schemas.parts import Change, IssuedCode, Reason, Uuid
from services.identity.schemas.subjects import NewSystem, SystemBody, SystemWithCode
from services.identity.store import subjects as store

router = APIRouter(prefix="/identity/v1", tags=["systems"], route_class=StrictRoute)

Officer = Annotated[Caller, Depends(allow("security_officer"))]
Official = Annotated[Caller, Depends(allow(person=True))]
_OWN = ("holder-unknown", "other-agency", "role-missing")


@router.post("/systems", status_code=201, responses=problems.declare("other-agency"))
async def create_system(
    body: NewSystem, caller: Officer, here: Here, response: Response
) -> SystemWithCode:
    """Register a system of one's own agency; the answer holds the system's code."""
    actor = by(caller)
    subjects.require_own(body.agency or caller.agency.id, actor)
    async with here.db.begin() as tx:
        system = await subjects.create_system(tx, caller.agency.id, body.name, actor)
        code = await codes.issue_code(tx, here.authority, system, here.clock.now(), actor)
    name_state(response, system)
    response.headers["Cache-Control"] = NO_STORE
    return SystemWithCode.with_code(system, code)


@router.get("/systems", responses=problems.declare("cursor-invalid"))
async def list_systems(
    caller: Official, here: Here, limit: Limit = 50, cursor: Cursor = None
) -> Page[SystemBody]:
    """List the systems of one's own agency."""
    after = after_of(cursor, is_uuid)
    async with here.db.begin() as tx:
        found = await store.page(tx, System, agency=caller.agency.id, after=after, limit=limit)
    return Page(
        items=[SystemBody.of(system) for system in found],
        next=next_of([system.id for system in found], limit),
    )


@router.get("/systems/{system}", responses=problems.declare("holder-unknown", "other-agency"))
async def get_system(system: Uuid, caller: Official, here: Here, response: Response) -> SystemBody:
    """Return one system of one's own agency."""
    async with here.db.begin() as tx:
        found = await store.find(tx, System, system)
    subjects.require_own(found.agency, by(caller))
    name_state(response, found)
    return SystemBody.of(found)


@router.post("/systems/{system}/suspensions", responses=ON_BUS | problems.declare(*_OWN))
async def suspend_system(
    system: Uuid, caller: Officer, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Suspend a system: no calls, no tokens, no renewal."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, System, system, Standing.SUSPENDED, reason, by(caller)
        )
    return await told(here, changed, response)


@router.post("/systems/{system}/resumptions", responses=ON_BUS | problems.declare(*_OWN))
async def resume_system(
    system: Uuid, caller: Officer, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Resume a suspended system."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, System, system, Standing.ACTIVE, reason, by(caller)
        )
    return await told(here, changed, response)


@router.post("/systems/{system}/codes", status_code=201, responses=problems.declare(*_OWN))
async def issue_system_code(
    system: Uuid, caller: Officer, here: Here, response: Response
) -> IssuedCode:
    """Issue another code to a system; the unused ones expire."""
    async with here.db.begin() as tx:
        code = await codes.issue_another_code(
            tx, here.authority, System, system, here.clock.now(), by(caller)
        )
    response.headers["Cache-Control"] = NO_STORE
    return IssuedCode(code=code.text, code_expires_at=rfc3339(code.kept.expires_at))
