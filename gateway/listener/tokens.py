"""Verified access tokens are remembered: a signature is checked once, everything else always."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final, NamedTuple

from gateway.domain import Claims, TokenProblem
from kit.tokens import TokenRefused, Verifier, VerifyingKey

CAPACITY: Final = 10_000


class Checked(NamedTuple):
    """What is known of the token of a call: its claims, or why it has none."""

    claims: Claims | None
    problem: TokenProblem | None = None
    detail: str | None = None
    kid: str | None = None


MISSING: Final = Checked(None, "token-missing")


class VerifiedTokens:
    """A memory of verified tokens by their SHA-256; the one unused for longest is forgotten.

    Expiry, binding and revocation are not remembered: `decide` checks them at every call. A token
    whose key has been retired since is verified anew, and refused.

    Args:
        keys: returns the keys that sign tokens now, by `kid`.
    """

    def __init__(
        self,
        verifier: Verifier,
        keys: Callable[[], Mapping[str, VerifyingKey]],
        capacity: int = CAPACITY,
    ) -> None:
        self._verifier = verifier
        self._keys = keys
        self._capacity = capacity
        self._known: OrderedDict[bytes, Checked] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def check(self, authorization: bytes | None, now: float) -> Checked:
        """Return what is known of the token in an Authorization header.

        Args:
            now: epoch seconds.
        """
        if authorization is None or authorization[:7].lower() != b"bearer ":
            return MISSING
        key = sha256(authorization).digest()
        known = self._known.get(key)
        if known is not None and self.stands(known):
            self.hits += 1
            self._known.move_to_end(key)
            return known
        self.misses += 1
        checked = self._verify(authorization[7:], now)
        if checked.claims is not None:
            if len(self._known) >= self._capacity:
                self._known.popitem(last=False)
            self._known[key] = checked
        return checked

    def stands(self, checked: Checked) -> bool:
        """Tell whether the key that signed a token seen before is still in use."""
        return checked.kid in self._keys()

    def _verify(self, token: bytes, now: float) -> Checked:
        try:
            claims = self._verifier.verify(token.decode("latin-1"), self._keys(), int(now))
        except TokenRefused as error:
            return Checked(None, "token-invalid", str(error))
        return Checked(
            Claims(claims.subject, claims.token, float(claims.expires_at), claims.thumbprint),
            kid=claims.kid,
        )
