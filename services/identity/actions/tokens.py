"""Access tokens (RFC 9068) for holders of certificates (RFC 8705)."""

from dataclasses import dataclass
from datetime import datetime

from kit.db import Tx
from kit.ids import uuid7
from kit.problems import ServiceUnavailable
from kit.tokens import thumbprint
from services.identity.clients.authority import Authority
from services.identity.domain.credentials import (
    TOKEN_SECONDS,
    require_active,
    require_client,
    require_valid,
)
from services.identity.store import credentials


@dataclass(frozen=True, slots=True)
class Terms:
    """What all tokens of this platform say: who issues them, and for whom."""

    issuer: str
    audience: str


async def issue_token(
    tx: Tx,
    authority: Authority,
    certificate: bytes,
    client_id: str,
    terms: Terms,
    now: datetime,
) -> str:
    """Return a token of 600 seconds, bound to `certificate` (DER). Costs one statement.

    Raises:
        CertificateInvalid, CertificateRevoked, ClientMismatch, AgencySuspended, CallerSuspended:
            as they say, in this order.
        ServiceUnavailable: no key signs tokens.
    """
    bound = thumbprint(certificate)
    found = await credentials.present(tx, bound)
    presented = require_valid(found[0] if found else None, now)
    require_client(presented, client_id)
    require_active(presented.holder, presented.agency)
    kid = found[1] if found else None
    if kid is None:
        raise ServiceUnavailable("No key signs tokens.")
    issued = int(now.timestamp())
    return authority.signing_key(kid).sign(
        {
            "iss": terms.issuer,
            "aud": terms.audience,
            "sub": presented.credential.subject,
            "client_id": client_id,
            "jti": uuid7(),
            "iat": issued,
            "exp": issued + TOKEN_SECONDS,
            "cnf": {"x5t#S256": bound},
        }
    )
