"""Verified tokens are remembered, and only what cannot change is."""

import time

from gateway.listener import VerifiedTokens
from kit.tokens import SigningKey, Verifier, VerifyingKey

NOW = int(time.time())


class Issuer:
    def __init__(self) -> None:
        self.key = SigningKey.generate()
        self.keys = {self.key.kid: VerifyingKey(self.key.jwk)}

    def header(self, token_id: str = "t1", **changed: object) -> bytes:
        claims = {
            "iss": "i",
            "aud": "a",
            "sub": "system/s",
            "jti": token_id,
            "iat": NOW,
            "exp": NOW + 600,
            "cnf": {"x5t#S256": "thumb"},
        }
        return b"Bearer " + self.key.sign(claims | changed).encode()

    def tokens(self, capacity: int = 100) -> VerifiedTokens:
        return VerifiedTokens(Verifier("i", "a"), lambda: self.keys, capacity)


def test_a_token_is_verified_once() -> None:
    issuer = Issuer()
    tokens, header = issuer.tokens(), issuer.header()
    first = tokens.check(header, NOW)
    assert first.claims is not None
    assert first.claims.sub == "system/s"
    assert tokens.check(header, NOW) is first
    assert (tokens.hits, tokens.misses) == (1, 1)


def test_a_token_that_was_refused_is_not_remembered() -> None:
    issuer = Issuer()
    tokens, header = issuer.tokens(), issuer.header(iss="somebody")
    for _ in range(2):
        assert tokens.check(header, NOW).problem == "token-invalid"
    assert tokens.misses == 2


def test_a_missing_or_foreign_scheme_is_a_missing_token() -> None:
    tokens = Issuer().tokens()
    assert tokens.check(None, NOW).problem == "token-missing"
    assert tokens.check(b"Basic abc", NOW).problem == "token-missing"


def test_a_token_of_a_retired_key_is_not_accepted_from_memory() -> None:
    issuer = Issuer()
    tokens, header = issuer.tokens(), issuer.header()
    remembered = tokens.check(header, NOW)
    assert tokens.stands(remembered)
    issuer.keys.clear()
    assert not tokens.stands(remembered)
    assert tokens.check(header, NOW).problem == "token-invalid"


def test_the_token_unused_for_longest_is_forgotten() -> None:
    issuer = Issuer()
    tokens = issuer.tokens(capacity=2)
    a, b, c = (issuer.header(name) for name in "abc")
    for header in (a, b, a, c, a):
        tokens.check(header, NOW)
    misses = tokens.misses
    tokens.check(b, NOW)
    assert tokens.misses == misses + 1
