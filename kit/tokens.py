"""Access tokens (RFC 9068) bound to a client certificate (RFC 8705), signed with ES256.

The only module that touches `jose`, which by itself accepts forged tokens: here the algorithm
is pinned, the key is chosen by `kid` and built once, and everything that the library would let
pass is refused before it sees the token.
"""

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jose import jwk

from kit.canonical import NotStrictJson, canonical, strict_loads

MAX_TOKEN: Final = 8192
MAX_LIFETIME: Final = 600
_REFUSED_HEADERS: Final = frozenset({"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip"})
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class TokenRefused(Exception):
    """The token cannot be accepted. The text says why, without repeating the token."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What an accepted token says.

    Attributes:
        subject: `system/<id>` or `person/<id>`.
        token: the token's own id (`jti`).
        issued_at, expires_at: seconds since 1970, UTC.
        thumbprint: `x5t#S256` of the certificate that the token is bound to.
        kid: the key that signed it.
    """

    subject: str
    token: str
    issued_at: int
    expires_at: int
    thumbprint: str
    kid: str


def base64url(data: bytes) -> str:
    """Return `data` in base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def thumbprint(certificate: bytes) -> str:
    """Return `x5t#S256` (RFC 8705 section 3.1) of a DER certificate: 43 characters."""
    return base64url(sha256(certificate).digest())


def jwk_thumbprint(key: Mapping[str, Any]) -> str:
    """Return the RFC 7638 thumbprint of an EC or RSA public key in JWK form."""
    names = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
    return base64url(sha256(canonical({n: key[n] for n in names[key["kty"]]})).digest())


class VerifyingKey:
    """A public ES256 key, parsed once.

    Args:
        key: the JWK: `kty` EC, `crv` P-256, `x`, `y`; `alg`, when present, must be ES256.

    Raises:
        ValueError: any other key.
    """

    def __init__(self, key: Mapping[str, Any]) -> None:
        kind = (key.get("kty"), key.get("crv"), key.get("alg", "ES256"))
        if kind != ("EC", "P-256", "ES256"):
            raise ValueError("only P-256 keys for ES256 are used")
        self.kid = str(key.get("kid") or jwk_thumbprint(key))
        self._key = jwk.construct(dict(key), "ES256")

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether `signature` (r ‖ s, 64 bytes) of `message` is by this key."""
        return bool(self._key.verify(message, signature))


class SigningKey:
    """A private ES256 key of the token issuer."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        numbers = private.public_key().public_numbers()
        public = {
            "kty": "EC",
            "crv": "P-256",
            "x": base64url(numbers.x.to_bytes(32, "big")),
            "y": base64url(numbers.y.to_bytes(32, "big")),
        }
        self.kid = jwk_thumbprint(public)
        self.jwk: dict[str, str] = public | {"kid": self.kid, "alg": "ES256", "use": "sig"}
        self._private = private
        self._key = jwk.construct(self._pem().decode(), "ES256")

    @classmethod
    def generate(cls) -> "SigningKey":
        """Return a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> "SigningKey":
        """Read an unencrypted PEM key.

        Raises:
            ValueError: not a P-256 key.
        """
        key = load_pem_private_key(pem, password=None)
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
            raise ValueError("the token key is not a P-256 key")
        return cls(key)

    def to_pem(self) -> bytes:
        """Return the key as unencrypted PKCS#8 PEM, for a file of mode 0600."""
        return self._pem()

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return the compact token with `typ: at+jwt` and our `kid` (RFC 9068 section 2.1)."""
        header = {"alg": "ES256", "kid": self.kid, "typ": "at+jwt"}
        message = f"{base64url(canonical(header))}.{base64url(canonical(dict(claims)))}"
        return f"{message}.{base64url(self._key.sign(message.encode()))}"

    def _pem(self) -> bytes:
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@dataclass(frozen=True, slots=True)
class Verifier:
    """The rules by which tokens are accepted; pure apart from the signature's arithmetic.

    Attributes:
        issuer, audience: compared exactly.
        leeway: seconds of clock skew that are forgiven, both ways.
    """

    issuer: str
    audience: str
    leeway: int = 60

    def verify(self, token: str, keys: Mapping[str, VerifyingKey], now: int) -> Claims:
        """Return the claims of `token`.

        Args:
            token: compact form, at most 8192 characters.
            keys: by `kid`; exactly one is tried.
            now: seconds since 1970, UTC.

        Raises:
            TokenRefused: for every other token. The certificate binding is *not* checked here:
                use `require_bound` on every call.
        """
        if len(token) > MAX_TOKEN:
            raise TokenRefused("The token is longer than 8192 characters.")
        parts = token.split(".")
        if len(parts) != 3:
            raise TokenRefused("The token does not have three parts.")
        header = _json_part(parts[0], "header")
        key = self._key(header, keys)
        payload = _json_part(parts[1], "payload")
        signature = _decode(parts[2], "signature")
        _require_signature(key, f"{parts[0]}.{parts[1]}".encode(), signature)
        return self._claims(payload, now, key.kid)

    def require_running(self, claims: Claims, now: int) -> None:
        """Check that a token that was verified before has not expired since.

        Raises:
            TokenRefused: it has.
        """
        if claims.expires_at <= now - self.leeway:
            raise TokenRefused("The token has expired.")

    @staticmethod
    def _key(header: Mapping[str, Any], keys: Mapping[str, VerifyingKey]) -> VerifyingKey:
        if header.get("alg") != "ES256":
            raise TokenRefused("The token's algorithm is not ES256.")
        if header.get("typ") != "at+jwt":
            raise TokenRefused("The token's type is not at+jwt.")
        refused = _REFUSED_HEADERS.intersection(header)
        if refused:
            raise TokenRefused(f"The token's header names {sorted(refused)[0]}.")
        kid = header.get("kid")
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            raise TokenRefused("The token is signed with a key that the platform does not use.")
        return key

    def _claims(self, payload: Mapping[str, Any], now: int, kid: str) -> Claims:
        if payload.get("iss") != self.issuer:
            raise TokenRefused("The token was issued by somebody else.")
        if payload.get("aud") != self.audience:
            raise TokenRefused("The token is meant for somebody else.")
        issued, expires = _seconds(payload, "iat"), _seconds(payload, "exp")
        not_before = _seconds(payload, "nbf") if "nbf" in payload else issued
        if expires <= now - self.leeway:
            raise TokenRefused("The token has expired.")
        if max(issued, not_before) > now + self.leeway:
            raise TokenRefused("The token is not valid yet.")
        if expires - issued > MAX_LIFETIME:
            raise TokenRefused("The token lives longer than 600 seconds.")
        confirmation = payload.get("cnf")
        bound = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
        if not isinstance(bound, str) or not bound:
            raise TokenRefused("The token is not bound to a certificate.")
        return Claims(_text(payload, "sub"), _text(payload, "jti"), issued, expires, bound, kid)


class VerifiedTokens:
    """Tokens that a verifier accepted before, least recently used forgotten first.

    A signature costs more than all else of a small call, and a caller sends one token for ten
    minutes. What may change since is checked each time: the time, and whether the key is still
    in use. The binding to a certificate is checked by `require_bound`, as ever.

    Args:
        verifier: accepts tokens seen for the first time; refused ones are not kept.
        size: greatest number of tokens kept.
    """

    def __init__(self, verifier: Verifier, size: int = 10_000) -> None:
        self._verifier = verifier
        self._size = size
        self._kept: OrderedDict[str, Claims] = OrderedDict()

    def verify(self, token: str, keys: Mapping[str, VerifyingKey], now: int) -> Claims:
        """Return the claims of `token`; see `Verifier.verify`.

        Raises:
            TokenRefused: as there.
        """
        claims = self._kept.get(token)
        if claims is not None and claims.kid in keys:
            self._verifier.require_running(claims, now)
            self._kept.move_to_end(token)
            return claims
        self._kept.pop(token, None)
        claims = self._verifier.verify(token, keys, now)
        self._kept[token] = claims
        if len(self._kept) > self._size:
            self._kept.popitem(last=False)
        return claims


def require_bound(claims: Claims, presented: str) -> None:
    """Check that the token was issued to the certificate with thumbprint `presented`.

    Raises:
        TokenRefused: they differ. The text names neither thumbprint.
    """
    if not hmac.compare_digest(claims.thumbprint.encode(), presented.encode()):
        raise TokenRefused("The token was issued to another certificate.")


def _decode(part: str, name: str) -> bytes:
    """Decode canonical base64url: no padding, no foreign characters, no stray bits."""
    try:
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise TokenRefused(f"The token's {name} is not base64url.") from error
    if base64url(data) != part:
        raise TokenRefused(f"The token's {name} is not in canonical base64url.")
    return data


def _json_part(part: str, name: str) -> dict[str, Any]:
    try:
        value = strict_loads(_decode(part, name), max_bytes=MAX_TOKEN)
    except NotStrictJson as error:
        raise TokenRefused(f"The token's {name} is not strict JSON.") from error
    if not isinstance(value, dict):
        raise TokenRefused(f"The token's {name} is not a JSON object.")
    return value


def _require_signature(key: VerifyingKey, message: bytes, signature: bytes) -> None:
    if len(signature) != 64:
        raise TokenRefused("The token's signature does not have 64 bytes.")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    if not (0 < r < _ORDER and 0 < s < _ORDER) or not key.verify(message, signature):
        raise TokenRefused("The token's signature is wrong.")


def _seconds(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TokenRefused(f"The token's {name} is missing or not an integer.")
    return value


def _text(payload: Mapping[str, Any], name: str) -> str:
    value = payload.get(name)
    if not isinstance(value, str) or not value:
        raise TokenRefused(f"The token's {name} is missing.")
    return value
