"""Who calls in the benchmark, and the bus on which its permissions are published."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.gateway.states import Caller
from kit.canonical import canonical
from kit.events import BEAT_KEY, State, beat, envelope
from kit.ids import uuid7
from kit.tokens import SigningKey, thumbprint
from kit.topics import TOPICS, TopicKind
from stack.supervisor.plan import AUDIENCE, ISSUER

BEATING: Final = [t.name for t in TOPICS.values() if t.kind is TopicKind.STATE]


@dataclass(frozen=True)
class World:
    """Files and texts that callers and proxies need."""

    directory: Path
    client_ca: Path
    client_certificate: Path
    client_key: Path
    signing_key: SigningKey
    subject: str
    thumbprint: str
    caller: Caller

    def token(self) -> str:
        """Return a token of ten minutes, bound to the client certificate."""
        now = int(datetime.now(UTC).timestamp())
        return self.signing_key.sign(
            {
                "iss": ISSUER,
                "aud": AUDIENCE,
                "sub": self.subject,
                "client_id": self.subject.split("/")[1],
                "jti": uuid7(),
                "iat": now,
                "exp": now + 600,
                "cnf": {"x5t#S256": self.thumbprint},
            }
        )


def make_world(directory: Path) -> World:
    """Make a departments' CA, and one system with a certificate."""
    directory.mkdir(parents=True, exist_ok=True)
    ca_key, ca = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    system = uuid7()
    name = f"spiffe://datong.local/department/health/system/{system}"
    certificate = _issue(ca_key, ca, key, name)
    der = certificate.public_bytes(serialization.Encoding.DER)
    pem = ca.public_bytes(serialization.Encoding.PEM)
    files = {
        "client-ca.pem": pem,
        "client.pem": certificate.public_bytes(serialization.Encoding.PEM),
        "client.key": key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    }
    for file, content in files.items():
        (directory / file).write_bytes(content)
    signing = SigningKey.generate()
    print_of_client = thumbprint(der)
    caller = Caller(
        system,
        print_of_client,
        f"{certificate.serial_number:032x}",
        signing.kid,
        signing.jwk,
        pem.decode(),
    )
    return World(
        directory,
        directory / "client-ca.pem",
        directory / "client.pem",
        directory / "client.key",
        signing,
        f"system/{system}",
        print_of_client,
        caller,
    )


@contextlib.asynccontextmanager
async def published(states: Iterable[State], bootstrap: str) -> AsyncIterator[None]:
    """Publish states, then beat once a second on every state topic while the block runs."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=0)
    await producer.start()
    beating: asyncio.Task[None] | None = None
    try:
        for state in states:
            body: Mapping[str, Any] = envelope(
                state,
                source="/" + TOPICS[state.topic].writer,
                event_id=uuid7(),
                at=datetime.now(UTC),
            )
            await producer.send(
                state.topic, canonical({**body, "incarnation": 1}), state.subject.encode()
            )
        await producer.flush()
        beating = asyncio.create_task(_beat(producer))
        yield
    finally:
        if beating is not None:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
        await producer.stop()


async def _beat(producer: AIOKafkaProducer) -> None:
    while True:
        for topic in BEATING:
            value = beat(
                source="/" + TOPICS[topic].writer,
                event_id=uuid7(),
                at=datetime.now(UTC),
                database="up",
            )
            await producer.send(topic, value, BEAT_KEY.encode())
        await producer.flush()
        await asyncio.sleep(1)


def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "departments (bench)")])
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _issue(
    ca_key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    key: ec.EllipticCurvePrivateKey,
    uri: str,
) -> x509.Certificate:
    now = datetime.now(UTC)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
