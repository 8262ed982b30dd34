"""Routes about tokens: issuing them, the keys that sign them, and what they stand for."""

from typing import Annotated, Any, ClassVar, Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from fastapi.responses import JSONResponse

from kit import problems
from kit.app import StrictRoute
from kit.auth import Caller, CertificateOnly, Public, allow
from kit.clock import rfc3339
from kit.errors import DomainError, Kind
from kit.problems import BodyMalformed
from services.identity.actions import tokens as actions
from services.identity.domain.credentials import TOKEN_SECONDS, require_valid
from services.identity.domain.keys import Use
from services.identity.routes.context import NO_STORE, Here
from services.identity.schemas.credentials import IssuedToken, KeySet
from services.identity.schemas.subjects import Me
from services.identity.store import credentials, keys

router = APIRouter(prefix="/identity/v1", tags=["tokens"], route_class=StrictRoute)

Anybody = Annotated[Caller, Depends(allow(person=True, system=True))]

_FORM: Final = "application/x-www-form-urlencoded"
_MAX_FORM: Final = 4096
_FORM_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            _FORM: {
                "schema": {
                    "type": "object",
                    "required": ["grant_type", "client_id"],
                    "properties": {
                        "grant_type": {"type": "string", "const": "client_credentials"},
                        "client_id": {
                            "type": "string",
                            "description": "Id of the person or system that holds the certificate",
                        },
                    },
                }
            }
        },
    }
}


class FormInvalid(DomainError):
    """A parameter of the form is missing."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "body-invalid"


class GrantTypeUnsupported(DomainError):
    """Another grant type than `client_credentials` (RFC 6749 section 5.2)."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "grant-type-unsupported"


async def client_id_of(request: Request) -> str:
    """Return the `client_id` of a token request (RFC 6749 section 4.4).

    Raises:
        HTTPException: 415 or 413.
        BodyMalformed: not a form in UTF-8, or a parameter occurs twice (section 3.2).
        FormInvalid: a parameter is missing.
        GrantTypeUnsupported: another grant type.
    """
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != _FORM:
        raise HTTPException(415, f"Send the parameters as {_FORM}.")
    body = await request.body()
    if len(body) > _MAX_FORM:
        raise HTTPException(413, f"The form exceeds {_MAX_FORM} bytes.")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=20
        )
    except ValueError as error:
        raise BodyMalformed("The body is not a URL-encoded form in UTF-8.") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise BodyMalformed("A parameter occurs twice.")
    for name in ("grant_type", "client_id"):
        if not form.get(name):
            raise FormInvalid(f"The parameter {name} is missing.", pointer=f"/{name}")
    if form["grant_type"] != "client_credentials":
        raise GrantTypeUnsupported(
            "The grant type is not client_credentials.", pointer="/grant_type"
        )
    return form["client_id"]


@router.post(
    "/token",
    openapi_extra=_FORM_BODY,
    responses=problems.declare(
        "body-malformed",
        "grant-type-unsupported",
        "certificate-missing",
        "certificate-invalid",
        "certificate-revoked",
        "client-mismatch",
        "agency-suspended",
        "caller-suspended",
        "body-too-large",
        "content-type-unsupported",
    ),
)
async def issue_token(
    certificate: Annotated[bytes, Depends(CertificateOnly())],
    client_id: Annotated[str, Depends(client_id_of)],
    here: Here,
    response: Response,
) -> IssuedToken:
    """Issue an access token of 10 minutes, bound to the certificate of the connection."""
    async with here.db.begin() as tx:
        token = await actions.issue_token(
            tx, here.authority, certificate, client_id, here.terms, here.clock.now()
        )
    response.headers["Cache-Control"] = NO_STORE
    return IssuedToken(access_token=token, expires_in=TOKEN_SECONDS)


@router.get("/jwks", dependencies=[Depends(Public())], response_model=KeySet)
async def get_jwks(here: Here) -> Response:
    """Return the keys that sign tokens, the next one included (RFC 7517)."""
    async with here.db.begin() as tx:
        found = await keys.all_keys(tx, Use.TOKEN)
    return JSONResponse(
        {"keys": [key.material for key in found]}, headers={"Cache-Control": "max-age=300"}
    )


@router.get("/me")
async def get_me(caller: Anybody, here: Here) -> Me:
    """Tell the caller who the platform takes it for, and until when its certificate counts."""
    async with here.db.begin() as tx:
        found = await credentials.present(tx, caller.thumbprint)
    presented = require_valid(found[0] if found else None, here.clock.now())
    return Me(
        kind=caller.kind,
        id=caller.id,
        name=caller.name,
        agency=caller.agency.id,
        agency_name=caller.agency.name,
        roles=sorted(caller.roles),
        thumbprint=caller.thumbprint,
        not_after=rfc3339(presented.credential.not_after),
    )
