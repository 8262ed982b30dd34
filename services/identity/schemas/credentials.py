"""Bodies about certificates and tokens."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, StringConstraints

from kit.clock import rfc3339
from services.identity.actions.credentials import Certified
from services.identity.domain.credentials import Credential, CredentialState
from services.identity.schemas.parts import Body, Instant

Csr = Annotated[str, StringConstraints(min_length=1, max_length=16384)]


class Enrolment(Body):
    """A one-time code and a certificate signing request (PEM)."""

    code: Annotated[str, StringConstraints(max_length=200)]
    csr: Csr


class Renewal(Body):
    """A certificate signing request (PEM); who asks is known by the present certificate."""

    csr: Csr


class IssuedCertificate(BaseModel):
    """A new certificate and the CA that issued it, both PEM."""

    certificate: str
    ca: str
    kind: Literal["person", "system"]
    id: str
    agency: str
    thumbprint: str
    not_after: Instant

    @classmethod
    def of(cls, certified: Certified) -> "IssuedCertificate":
        """Return the body for what was issued."""
        credential = certified.credential
        return cls(
            certificate=certified.certificate,
            ca=certified.ca,
            kind="person" if credential.kind == "person" else "system",
            id=credential.holder,
            agency=credential.agency,
            thumbprint=credential.thumbprint,
            not_after=rfc3339(credential.not_after),
        )


class CredentialBody(BaseModel):
    """A certificate that was issued."""

    thumbprint: str
    kind: str
    holder: str
    agency: str
    serial: str
    not_before: Instant
    not_after: Instant
    state: CredentialState
    version: int

    @classmethod
    def of(cls, credential: Credential) -> "CredentialBody":
        """Return the body for `credential`."""
        return cls(
            thumbprint=credential.thumbprint,
            kind=credential.kind,
            holder=credential.holder,
            agency=credential.agency,
            serial=credential.serial,
            not_before=rfc3339(credential.not_before),
            not_after=rfc3339(credential.not_after),
            state=credential.state,
            version=credential.version,
        )


class IssuedToken(BaseModel):
    """An access token (RFC 6749 section 5.1)."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme
    expires_in: int


class KeySet(BaseModel):
    """A JWK Set (RFC 7517 section 5)."""

    keys: list[dict[str, Any]]
