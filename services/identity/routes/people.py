"""Routes about people and their roles."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, allow
from kit.clock import rfc3339
from kit.http import Cursor, IfMatch, Limit, Page, require_version
from kit.ids import is_uuid
from services.identity.actions import codes, subjects
from services.identity.domain.subjects import Agency, Person, Standing
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
from services.identity.schemas.parts import Change, IssuedCode, PlainId, Reason, Uuid
from services.identity.schemas.subjects import NewPerson, PersonBody, PersonWithCode, RolesBody
from services.identity.store import subjects as store

router = APIRouter(prefix="/identity/v1", tags=["people"], route_class=StrictRoute)

Officer = Annotated[Caller, Depends(allow("security_officer"))]
Reader = Annotated[
    Caller, Depends(allow("security_officer", "agency_head", "auditor", "platform_operator"))
]
_OWN = ("holder-unknown", "other-agency", "role-missing")


@router.post(
    "/people",
    status_code=201,
    responses=problems.declare("roles-conflict", "role-not-for-agency", "other-agency"),
)
async def create_person(
    body: NewPerson, caller: Officer, here: Here, response: Response
) -> PersonWithCode:
    """Register a person of one's own agency; the answer holds the person's code."""
    actor = by(caller)
    subjects.require_own(body.agency or caller.agency.id, actor)
    async with here.db.begin() as tx:
        agency = await store.find(tx, Agency, caller.agency.id)
        person = await subjects.create_person(tx, agency, body.name, body.roles, actor)
        code = await codes.issue_code(tx, here.authority, person, here.clock.now(), actor)
    name_state(response, person)
    response.headers["Cache-Control"] = NO_STORE
    return PersonWithCode.with_code(person, code)


@router.get("/people", responses=problems.declare("cursor-invalid", "other-agency"))
async def list_people(
    caller: Reader,
    here: Here,
    limit: Limit = 50,
    cursor: Cursor = None,
    agency: Annotated[PlainId | None, Query(description="Of this agency only")] = None,
) -> Page[PersonBody]:
    """List the people of one's own agency; auditors and platform operators see all."""
    after = after_of(cursor, is_uuid)
    if not caller.holds("auditor", "platform_operator"):
        agency = agency or caller.agency.id
        subjects.require_own(agency, by(caller))
    async with here.db.begin() as tx:
        found = await store.page(tx, Person, agency=agency, after=after, limit=limit)
    return Page(
        items=[PersonBody.of(person) for person in found],
        next=next_of([person.id for person in found], limit),
    )


@router.get("/people/{person}", responses=problems.declare("holder-unknown", "other-agency"))
async def get_person(person: Uuid, caller: Reader, here: Here, response: Response) -> PersonBody:
    """Return one person; the ETag is what a change of roles needs."""
    async with here.db.begin() as tx:
        found = await store.find(tx, Person, person)
    if not caller.holds("auditor", "platform_operator"):
        subjects.require_own(found.agency, by(caller))
    name_state(response, found)
    return PersonBody.of(found)


@router.put(
    "/people/{person}/roles",
    responses=problems.declare(
        "precondition-required",
        "precondition-failed",
        "roles-conflict",
        "role-not-for-agency",
        "own-access",
        *_OWN,
    ),
)
async def set_roles(
    person: Uuid,
    body: RolesBody,
    caller: Officer,
    here: Here,
    response: Response,
    if_match: IfMatch = None,
) -> PersonBody:
    """Replace the roles of a person of one's own agency."""
    async with here.db.begin() as tx:
        changed = await subjects.set_roles(
            tx,
            person,
            body.roles,
            by(caller),
            lambda version: require_version(if_match, version),
        )
    name_state(response, changed)
    return PersonBody.of(changed)


@router.post(
    "/people/{person}/suspensions", responses=ON_BUS | problems.declare("own-access", *_OWN)
)
async def suspend_person(
    person: Uuid, caller: Officer, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Suspend a person: no calls, no tokens, no renewal."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, Person, person, Standing.SUSPENDED, reason, by(caller)
        )
    return await told(here, changed, response)


@router.post("/people/{person}/resumptions", responses=ON_BUS | problems.declare(*_OWN))
async def resume_person(
    person: Uuid, caller: Officer, here: Here, response: Response, body: Reason | None = None
) -> Change:
    """Resume a suspended person."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await subjects.change_state(
            tx, Person, person, Standing.ACTIVE, reason, by(caller)
        )
    return await told(here, changed, response)


@router.post("/people/{person}/codes", status_code=201, responses=problems.declare(*_OWN))
async def issue_person_code(
    person: Uuid, caller: Officer, here: Here, response: Response
) -> IssuedCode:
    """Issue another code to a person; the unused ones expire."""
    async with here.db.begin() as tx:
        code = await codes.issue_another_code(
            tx, here.authority, Person, person, here.clock.now(), by(caller)
        )
    response.headers["Cache-Control"] = NO_STORE
    return IssuedCode(code=code.text, code_expires_at=rfc3339(code.kept.expires_at))
