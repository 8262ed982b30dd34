"""Routes about agencies."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.http import Cursor, Limit, Page
from kit.ids import is_plain_id
from services.identity.actions import codes, subjects
from services.identity.domain.subjects import Agency, Role, Standing
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
from services.identity.schemas.parts import Change, PlainId, Reason
from services.identity.schemas.subjects import (
    AgencyBody,
    AgencyWithOfficer,
    NewAgency,
    PersonWithCode,
)
from services.identity.store import subjects as store

router = APIRouter(prefix="/identity/v1", tags=["agencies"], route_class=StrictRoute)

Operator = Annotated[Caller, Depends(allow("platform_operator"))]
Anybody = Annotated[Caller, Depends(allow(person=True, system=True))]


@router.post(
    "/agencies",
    status_code=201,
    responses=problems.declare("agency-exists", "agency-unknown", "role-missing"),
)
async def create_agency(
    body: NewAgency, caller: Operator, here: Here, response: Response
) -> AgencyWithOfficer:
    """Register an agency and its first security officer; the answer holds that person's code."""
    agency, actor = body.to_agency(), by(caller)
    async with here.db.begin() as tx:
        await subjects.create_agency(tx, agency, actor)
        officer = await subjects.create_person(
            tx, agency, body.security_officer.name, [Role.SECURITY_OFFICER], actor
        )
        code = await codes.issue_code(tx, here.authority, officer, here.clock.now(), actor)
    name_state(response, agency, officer)
    response.headers["Cache-Control"] = NO_STORE
    return AgencyWithOfficer(
        **AgencyBody.of(agency).model_dump(),
        security_officer=PersonWithCode.with_code(officer, code),
    )


@router.get("/agencies", responses=problems.declare("cursor-invalid"))
async def list_agencies(
    caller: Anybody, here: Here, limit: Limit = 50, cursor: Cursor = None
) -> Page[AgencyBody]:
    """List agencies in the order of their ids."""
    after = after_of(cursor, is_plain_id)
    async with here.db.begin() as tx:
        found = await store.page(tx, Agency, after=after, limit=limit)
    return Page(
        items=[AgencyBody.of(agency) for agency in found],
        next=next_of([agency.id for agency in found], limit),
    )


@router.get("/agencies/{agency}", responses=problems.declare("agency-unknown"))
async def get_agency(
    agency: PlainId, caller: Anybody, here: Here, response: Response
) -> AgencyBody:
    """Return one agency."""
    async with here.db.begin() as tx:
        found = await store.find(tx, Agency, agency)
    name_state(response, found)
    return AgencyBody.of(found)


@router.post(
    "/agencies/{agency}/suspensions",
    responses=ON_BUS | problems.declare("agency-unknown", "own-access", "role-missing"),
)
async def suspend_agency(
    agency: PlainId, caller: Operator, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Suspend an agency: none of its people and systems may call any more."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, Agency, agency, Standing.SUSPENDED, reason, by(caller)
        )
    return await told(here, changed, response)


@router.post(
    "/agencies/{agency}/resumptions",
    responses=ON_BUS | problems.declare("agency-unknown", "role-missing"),
)
async def resume_agency(
    agency: PlainId, caller: Operator, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Resume a suspended agency."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, Agency, agency, Standing.ACTIVE, reason, by(caller)
        )
    return await told(here, changed, response)
