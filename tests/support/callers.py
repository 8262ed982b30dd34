"""Callers for tests of services: real certificates and tokens, and a client that is the gateway.

Nothing is faked but the transport: requests reach the application over ASGI with the scope that
the mTLS listener makes for the peer `gateway`.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kit.clock import rfc3339
from kit.directory import Directory
from kit.ids import uuid7
from kit.states import StateEvent
from kit.tokens import SigningKey, thumbprint

ISSUER = "https://identity.datong.example"
AUDIENCE = "https://datong.example"


@dataclass(frozen=True)
class TestCaller:
    """A person or system with a certificate and the means to get tokens."""

    __test__ = False

    kind: str
    id: str
    agency: str
    certificate: bytes
    thumbprint: str

    @property
    def subject(self) -> str:
        """`person/<id>` or `system/<id>`."""
        return f"{self.kind}/{self.id}"


class Identities:
    """A small town: agencies, people and systems in a `Directory`, and a token key.

    States enter the directory as the events that identity publishes, so that tests use the same
    path as a running service.
    """

    def __init__(self) -> None:
        self.directory = Directory()
        self.key = SigningKey.generate()
        self._versions: dict[str, int] = {}
        self._put(
            "identity.key.v1",
            f"key/{self.key.kid}",
            {"kid": self.key.kid, "use": "token", "jwk": self.key.jwk, "state": "active"},
            ["state"],
        )

    def agency(self, agency_id: str, *, state: str = "active", competent: str | None = None) -> str:
        """Add or change an agency; return its id."""
        data = {
            "id": agency_id,
            "name": f"Agency {agency_id}",
            "level": "city",
            "area_code": "330100",
            "line": None,
            "competent": competent,
            "state": state,
        }
        self._put("identity.agency.v1", f"agency/{agency_id}", data, ["state"])
        return agency_id

    def person(self, agency: str, *roles: str) -> TestCaller:
        """Add a person with `roles` and a certificate."""
        return self._caller("person", agency, roles=list(roles))

    def system(self, agency: str) -> TestCaller:
        """Add a system with a certificate."""
        return self._caller("system", agency)

    def set_state(self, caller: TestCaller, state: str, *roles: str) -> None:
        """Suspend or resume a caller; for people also sets the roles."""
        data = {"id": caller.id, "agency": caller.agency, "name": caller.id, "state": state}
        critical = ["state"]
        if caller.kind == "person":
            data["roles"] = list(roles)  # type: ignore[assignment]
            critical = ["roles", "state"]
        self._put(f"identity.{caller.kind}.v1", caller.subject, data, critical)

    def revoke(self, caller: TestCaller) -> None:
        """Revoke a caller's certificate."""
        self._credential(caller, "revoked")

    def token(self, caller: TestCaller, **changed: Any) -> str:
        """Return an access token of `caller`; `changed` replaces claims."""
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": caller.subject,
            "client_id": caller.id,
            "jti": uuid7(),
            "iat": now,
            "exp": now + 600,
            "cnf": {"x5t#S256": caller.thumbprint},
        }
        return self.key.sign(claims | changed)

    def headers(self, caller: TestCaller, **more: str) -> dict[str, str]:
        """Return the headers with which the gateway passes a call of `caller` on."""
        return {
            "Authorization": f"Bearer {self.token(caller)}",
            "Datong-Internal-Certificate": b64encode(caller.certificate).decode(),
            "Datong-Call": uuid7(),
            **more,
        }

    def _caller(self, kind: str, agency: str, *, roles: list[str] | None = None) -> TestCaller:
        if agency not in self.directory.agencies:
            self.agency(agency)
        certificate = self_signed(kind)
        caller = TestCaller(kind, uuid7(), agency, certificate, thumbprint(certificate))
        self._credential(caller, "active")
        self.set_state(caller, "active", *(roles or ()))
        return caller

    def _credential(self, caller: TestCaller, state: str) -> None:
        now = datetime.now(UTC)
        data = {
            "thumbprint": caller.thumbprint,
            "kind": caller.kind,
            "holder": caller.id,
            "agency": caller.agency,
            "serial": "1",
            "not_before": rfc3339(now - timedelta(minutes=5)),
            "not_after": rfc3339(now + timedelta(days=90)),
            "state": state,
        }
        subject = f"credential/{caller.thumbprint}"
        self._put("identity.credential.v1", subject, data, ["state", "not_after"])

    def _put(self, topic: str, subject: str, data: Mapping[str, Any], critical: list[str]) -> None:
        version = self._versions[subject] = self._versions.get(subject, 0) + 1
        full = {**data, "critical": critical}
        self.directory.apply(StateEvent(topic, subject, 1, version, full, frozenset(critical)))


def self_signed(name: str) -> bytes:
    """Return a new P-256 certificate (DER); services trust the gateway's check of its issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=90))
        .sign(key, SHA256())
        .public_bytes(Encoding.DER)
    )


def gateway_client(app: Any, *, peer: str | None = "gateway") -> httpx.AsyncClient:
    """Return a client whose requests reach `app` as from the TLS peer `peer`."""

    async def as_peer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "extensions": {"tls": {"datong_peer": peer}}}
        await app(scope, receive, send)

    # Unhandled errors must come back as the 500 that a caller would see.
    transport = httpx.ASGITransport(app=as_peer, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="https://service.test")
