"""People and systems with real keys and certificates, who call identity as through the gateway."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import asyncpg
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from kit.clock import FixedClock
from kit.db import Db
from kit.ids import uuid7
from kit.tokens import thumbprint
from services.identity.actions.tokens import Terms
from services.identity.app import build
from services.identity.clients.authority import Authority
from tests.support.callers import AUDIENCE, ISSUER, gateway_client

TRUST_DOMAIN = "datong.test"
BASE = "/identity/v1"


def csr_of(key: Any) -> str:
    """Return a certificate request (PEM) for `key`; its subject claims to be somebody else."""
    name = x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, "the minister")])
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = builder.sign(
        key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    )
    return signed.public_bytes(Encoding.PEM).decode()


def new_csr() -> str:
    """Return a request with a new P-256 key."""
    return csr_of(ec.generate_private_key(ec.SECP256R1()))


@dataclass(frozen=True)
class Enrolled:
    """Who enrolled: what the answer said, and the certificate as DER."""

    kind: str
    id: str
    agency: str
    certificate: bytes

    @property
    def subject(self) -> str:
        return f"{self.kind}/{self.id}"

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    def presenting(self) -> dict[str, str]:
        """Headers of a call on a connection with this certificate."""
        return {
            "Datong-Internal-Certificate": b64encode(self.certificate).decode(),
            "Datong-Call": uuid7(),
        }


@dataclass(frozen=True)
class Seed:
    """A bootstrapped database with its authority, and the first two people."""

    url: str
    authority: Path
    operator: Enrolled
    officer: Enrolled


class Town:
    """One application on a bootstrapped database, its clock, and a client that is the gateway."""

    def __init__(self, url: str, authority: Path) -> None:
        self.clock = FixedClock(datetime.now(UTC))
        self.url = url
        self.db = Db(url, "identity")
        self.authority = Authority(authority, TRUST_DOMAIN)
        self.app = build(self.db, self.authority, Terms(ISSUER, AUDIENCE), self.clock)
        self.client = gateway_client(self.app)
        self.operator: Enrolled
        self.officer: Enrolled
        self._tokens: dict[str, str] = {}

    async def enrol(self, code: str) -> Enrolled:
        """Exchange a code for a certificate."""
        answer = await self.client.post(f"{BASE}/enrolments", json={"code": code, "csr": new_csr()})
        assert answer.status_code == 201, answer.text
        return enrolled(answer.json())

    async def ask_token(self, who: Enrolled, client_id: str | None = None) -> httpx.Response:
        """Ask for a token with the certificate of `who`."""
        return await self.client.post(
            f"{BASE}/token",
            data={"grant_type": "client_credentials", "client_id": client_id or who.id},
            headers=who.presenting(),
        )

    async def headers(self, who: Enrolled) -> dict[str, str]:
        """Return the headers of an authorised call; the token is got once."""
        if who.thumbprint not in self._tokens:
            answer = await self.ask_token(who)
            assert answer.status_code == 200, answer.text
            self._tokens[who.thumbprint] = answer.json()["access_token"]
        bearer = {"Authorization": f"Bearer {self._tokens[who.thumbprint]}"}
        return who.presenting() | bearer

    async def call(
        self, who: Enrolled, method: str, path: str, *, headers: Any = None, **more: Any
    ) -> httpx.Response:
        """Call as `who`."""
        all_headers = await self.headers(who) | (headers or {})
        return await self.client.request(method, BASE + path, headers=all_headers, **more)

    async def agency(self, **changed: Any) -> Enrolled:
        """Create an agency; return its security officer."""
        answer = await self.call(self.operator, "POST", "/agencies", json=an_agency(**changed))
        assert answer.status_code == 201, answer.text
        return await self.enrol(answer.json()["security_officer"]["code"])

    async def person(self, officer: Enrolled, *roles: str) -> Enrolled:
        """Register and enrol a person of the officer's agency."""
        body = {"name": "王芳", "roles": list(roles)}
        answer = await self.call(officer, "POST", "/people", json=body)
        assert answer.status_code == 201, answer.text
        return await self.enrol(answer.json()["code"])

    async def system(self, officer: Enrolled) -> Enrolled:
        """Register and enrol a system of the officer's agency."""
        answer = await self.call(officer, "POST", "/systems", json={"name": "出生医学证明系统"})
        assert answer.status_code == 201, answer.text
        return await self.enrol(answer.json()["code"])

    async def facts(self, subject: str) -> list[dict[str, Any]]:
        """Return the facts about a subject, in order."""
        return [e for e in await self.outbox(subject) if "actor" in e]

    async def states(self, subject: str) -> list[dict[str, Any]]:
        """Return the states of a subject, in order."""
        return [e for e in await self.outbox(subject) if "version" in e]

    async def outbox(self, subject: str) -> list[dict[str, Any]]:
        """Return the events about a subject, in order."""
        rows = await self.sql("SELECT envelope FROM outbox WHERE key = $1 ORDER BY id", subject)
        return [httpx.Response(200, content=row["envelope"]).json() for row in rows]

    async def sql(self, statement: str, *values: Any) -> list[asyncpg.Record]:
        """Ask the database directly."""
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(statement, *values))
        finally:
            await connection.close()

    async def close(self) -> None:
        await self.client.aclose()
        await self.db.dispose()


@asynccontextmanager
async def relay_stand_in(url: str) -> AsyncIterator[None]:
    """Acknowledge every outbox row at once, as a relay with a quick bus does."""
    connection = await asyncpg.connect(url)

    async def acknowledge() -> None:
        while True:
            await connection.execute(
                "UPDATE outbox SET published_at = now() WHERE published_at IS NULL"
            )
            await asyncio.sleep(0.005)

    task = asyncio.get_running_loop().create_task(acknowledge())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await connection.close()


def an_agency(**changed: Any) -> dict[str, Any]:
    """Return the body of a valid agency with a new id."""
    return {
        "id": f"agency-{token_hex(4)}",
        "name": "市民政局",
        "level": "city",
        "area_code": "330100",
        "security_officer": {"name": "李强"},
    } | changed


def enrolled(answer: dict[str, Any]) -> Enrolled:
    """Read an answer of enrolment or renewal."""
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    der = certificate.public_bytes(Encoding.DER)
    return Enrolled(answer["kind"], answer["id"], answer["agency"], der)


def environment(url: str, authority: Path, folder: Path) -> dict[str, str]:
    """Return the settings of identity's processes; the TLS files need not exist for commands."""
    url_file = folder / "postgres.url"
    url_file.write_text(url, encoding="utf-8")
    return {
        "DATONG_ENVIRONMENT": "development",
        "DATONG_TRUST_DOMAIN": TRUST_DOMAIN,
        "DATONG_TLS_CERTIFICATE_FILE": str(folder / "identity.pem"),
        "DATONG_TLS_KEY_FILE": str(folder / "identity.key"),
        "DATONG_TLS_CA_FILE": str(folder / "ca.pem"),
        "DATONG_KAFKA": "127.0.0.1:1",
        "DATONG_ISSUER": ISSUER,
        "DATONG_AUDIENCE": AUDIENCE,
        "DATONG_POSTGRES_URL_FILE": str(url_file),
        "DATONG_AUTHORITY_DIRECTORY": str(authority),
    }
