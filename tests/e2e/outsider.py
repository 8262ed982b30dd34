"""Somebody outside who sends whatever bytes, certificates and tokens they like to a gateway."""

import base64
import hmac
import json
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import NameOID

from datong.calls import new_call_id
from stack.demo.entries import DIVISIONS, PURPOSE
from tests.support.load_connection import Connection, Reply
from tests.support.town import TestTown

QUERY = f"/data/v1/{DIVISIONS}/query"
GOOD_QUERY = b'{"key":{"code":"33"}}'


@dataclass
class Ledger:
    """What was refused: `recorded` by evidence id, `counted` where no record was named."""

    recorded: dict[str, str] = field(default_factory=dict)
    counted: Counter[str] = field(default_factory=Counter)


@dataclass
class Outsider:
    """The town, seen from the network."""

    town: TestTown
    ledger: Ledger = field(default_factory=Ledger)
    _tokens: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return self.town.stack.address("gateway")

    async def token(self, name: str = "consumer") -> str:
        """Return somebody's own good token."""
        if name not in self._tokens:
            token = await self.town.client(name).fetch_token()
            assert token is not None
            self._tokens[name] = token
        return self._tokens[name]

    def tls(self, name: str | None = "consumer", pem: Path | None = None) -> ssl.SSLContext:
        """Return a context that presents somebody's certificate, a PEM file's, or none."""
        context = ssl.create_default_context(cafile=self.town.stack.certificates.ca)
        if pem is not None:
            context.load_cert_chain(pem)
        elif name is not None:
            identity = self.town.identity(name)
            context.load_cert_chain(identity.certificate_file, identity.key_file)
        return context

    async def send(
        self, data: bytes, *, name: str | None = "consumer", pem: Path | None = None
    ) -> Reply:
        """Send bytes over a connection of their own, and return the first answer."""
        connection = await Connection.open(self.address, self.tls(name, pem))
        try:
            return await connection.call(data, 20)
        finally:
            connection.close()
            await connection.closed

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        name: str | None = "consumer",
        pem: Path | None = None,
        token: str | None = "",
        **headers: str | None,
    ) -> Reply:
        """Make a call that is well formed but for what is given.

        Args:
            token: their own by default; None: no Authorization at all.
            headers: with `_` for `-`; None leaves a default out.
        """
        call = new_call_id()
        fields: dict[str, str | None] = {
            "Host": self.address,
            "Content-Length": str(len(body)) if body or method != "GET" else None,
            "Content-Type": "application/json" if body else None,
            "Datong-Purpose": PURPOSE if path.startswith("/data/") else None,
            "Datong-Call": call,
        }
        if token == "" and name is not None:
            token = await self.token(name)
        if token:
            fields["Authorization"] = f"Bearer {token}"
        fields |= {key.replace("_", "-"): value for key, value in headers.items()}
        lines = [f"{key}: {value}\r\n" for key, value in fields.items() if value is not None]
        head = f"{method} {path} HTTP/1.1\r\n{''.join(lines)}\r\n"
        reply = await self.send(head.encode("utf-8") + body, name=name, pem=pem)
        assert reply.headers["datong-call"] == call
        return reply

    def refused(
        self, reply: Reply, status: int, code: str, pointer: str | None = None
    ) -> dict[str, Any]:
        """Check that an answer is a refusal that explains itself; note it in the ledger."""
        problem: dict[str, Any] = json.loads(reply.body)
        assert (reply.status, problem["code"]) == (status, code), problem
        assert reply.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["call"] == reply.headers["datong-call"]
        for member in ("type", "title", "detail", "next_step", "who"):
            assert problem[member], f"the refusal has no {member}"
        if pointer is not None:
            assert pointer in [error["pointer"] for error in problem["errors"]], problem
        if "datong-evidence" in reply.headers:
            self.ledger.recorded[reply.headers["datong-evidence"]] = code
        else:
            self.ledger.counted[code] += 1
        return problem

    # ---- forging ----

    @property
    def _authority(self) -> Path:
        return self.town.stack.directory / "authority"

    def forge_certificate(self, folder: Path, *, days: float) -> Path:
        """Have the departments' CA sign a certificate that identity knows nothing of."""
        authority = x509.load_pem_x509_certificate((self._authority / "ca.pem").read_bytes())
        signer = serialization.load_pem_private_key((self._authority / "ca.key").read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)
        return _write_certificate(folder, authority.subject, signer, days)

    def foreign_certificate(self, folder: Path) -> Path:
        """Make a certificate of a CA that nobody knows."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "another CA")])
        return _write_certificate(folder, name, ec.generate_private_key(ec.SECP256R1()), 30)

    async def forge_token(
        self,
        *,
        header: dict[str, Any] | None = None,
        claims: dict[str, Any] | None = None,
        by: str = "platform",
    ) -> str:
        """Make a token from a good one.

        Args:
            header, claims: what is changed; None as a value removes a member.
            by: whose signature: `platform` (its own key, stolen), `stranger`, `none`, or
                `pem`, `jwk`: HMAC with the public key in that form as the secret.
        """
        good = (await self.token()).split(".")
        kid = _decoded(good[0])["kid"]
        pem = (self._authority / f"token-{kid}.key").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        message = ".".join(
            _encoded(_changed(_decoded(part), change))
            for part, change in zip(good, (header, claims), strict=False)
        )
        if by == "stranger":
            key = ec.generate_private_key(ec.SECP256R1())
        return f"{message}.{_base64url(_signature(key, message.encode(), by))}"


def _changed(members: dict[str, Any], change: dict[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (members | (change or {})).items() if value is not None}


def _decoded(part: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return value


def _encoded(members: dict[str, Any]) -> str:
    return _base64url(json.dumps(members, sort_keys=True, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _signature(key: ec.EllipticCurvePrivateKey, message: bytes, by: str) -> bytes:
    public = key.public_key()
    if by == "none":
        return b""
    if by == "pem":
        secret = public.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return hmac.digest(secret, message, sha256)
    if by == "jwk":
        numbers = public.public_numbers()
        members = {"crv": "P-256", "kty": "EC"} | {
            name: _base64url(value.to_bytes(32, "big"))
            for name, value in (("x", numbers.x), ("y", numbers.y))
        }
        return hmac.digest(json.dumps(members).encode(), message, sha256)
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def _write_certificate(
    folder: Path, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey, days: float
) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(signer, hashes.SHA256())
    )
    file = folder / f"forged-{time.monotonic_ns()}.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return file
