"""Routes about certificates: enrolment, renewal, revocation, the CA and its list."""

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, CertificateOnly, Public, allow, call_of
from kit.errors import DomainError
from kit.http import MAX_AFTER, Cursor, Limit, Page, add_revision
from kit.outbox import wait_published
from services.identity.actions import credentials as actions
from services.identity.actions.subjects import require_own
from services.identity.routes.context import Here, after_of, by, name_state, next_of
from services.identity.schemas.credentials import (
    CredentialBody,
    Enrolment,
    IssuedCertificate,
    Renewal,
)
from services.identity.schemas.parts import PlainId, Reason, Revocation, Thumbprint, Uuid
from services.identity.store import credentials as store

router = APIRouter(prefix="/identity/v1", tags=["certificates"], route_class=StrictRoute)

Officer = Annotated[Caller, Depends(allow("security_officer", "platform_operator"))]
_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


def _file(media: str) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route that answers with a document of type `media`."""
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": "The document", "content": {media: {"schema": schema}}}}


@router.post(
    "/enrolments",
    status_code=201,
    dependencies=[Depends(Public())],
    responses=problems.declare(
        "code-invalid",
        "code-used",
        "code-expired",
        "csr-invalid",
        "agency-suspended",
        "caller-suspended",
    ),
)
async def enrol(
    body: Enrolment, here: Here, request: Request, response: Response
) -> IssuedCertificate:
    """Exchange a one-time code and a CSR for a certificate of 90 days."""
    call = call_of(request) or None
    async with here.db.begin() as tx:
        outcome = await actions.enrol(
            tx, here.authority, body.code, body.csr, here.clock.now(), call
        )
    if isinstance(outcome, DomainError):
        raise outcome
    add_revision(response, outcome.positions)
    return IssuedCertificate.of(outcome)


@router.post(
    "/renewals",
    status_code=201,
    responses=problems.declare(
        "certificate-missing",
        "certificate-invalid",
        "certificate-revoked",
        "agency-suspended",
        "caller-suspended",
        "csr-invalid",
    ),
)
async def renew(
    body: Renewal,
    certificate: Annotated[bytes, Depends(CertificateOnly())],
    here: Here,
    request: Request,
    response: Response,
) -> IssuedCertificate:
    """Issue a new certificate by the present one; both stay valid."""
    call = call_of(request) or None
    async with here.db.begin() as tx:
        certified = await actions.renew(
            tx, here.authority, certificate, body.csr, here.clock.now(), call
        )
    add_revision(response, certified.positions)
    return IssuedCertificate.of(certified)


@router.get(
    "/ca",
    dependencies=[Depends(Public())],
    response_class=Response,
    responses=_file("application/pem-certificate-chain"),
)
async def get_ca(here: Here) -> Response:
    """Return the certificate of the departments' CA (PEM)."""
    return Response(
        here.authority.pem,
        media_type="application/pem-certificate-chain",
        headers={"Cache-Control": "max-age=3600"},
    )


@router.get(
    "/crl",
    dependencies=[Depends(Public())],
    response_class=Response,
    responses=_file("application/pkix-crl"),
)
async def get_crl(here: Here) -> Response:
    """Return the list of revoked certificates (DER), good for 7 days."""
    async with here.db.begin() as tx:
        crl = await actions.current_crl(tx, here.authority, here.clock.now())
    return Response(
        crl, media_type="application/pkix-crl", headers={"Cache-Control": "max-age=300"}
    )


@router.get("/credentials", responses=problems.declare("cursor-invalid", "other-agency"))
async def list_credentials(
    caller: Officer,
    here: Here,
    limit: Limit = 50,
    cursor: Cursor = None,
    agency: Annotated[PlainId | None, Query(description="Of this agency only")] = None,
    holder: Annotated[Uuid | None, Query(description="Of this person or system only")] = None,
) -> Page[CredentialBody]:
    """List the certificates of one's own agency; platform operators see all."""
    after = after_of(cursor, lambda key: _THUMBPRINT.fullmatch(key) is not None)
    if not caller.holds("platform_operator"):
        agency = agency or caller.agency.id
        require_own(agency, by(caller))
    async with here.db.begin() as tx:
        found = await store.page(tx, agency=agency, holder=holder, after=after, limit=limit)
    return Page(
        items=[CredentialBody.of(credential) for credential in found],
        next=next_of([credential.thumbprint for credential in found], limit),
    )


@router.post(
    "/credentials/{thumbprint}/revocations",
    responses={
        202: {"model": Revocation, "description": "Revoked; not yet acknowledged by the bus"},
        **problems.declare("credential-unknown", "other-agency", "role-missing"),
    },
)
async def revoke_credential(
    thumbprint: Thumbprint,
    caller: Officer,
    here: Here,
    response: Response,
    body: Reason | None = None,
) -> Revocation:
    """Revoke a certificate for good, and all certificates that were renewed from it."""
    reason = body.reason if body else None
    async with here.db.begin() as tx:
        changed = await actions.revoke(
            tx,
            thumbprint,
            reason,
            here.clock.now(),
            by(caller),
            any_agency=caller.holds("platform_operator"),
        )
    first = changed.credentials[0]
    # More than a client can send back in `Datong-After` would be of no use to it.
    name_state(response, *changed.credentials[:MAX_AFTER])
    on_bus = await wait_published(here.db, changed.outbox)
    if not on_bus:
        response.status_code = 202
    return Revocation(
        on_bus=on_bus,
        id=first.thumbprint,
        state=first.state,
        version=first.version,
        revoked=[credential.thumbprint for credential in changed.credentials],
    )
