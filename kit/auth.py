"""Who may call a route: `allow(...)` in its signature, checked before anything else.

Services take callers from the gateway only, and check the token again. Deny by default: a
contract test walks all routes and fails on one without `allow`, `public` or `certificate_only`.
"""

import binascii
from base64 import b64decode
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from fastapi import Request

from kit.clock import Clock
from kit.directory import Agency, Directory, Holder
from kit.errors import DomainError, Kind
from kit.problems import NotThroughGateway, RoleMissing
from kit.tokens import (
    Claims,
    TokenRefused,
    VerifiedTokens,
    Verifier,
    VerifyingKey,
    require_bound,
    thumbprint,
)

GATEWAY: Final = "gateway"
ROLES: Final = (
    "registrar",
    "reviewer",
    "sharing_office_head",
    "resource_administrator",
    "technical_officer",
    "security_officer",
    "agency_head",
    "competent_officer",
    "platform_operator",
    "auditor",
)


class CertificateMissing(DomainError):
    """The gateway passed no client certificate on."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "certificate-missing"


class CertificateInvalid(DomainError):
    """The client certificate is not one that the platform issued, or not valid now."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "certificate-invalid"


class CertificateRevoked(DomainError):
    """The client certificate was revoked."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "certificate-revoked"


class TokenMissing(DomainError):
    """No bearer token."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "token-missing"


class TokenInvalid(DomainError):
    """The token cannot be accepted."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "token-invalid"


class TokenNotBound(DomainError):
    """The token was issued to another certificate."""

    kind: ClassVar = Kind.UNAUTHENTICATED
    code: ClassVar = "token-not-bound"


class CallerSuspended(DomainError):
    """The calling person or system is suspended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "caller-suspended"


class AgencySuspended(DomainError):
    """The caller's agency is suspended."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "agency-suspended"


class PermissionUnreadable(DomainError):
    """A state that decides about the caller cannot be read."""

    kind: ClassVar = Kind.UNAVAILABLE
    code: ClassVar = "permission-unreadable"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as identity knows them now, not as a token remembers them.

    Attributes:
        kind: `person` or `system`.
        id, name: of the person or system.
        agency: their agency.
        roles: of a person; empty for a system.
        thumbprint: of the certificate of this call.
        certificate: DER.
        call: id of the call.
    """

    kind: str
    id: str
    name: str
    agency: Agency
    roles: frozenset[str]
    thumbprint: str
    certificate: bytes
    call: str

    @property
    def subject(self) -> str:
        """Return `person/<id>` or `system/<id>`."""
        return f"{self.kind}/{self.id}"

    def holds(self, *roles: str) -> bool:
        """Tell whether the caller holds one of `roles`."""
        return not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Rule:
    """What a route asks of its caller; read by the contract tests.

    Attributes:
        access: `caller`, `certificate` or `public`.
        roles: one of these a person must hold.
        person: any person may call.
        system: systems may call.
    """

    access: str
    roles: frozenset[str] = frozenset()
    person: bool = False
    system: bool = False

    def admits(self, caller: Caller) -> bool:
        """Tell whether `caller` is of a kind, and holds a role, that may call."""
        if caller.kind == "system":
            return self.system
        return self.person or caller.holds(*self.roles)


class Identities(Protocol):
    """Where a service looks callers up: its `Directory`, or identity's own database."""

    async def token_keys(self) -> dict[str, VerifyingKey]:
        """Return the keys that sign tokens, by `kid`."""
        ...

    async def state_of(self, subject: str, thumbprint: str) -> tuple[Holder, Agency]:
        """Return the holder named `subject` and its agency as they are now.

        Raises:
            CertificateInvalid, CertificateRevoked: of the certificate with `thumbprint`.
            PermissionUnreadable: a state that decides cannot be read.
        """
        ...


class DirectoryIdentities:
    """`Identities` from a copy of identity's state topics."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory

    async def token_keys(self) -> dict[str, VerifyingKey]:
        """Return the keys that sign tokens, by `kid`."""
        return self._directory.token_keys

    async def state_of(self, subject: str, thumbprint: str) -> tuple[Holder, Agency]:
        """Return holder and agency; see `Identities.state_of`."""
        credential = self._directory.credentials.get(thumbprint)
        holder = self._directory.holders.get(subject)
        if credential is None or holder is None or credential.subject != subject:
            raise CertificateInvalid("The certificate is not one that the platform issued.")
        if not self._directory.is_usable(holder, thumbprint):
            raise PermissionUnreadable("A state that decides about the caller cannot be read.")
        if not credential.active:
            raise CertificateRevoked("The certificate was revoked.")
        agency = self._directory.agencies.get(holder.agency)
        if agency is None:  # it comes by a topic of its own, and may come later
            raise PermissionUnreadable("The caller's agency has not been read yet.")
        return holder, agency


class Access:
    """Checks callers of one service.

    Args:
        identities: where to look them up.
        verifier: rules for tokens.
        clock: tells when a token has expired.
        peers: parts that may call; the gateway.
    """

    def __init__(
        self,
        identities: Identities,
        verifier: Verifier,
        clock: Clock,
        peers: frozenset[str] = frozenset({GATEWAY}),
    ) -> None:
        self._identities = identities
        self._tokens = VerifiedTokens(verifier)
        self._clock = clock
        self._peers = peers

    def require_peer(self, request: Request) -> None:
        """Check that the TLS peer is a part that may call.

        Raises:
            NotThroughGateway: any other peer, or none.
        """
        tls: dict[str, Any] = request.scope.get("extensions", {}).get("tls", {})
        if tls.get("datong_peer") not in self._peers:
            raise NotThroughGateway("Services take callers from the gateway only.")

    async def caller(self, request: Request) -> Caller:
        """Return the caller of `request`.

        Raises:
            DomainError: each check has its own; in the order of the design's reason codes.
        """
        self.require_peer(request)
        certificate = certificate_of(request)
        presented = thumbprint(certificate)
        claims = await self._claims(request)
        try:
            require_bound(claims, presented)
        except TokenRefused as error:
            raise TokenNotBound(str(error)) from error
        holder, agency = await self._identities.state_of(claims.subject, presented)
        if not agency.active:
            raise AgencySuspended(f"{agency.name} is suspended.")
        if not holder.active:
            raise CallerSuspended(f"{holder.name} is suspended.")
        return Caller(
            holder.kind,
            holder.id,
            holder.name,
            agency,
            holder.roles,
            presented,
            certificate,
            call_of(request),
        )

    async def _claims(self, request: Request) -> Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise TokenMissing("Send the access token in the Authorization header.")
        keys = await self._identities.token_keys()
        try:
            return self._tokens.verify(token, keys, int(self._clock.now().timestamp()))
        except TokenRefused as error:
            raise TokenInvalid(str(error)) from error


def certificate_of(request: Request) -> bytes:
    """Return the client certificate (DER) that the gateway verified and passed on.

    Raises:
        CertificateMissing: none, or not base64.
    """
    try:
        certificate = b64decode(request.headers["datong-internal-certificate"], validate=True)
    except (KeyError, binascii.Error) as error:
        raise CertificateMissing("The call came without a client certificate.") from error
    return certificate


def call_of(request: Request) -> str:
    """Return the id of the call; the gateway always sends one."""
    return request.headers.get("datong-call", "")


class Allowed:
    """A dependency that lets callers through by its `rule` and returns the `Caller`."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    async def __call__(self, request: Request) -> Caller:
        """Return the caller.

        Raises:
            DomainError: of `Access.caller`, or `RoleMissing`.
        """
        access: Access = request.app.state.access
        caller = await access.caller(request)
        if not self.rule.admits(caller):
            raise RoleMissing(
                _who_may(self.rule),
                facts={
                    "needed_roles": sorted(self.rule.roles),
                    "roles": sorted(caller.roles),
                    "kind": caller.kind,
                },
            )
        return caller


class CertificateOnly:
    """A dependency that returns the client certificate (DER) of the call."""

    rule = Rule("certificate")

    async def __call__(self, request: Request) -> bytes:
        """Return the certificate.

        Raises:
            NotThroughGateway, CertificateMissing: as their names say.
        """
        request.app.state.access.require_peer(request)
        return certificate_of(request)


class Public:
    """A dependency for routes that ask nothing of the connection but the gateway."""

    rule = Rule("public")

    async def __call__(self, request: Request) -> None:
        """Check the peer.

        Raises:
            NotThroughGateway: it is not the gateway.
        """
        request.app.state.access.require_peer(request)


def allow(*roles: str, person: bool = False, system: bool = False) -> Allowed:
    """Return the dependency of a route for callers: `Annotated[Caller, Depends(allow("auditor"))]`.

    Args:
        roles: a person who holds one of them may call.
        person: any person may call.
        system: systems may call.

    Raises:
        ValueError: an unknown role, or nobody at all.
    """
    unknown = set(roles).difference(ROLES)
    if unknown or not (roles or person or system):
        raise ValueError(f"allow(...) names nobody or unknown roles: {sorted(unknown)}")
    return Allowed(Rule("caller", frozenset(roles), person, system))


def _who_may(rule: Rule) -> str:
    if rule.person:
        return "People call this route, systems do not."
    if not rule.roles:
        return "Systems call this route, people do not."
    roles = ", ".join(sorted(rule.roles))
    return f"This is done by people with one of the roles {roles}" + (
        ", or by systems." if rule.system else "."
    )
