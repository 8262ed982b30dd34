"""Certificates: what they say, when they count, who may be certified."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from kit.errors import DomainError, Kind
from services.identity.domain.subjects import Agency, Holder, Standing

LIFE: Final = timedelta(days=90)
BACKDATING: Final = timedelta(minutes=1)
"""A new certificate also counts on a machine whose clock is a little behind."""

TOKEN_SECONDS: Final = 600


class CredentialState(StrEnum):
    """Whether a certificate counts; expiry is not a state."""

    ACTIVE = "active"
    REVOKED = "revoked"


class CredentialUnknown(DomainError):
    """No certificate has this thumbprint."""

    kind: ClassVar = Kind.NOT_FOUND
    code: ClassVar = "credential-unknown"


class CertificateInvalid(DomainError):
    """The presented certificate is not one that the platform issued, or not valid now."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "certificate-invalid"


class CertificateRevoked(DomainError):
    """The presented certificate was revoked."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "certificate-revoked"


class AgencySuspended(DomainError):
    """The holder's agency is suspended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "agency-suspended"


class CallerSuspended(DomainError):
    """The holder is suspended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "caller-suspended"


class ClientMismatch(DomainError):
    """The client id names somebody other than the holder of the certificate."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "client-mismatch"


@dataclass(frozen=True, slots=True)
class Credential:
    """A certificate that was issued.

    Attributes:
        thumbprint: `x5t#S256`, 43 characters.
        kind, holder: `person` or `system`, and its id.
        serial: 128 bits, 32 hex digits.
        not_after: last instant at which it counts.
        revoked_at: when it was revoked.
        renewed_from: thumbprint of the certificate that its renewal was authorised by; None when a
            code was.
    """

    thumbprint: str
    kind: str
    holder: str
    agency: str
    serial: str
    not_before: datetime
    not_after: datetime
    revoked_at: datetime | None = None
    version: int = 1
    renewed_from: str | None = None

    @property
    def subject(self) -> str:
        """Return `person/<id>` or `system/<id>`."""
        return f"{self.kind}/{self.holder}"

    @property
    def state(self) -> CredentialState:
        """Tell whether it was revoked."""
        return CredentialState.ACTIVE if self.revoked_at is None else CredentialState.REVOKED


@dataclass(frozen=True, slots=True)
class Presented:
    """A presented certificate with everything that decides what it is worth."""

    credential: Credential
    holder: Holder
    agency: Agency


def spiffe_id(trust_domain: str, holder: Holder) -> str:
    """Return the only name that counts in a certificate of `holder`: its URI SAN."""
    return f"spiffe://{trust_domain}/department/{holder.agency}/{holder.kind}/{holder.id}"


def require_valid(presented: Presented | None, now: datetime) -> Presented:
    """Check the certificate itself, in the order of the design's reason codes; return it.

    Raises:
        CertificateInvalid: unknown, or `now` lies outside its dates.
        CertificateRevoked: it was revoked.
    """
    if presented is None:
        raise CertificateInvalid("The certificate is not one that the platform issued.")
    credential = presented.credential
    if not credential.not_before <= now <= credential.not_after:
        raise CertificateInvalid("The certificate is not valid at this time.")
    if credential.revoked_at is not None:
        raise CertificateRevoked("The certificate was revoked.")
    return presented


def require_active(holder: Holder, agency: Agency) -> None:
    """Check that `holder` may act.

    Raises:
        AgencySuspended, CallerSuspended: it or its agency is suspended.
    """
    if agency.state is Standing.SUSPENDED:
        raise AgencySuspended(f"{agency.name} is suspended.")
    if holder.state is Standing.SUSPENDED:
        raise CallerSuspended(f"{holder.name} is suspended.")


def require_client(presented: Presented, client_id: str) -> None:
    """Check that `client_id` is the holder's (RFC 8705 section 2.1.2).

    Raises:
        ClientMismatch: it is not.
    """
    if client_id != presented.credential.holder:
        raise ClientMismatch(
            "The client_id is not the holder of this certificate.", pointer="/client_id"
        )


def revoked(credential: Credential, now: datetime) -> Credential:
    """Return `credential` revoked: the next version, or the same object when it was before."""
    if credential.revoked_at is not None:
        return credential
    return replace(credential, revoked_at=now, version=credential.version + 1)


class CsrInvalid(DomainError):
    """The certificate signing request cannot be accepted."""

    kind: ClassVar = Kind.INVALID
    code: ClassVar = "csr-invalid"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, pointer="/csr")
