"""Tokens and thumbprints agree with tests/vectors/x5t.json, refusals included."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kit.tokens import (
    SigningKey,
    TokenRefused,
    VerifiedTokens,
    Verifier,
    VerifyingKey,
    jwk_thumbprint,
    require_bound,
    thumbprint,
)

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "x5t.json").read_text("utf-8"))
PROFILE = VECTORS["profile"]
KEYS = {key["kid"]: VerifyingKey(key) for key in VECTORS["jwks"]["keys"]}
NOW = PROFILE["now"]


def _der(pem: str) -> bytes:
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)


CERTIFICATES = {each["id"]: _der(each["pem"]) for each in VECTORS["certificates"]}


def _verifier() -> Verifier:
    return Verifier(PROFILE["issuer"], PROFILE["audience"], PROFILE["leeway_seconds"])


def _accept(token: str, presented: str | None) -> None:
    """Verify as a service does: no certificate, no call; then the token; then the binding."""
    if presented is None:
        raise TokenRefused("no certificate")
    claims = _verifier().verify(token, KEYS, NOW)
    require_bound(claims, thumbprint(CERTIFICATES[presented]))


@pytest.mark.parametrize(
    "case", VECTORS["tokens"], ids=lambda case: f"{case['group']}: {case['name']}"
)
def test_a_token_gets_its_verdict(case: dict[str, Any]) -> None:
    if case["expect"] == "accept":
        _accept(case["token"], case["presented_cert"])
    else:
        with pytest.raises(TokenRefused):
            _accept(case["token"], case["presented_cert"])


@pytest.mark.parametrize("case", VECTORS["certificates"], ids=lambda case: str(case["id"]))
def test_a_thumbprint_is_that_of_the_der_bytes(case: dict[str, Any]) -> None:
    found = thumbprint(_der(case["pem"]))

    assert found == case["x5t#S256"]
    # One of the listed mistakes may give the same text when it has no character that differs.
    assert found not in {v for k, v in case["wrong"].items() if k != "standard_base64"}


@pytest.mark.parametrize("case", VECTORS["pem_forms"], ids=lambda case: str(case["name"]))
def test_the_form_of_the_pem_does_not_matter(case: dict[str, Any]) -> None:
    assert thumbprint(_der(case["pem"])) == case["x5t#S256"]


@pytest.mark.parametrize("case", VECTORS["jwk_thumbprints"], ids=lambda case: str(case["name"]))
def test_a_key_has_its_rfc_7638_thumbprint(case: dict[str, Any]) -> None:
    assert jwk_thumbprint(case["jwk"]) == case["thumbprint"]


def _claims(**changed: Any) -> dict[str, Any]:
    return {
        "iss": PROFILE["issuer"],
        "aud": PROFILE["audience"],
        "sub": "system/1",
        "jti": "1",
        "iat": NOW,
        "exp": NOW + 600,
        "cnf": {"x5t#S256": "x"},
    } | changed


def test_our_own_tokens_are_accepted_also_with_a_key_read_from_a_file() -> None:
    key = SigningKey.from_pem(SigningKey.generate().to_pem())

    claims = _verifier().verify(key.sign(_claims()), {key.kid: VerifyingKey(key.jwk)}, NOW)

    assert (claims.subject, claims.token, claims.kid) == ("system/1", "1", key.kid)


def test_a_key_of_another_kind_is_never_used() -> None:
    for kind in ({"kty": "oct", "k": "AAAA"}, {"kty": "EC", "crv": "P-384"}):
        with pytest.raises(ValueError, match="P-256"):
            VerifyingKey(kind)


class _Counting(VerifyingKey):
    """A key that counts how often a signature was computed."""

    computed = 0

    def verify(self, message: bytes, signature: bytes) -> bool:
        self.computed += 1
        return super().verify(message, signature)


class TestVerifiedTokens:
    """What may change is checked each time; what may not is computed once."""

    key = SigningKey.generate()
    token = key.sign(_claims())

    def test_a_signature_is_computed_once(self) -> None:
        counting = _Counting(self.key.jwk)
        tokens = VerifiedTokens(_verifier())

        first = tokens.verify(self.token, {self.key.kid: counting}, NOW)

        assert tokens.verify(self.token, {self.key.kid: counting}, NOW + 1) == first
        assert counting.computed == 1

    def test_a_token_that_expired_since_is_refused(self) -> None:
        keys = {self.key.kid: VerifyingKey(self.key.jwk)}
        tokens = VerifiedTokens(_verifier())
        tokens.verify(self.token, keys, NOW)

        with pytest.raises(TokenRefused, match="expired"):
            tokens.verify(self.token, keys, NOW + 600)

    def test_a_token_whose_key_was_retired_since_is_refused(self) -> None:
        tokens = VerifiedTokens(_verifier())
        tokens.verify(self.token, {self.key.kid: VerifyingKey(self.key.jwk)}, NOW)

        with pytest.raises(TokenRefused, match="key"):
            tokens.verify(self.token, {}, NOW)

    def test_a_refused_token_is_not_kept(self) -> None:
        tokens = VerifiedTokens(_verifier())
        for _ in range(2):
            with pytest.raises(TokenRefused):
                tokens.verify(
                    self.token[:-4] + "AAAA", {self.key.kid: VerifyingKey(self.key.jwk)}, NOW
                )

    def test_the_least_recently_used_token_is_forgotten(self) -> None:
        counting = _Counting(self.key.jwk)
        keys = {self.key.kid: counting}
        tokens = VerifiedTokens(_verifier(), size=2)
        one, two, three = (self.key.sign(_claims(jti=str(n))) for n in range(3))

        for token in (one, two, one, three, one, two):
            tokens.verify(token, keys, NOW)

        assert counting.computed == 4  # `two` was forgotten for `three`, `one` was not


def test_skew_is_forgiven_both_ways_but_no_further() -> None:
    key = SigningKey.generate()
    keys = {key.kid: VerifyingKey(key.jwk)}
    verifier = Verifier(PROFILE["issuer"], PROFILE["audience"], leeway=60)
    at = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp())
    token = key.sign(_claims(iat=at, exp=at + 600))

    for now in (at - 60, at + 659):
        verifier.verify(token, keys, now)
    for now in (at - 61, at + 660):
        with pytest.raises(TokenRefused):
            verifier.verify(token, keys, now)
