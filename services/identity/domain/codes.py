"""One-time codes: `dt1.<secret>.<SHA-256 of the departments' CA>`.

Both parts are 32 bytes in unpadded base64url. The second pins the CA on the first connection. Only
the SHA-256 of the secret is kept.
"""

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import ClassVar, Final

from kit.errors import DomainError, Kind

LIFE: Final = timedelta(hours=24)
_CODE: Final = re.compile(r"dt1\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")


class CodeInvalid(DomainError):
    """The code is not one that the platform gave out. The detail never says more."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "code-invalid"

    def __init__(self) -> None:
        super().__init__("The code is not one that the platform gave out.", pointer="/code")


class CodeUsed(DomainError):
    """The code was used before."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "code-used"


class CodeExpired(DomainError):
    """The code is older than 24 hours, or a newer one was issued."""

    kind: ClassVar = Kind.FORBIDDEN
    code: ClassVar = "code-expired"


@dataclass(frozen=True, slots=True)
class OneTimeCode:
    """What is kept of a code.

    Attributes:
        digest: hex SHA-256 of the 32 bytes of the secret.
        kind, holder: who may enrol with it: `person` or `system`, and its id.
        expires_at: exclusive.
        used_at: when a certificate was issued for it.
    """

    digest: str
    kind: str
    holder: str
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class NewCode:
    """A code that was just made; `text` is shown once and kept nowhere."""

    text: str = field(repr=False)
    kept: OneTimeCode


def new_code(kind: str, holder: str, authority: bytes, now: datetime) -> NewCode:
    """Return a new code for `holder`, valid for 24 hours.

    Args:
        authority: SHA-256 of the departments' CA (DER).
    """
    secret = secrets.token_bytes(32)
    text = f"dt1.{_base64url(secret)}.{_base64url(authority)}"
    return NewCode(text, OneTimeCode(sha256(secret).hexdigest(), kind, holder, now + LIFE))


def digest_of(text: str, authority: bytes) -> str:
    """Return the digest under which the code `text` is kept.

    Raises:
        CodeInvalid: another shape, or it pins another CA.
    """
    found = _CODE.fullmatch(text)
    if found is None:
        raise CodeInvalid
    secret, pinned = (urlsafe_b64decode(part + "=") for part in found.groups())
    # Stray bits in the last character would give one code several spellings.
    canonical = (_base64url(secret), _base64url(pinned)) == found.groups()
    if not (hmac.compare_digest(pinned, authority) and canonical):
        raise CodeInvalid
    return sha256(secret).hexdigest()


def refusal_of(code: OneTimeCode, now: datetime) -> CodeUsed | CodeExpired | None:
    """Return why `code` cannot be used at `now`, or None.

    Returned and not raised: who knows a dead code's secret is worth a fact for the auditor.
    """
    if code.used_at is not None:
        return CodeUsed("A certificate was issued for this code before.", pointer="/code")
    if now >= code.expires_at:
        return CodeExpired("The code has expired or was replaced.", pointer="/code")
    return None


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
