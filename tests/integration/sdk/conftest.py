"""A gateway's double over real TLS: the network is what the SDK does not own."""

import asyncio
import datetime
import functools
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from datong import enrolment
from datong.identity import Identity

NOW = datetime.datetime.now(datetime.UTC)


@dataclass(eq=False)
class Authority:
    """A CA of the test."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def _builder(self, name: str, key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - datetime.timedelta(minutes=5))
            .not_valid_after(NOW + datetime.timedelta(days=90))
        )

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        builder = self._builder(self.name, self.key.public_key()).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        builder = builder.add_extension(usage, critical=True)
        return builder.add_extension(identifier, critical=False).sign(self.key, hashes.SHA256())

    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, key: Any) -> x509.Certificate:
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = self._builder(name, key).add_extension(names, critical=False)
        return builder.add_extension(authority, critical=False).sign(self.key, hashes.SHA256())

    def issue_pem(self, name: str, key: Any) -> str:
        return self.issue(name, key).public_bytes(serialization.Encoding.PEM).decode()


@dataclass(frozen=True)
class Received:
    """One call as the double got it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Sent:
    """One answer of the double; `cut` leaves that many bytes of the body out and hangs up."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0

    def bytes(self) -> bytes:
        head = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(self.body)}"]
        head += [f"{name}: {value}" for name, value in self.headers.items()]
        text = "\r\n".join(head) + "\r\n\r\n"
        return text.encode() + self.body[: len(self.body) - self.cut]


Handler = Callable[[Received], Awaitable[Sent | None]]


def answer(value: Any = None, *, status: int = 200, **headers: str) -> Sent:
    """A JSON answer; header names with underscores for hyphens."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    kind = "application/problem+json" if status >= 400 else "application/json"
    return Sent(status, json.dumps(value or {}).encode(), {"Content-Type": kind, **named})


@dataclass
class Double:
    """Answers by operation path; a handler that returns None hangs up without an answer."""

    handlers: dict[str, Handler] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    hangs_up_at_once: bool = False

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def on(self, path: str, *answers: Sent | None) -> None:
        """Give the answers in turn; the last one again and again."""
        left = list(answers)

        async def handler(_: Received) -> Sent | None:
            return left.pop(0) if len(left) > 1 else left[0]

        self.handlers[path] = handler

    def of(self, path: str) -> list[Received]:
        return [received for received in self.received if received.path.split("?")[0] == path]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not self.hangs_up_at_once:
                received = await self._read(reader, number)
                self.received.append(received)
                sent = await self.handlers[received.path.split("?")[0]](received)
                if sent is None:
                    break
                writer.write(sent.bytes())
                await writer.drain()
                if sent.cut:
                    break
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass  # the client hung up
        finally:
            writer.close()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, number: int) -> Received:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:-2])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Received(method, path, headers, body, number)


@dataclass(frozen=True)
class Place:
    """Certificates and files of one test."""

    folder: Path
    departments: Authority
    servers: Authority

    @property
    def server_ca(self) -> Path:
        return self.folder / "server-ca.pem"

    def tls(self, *, require: bool = False) -> ssl.SSLContext:
        key = enrolment.NewKey.generate()
        chain = self.folder / "server.pem"
        pem = self.servers.issue_pem("localhost", key.key.public_key())
        chain.write_bytes(key.pem() + pem.encode())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(chain)
        context.load_verify_locations(cadata=self.departments.pem().decode())
        context.verify_mode = ssl.CERT_REQUIRED if require else ssl.CERT_OPTIONAL
        return context

    def identity(
        self, double: Double, *, authority: Authority | None = None, name: str = "system"
    ) -> Identity:
        issuer = authority or self.departments
        key = enrolment.NewKey.generate()
        certificate = issuer.issue(name, key.key.public_key())
        issued = enrolment.Issued(
            certificate,
            certificate.public_bytes(serialization.Encoding.PEM),
            issuer.pem(),
            {"kind": "system", "id": name, "agency": "health", "not_after": "2027-02-22T00:00:00Z"},
        )
        return enrolment.keep(
            self.folder / name, issued, key, gateway=double.address, server_ca=self.server_ca
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A folder with two CAs: one for departments, another for servers."""
    place = Place(tmp_path, Authority("departments"), Authority("servers"))
    place.server_ca.write_bytes(place.servers.pem())
    return place


@pytest.fixture
async def double(place: Place) -> AsyncIterator[Double]:
    """A running double with a token endpoint."""
    async for running in _run(place.tls()):
        yield running


@pytest.fixture
async def strict_double(place: Place) -> AsyncIterator[Double]:
    """A double that ends the handshake without a certificate of the departments' CA."""
    async for running in _run(place.tls(require=True)):
        yield running


async def _run(tls: ssl.SSLContext) -> AsyncIterator[Double]:
    running = Double()
    running.on(
        "/identity/v1/token",
        answer({"access_token": "a.b.c", "token_type": "Bearer", "expires_in": 600}),
    )
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0, ssl=tls)
    running.port = server.sockets[0].getsockname()[1]
    async with server:
        yield running


@pytest.fixture
def answering() -> Callable[..., Sent]:
    """Builder of JSON answers."""
    return answer


@pytest.fixture
def sending() -> type[Sent]:
    """Builder of raw answers."""
    return Sent
