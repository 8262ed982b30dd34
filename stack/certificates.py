"""The stack's internal CA and what it issues: one identity per part, one server for outsiders.

Beside it, CAs of departments that run services of their own on the same machine.
Not the departments' CA, which only identity holds. Everything is P-256 and made to pass
`VERIFY_X509_STRICT` (RFC 5280: key identifiers, key usage, critical basic constraints). Each start
renews the certificates; the CA stays, because clients of the gateway have pinned it.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stack.secrets import write_secret

TRUST_DOMAIN = "datong.local"
CA_NAME = "Datong stack internal CA"
LIFE = timedelta(days=365)
CA_LIFE = timedelta(days=3650)
# Clocks of one machine agree; the margin is for a clock that is set back a little.
MARGIN = timedelta(minutes=5)
LOOPBACK: tuple[x509.GeneralName, ...] = (
    x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
    x509.DNSName("localhost"),
)
BOTH = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Pair:
    """Files of one identity: PEM certificate and its PEM key (0600)."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Certificates:
    """What `issue` wrote: the CA that all trust, a pair per part, and the gateway's outward one."""

    ca: Path
    parts: dict[str, Pair]
    server: Pair


def issue(directory: Path, parts: Sequence[str], now: datetime) -> Certificates:
    """Write new certificates of all parts to `directory` (0700), and a CA if there is none.

    Args:
        directory: `ca.pem` and `ca.key` in it are kept until too little of their life is left.
        parts: part names, each becoming the URI SAN `spiffe://datong.local/<part>`.
        now: aware time; certificates are valid for a year from it.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = directory / "ca.pem"
    authority = _Authority.of(ca, directory / "ca.key", now)
    pairs = {
        part: _write(
            authority, directory, part, [x509.UniformResourceIdentifier(spiffe(part)), *LOOPBACK]
        )
        for part in parts
    }
    # Owners' services know the gateway, who is then the client, by the same certificate.
    server = _write(authority, directory, "gateway-server", LOOPBACK)
    return Certificates(ca=ca, parts=pairs, server=server)


def issue_own(directory: Path, name: str, now: datetime) -> tuple[Path, Pair]:
    """Write a server certificate for loopback under a CA that belongs to nobody else.

    Args:
        directory: as in `issue`; `ca.pem` in it is what callers of the server trust.
        name: of the server, and of the files.

    Returns:
        The CA's certificate, and the server's with its key.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ca = directory / "ca.pem"
    authority = _Authority.of(ca, directory / "ca.key", now, f"CA of {name}")
    return ca, _write(authority, directory, name, LOOPBACK)


def spiffe(part: str) -> str:
    """Return the identity of `part` as a SPIFFE id."""
    return f"spiffe://{TRUST_DOMAIN}/{part}"


class _Authority:
    def __init__(
        self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, now: datetime
    ) -> None:
        self._key = key
        self._now = now
        self.certificate = certificate

    @classmethod
    def of(
        cls, certificate_file: Path, key_file: Path, now: datetime, name: str = CA_NAME
    ) -> "_Authority":
        """Take the CA of these files, or make a new one and write it to them."""
        if certificate_file.exists() and key_file.exists():
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = serialization.load_pem_private_key(key_file.read_bytes(), None)
            lasts = certificate.not_valid_after_utc > now + 2 * LIFE
            if lasts and isinstance(key, ec.EllipticCurvePrivateKey):
                return cls(key, certificate, now)
        made = cls._new(now, name)
        write_secret(key_file, _pem(made._key))  # noqa: SLF001 - its own class
        certificate_file.write_bytes(made.certificate.public_bytes(serialization.Encoding.PEM))
        return made

    @classmethod
    def _new(cls, now: datetime, name: str) -> "_Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = (
            _builder(subject, key.public_key(), subject, key.public_key(), now, CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate, now)

    def certify(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        alternatives: Sequence[x509.GeneralName],
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            _builder(
                subject, key, self.certificate.subject, self._key.public_key(), self._now, LIFE
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(BOTH), critical=False)
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .sign(self._key, hashes.SHA256())
        )


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - MARGIN)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(identifier, critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write(
    authority: _Authority,
    directory: Path,
    name: str,
    alternatives: Sequence[x509.GeneralName],
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = authority.certify(name, key.public_key(), alternatives)
    pair = Pair(certificate=directory / f"{name}.pem", key=directory / f"{name}.key")
    pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    write_secret(pair.key, _pem(key))
    return pair


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
