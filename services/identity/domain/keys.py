"""Public keys of identity: token keys in rotation, and the departments' CA."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, Final

from kit.errors import DomainError, Kind

OVERLAP: Final = timedelta(seconds=600 + 60)
"""How long a replaced token key is still needed: a token's life and the forgiven skew."""


class Use(StrEnum):
    """What a key is for."""

    TOKEN = "token"  # noqa: S105 - a word of the contract
    CLIENT_CA = "client_ca"


class Stage(StrEnum):
    """Where a key is in its life. `next` is published long before it signs."""

    NEXT = "next"
    CURRENT = "current"
    PREVIOUS = "previous"
    RETIRED = "retired"


class AlreadyBootstrapped(DomainError):
    """The platform has people already."""

    kind: ClassVar = Kind.CONFLICT
    code: ClassVar = "already-bootstrapped"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A published key.

    Attributes:
        kid: RFC 7638 thumbprint of a token key; `x5t#S256` of a CA.
        material: the JWK of a token key; `{"certificate": PEM}` of a CA.
        retire_at: of a `previous` key: when no valid token can be by it any more.
    """

    kid: str
    use: Use
    material: dict[str, Any]
    stage: Stage
    retire_at: datetime | None = None
    version: int = 1

    @property
    def state(self) -> str:
        """Return `active` or `retired`, as readers see it."""
        return "retired" if self.stage is Stage.RETIRED else "active"


def rotated(keys: list[PublicKey], fresh: PublicKey, now: datetime) -> list[PublicKey]:
    """Return the token keys that change when `fresh` becomes the next one.

    The next becomes current, the current previous. The stage is identity's own business: readers
    see only new and retired keys.
    """
    following = {Stage.NEXT: Stage.CURRENT, Stage.CURRENT: Stage.PREVIOUS}
    changed = [fresh]
    for key in keys:
        stage = following.get(key.stage)
        if stage is not None:
            retire_at = now + OVERLAP if stage is Stage.PREVIOUS else None
            changed.append(replace(key, stage=stage, retire_at=retire_at, version=key.version + 1))
    return changed


def retired(keys: list[PublicKey], now: datetime) -> list[PublicKey]:
    """Return, retired, the previous keys whose tokens have all expired at `now`."""
    return [
        replace(key, stage=Stage.RETIRED, version=key.version + 1)
        for key in keys
        if key.stage is Stage.PREVIOUS and key.retire_at is not None and key.retire_at <= now
    ]
