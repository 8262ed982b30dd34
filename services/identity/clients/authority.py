"""The departments' CA and the token keys: private keys in files, one folder, nowhere else.

The only module that signs certificates. Everything is P-256 and made to pass
`VERIFY_X509_STRICT` (RFC 5280): key identifiers, key usage, critical basic constraints.
"""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kit.problems import ServiceUnavailable
from kit.tokens import SigningKey, thumbprint
from services.identity.clients.files import read_private, write_private
from services.identity.domain.credentials import BACKDATING, LIFE, Credential, spiffe_id
from services.identity.domain.subjects import Holder

CA_LIFE: Final = timedelta(days=3650)
CRL_LIFE: Final = timedelta(days=7)
CRL_AGE: Final = timedelta(hours=1)
"""How long one signed CRL is given out while nothing is revoked."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    der: bytes
    pem: str


class Authority:
    """Issues certificates and CRLs, and hands out the keys that sign tokens.

    Files are read when first needed, so that one can be made before the CA exists.

    Args:
        directory: `ca.pem`, `ca.key` and `token-<kid>.key`, each of mode 0600.
        trust_domain: of the URI SANs.
    """

    def __init__(self, directory: Path, trust_domain: str) -> None:
        self._directory = directory
        self._trust_domain = trust_domain
        self._ca: _Loaded | None = None
        self._signing: dict[str, SigningKey] = {}
        self._crl: tuple[tuple[int, datetime | None], datetime, bytes] | None = None

    def exists(self) -> bool:
        """Tell whether there is a CA."""
        return (self._directory / "ca.pem").exists() and (self._directory / "ca.key").exists()

    def create(self, now: datetime) -> None:
        """Make the CA unless there is one; a bootstrap that broke off left it perhaps."""
        if self.exists():
            return
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Datong departments CA")])
        public = key.public_key()
        certificate = (
            _builder(name, public, name, public)
            .serial_number(_serial())
            .not_valid_before(now - BACKDATING)
            .not_valid_after(now + CA_LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(key, SHA256())
        )
        # The certificate comes last: with it, the CA exists.
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(self._directory / "ca.key", pem)
        write_private(self._directory / "ca.pem", certificate.public_bytes(Encoding.PEM))

    @property
    def pem(self) -> str:
        """The CA's certificate in PEM."""
        return self._loaded().pem

    @property
    def digest(self) -> bytes:
        """SHA-256 of the CA's certificate (DER), which one-time codes pin."""
        return sha256(self._loaded().der).digest()

    @property
    def kid(self) -> str:
        """The CA's id among the published keys: its `x5t#S256`."""
        return thumbprint(self._loaded().der)

    def certify(
        self, holder: Holder, key: ec.EllipticCurvePublicKey, now: datetime
    ) -> tuple[Credential, str]:
        """Issue a certificate of 90 days; return what is kept of it, and its PEM.

        The name that counts is the URI SAN. The subject only helps people who read it.
        """
        ca = self._loaded()
        start = now.replace(microsecond=0)
        not_before, serial = start - BACKDATING, _serial()
        not_after = min(start + LIFE, ca.certificate.not_valid_after_utc)
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, holder.agency),
                x509.NameAttribute(NameOID.COMMON_NAME, holder.id),
            ]
        )
        name = x509.UniformResourceIdentifier(spiffe_id(self._trust_domain, holder))
        certificate = (
            _builder(subject, key, ca.certificate.subject, ca.key.public_key())
            .serial_number(serial)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName([name]), critical=False)
            .sign(ca.key, SHA256())
        )
        credential = Credential(
            thumbprint=thumbprint(certificate.public_bytes(Encoding.DER)),
            kind=holder.kind,
            holder=holder.id,
            agency=holder.agency,
            serial=f"{serial:032x}",
            not_before=not_before,
            not_after=not_after,
        )
        return credential, certificate.public_bytes(Encoding.PEM).decode()

    def known_crl(self, mark: tuple[int, datetime | None], now: datetime) -> bytes | None:
        """Return the last CRL (DER) if it is for the same revocations and fresh, else None."""
        if self._crl is None or self._crl[0] != mark or now - self._crl[1] >= CRL_AGE:
            return None
        return self._crl[2]

    def sign_crl(
        self, revoked: list[Credential], mark: tuple[int, datetime | None], now: datetime
    ) -> bytes:
        """Sign a CRL (DER) of `revoked`, good for 7 days (RFC 5280 section 5).

        Args:
            mark: changes whenever the list does; see `known_crl`.
        """
        ca = self._loaded()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(ca.certificate.subject)
            .last_update(now)
            .next_update(now + CRL_LIFE)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.key.public_key()),
                critical=False,
            )
            # Milliseconds never go back and need no counter; section 5.2.3 asks for no more.
            .add_extension(x509.CRLNumber(int(now.timestamp() * 1000)), critical=False)
        )
        for credential in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(credential.serial, 16))
                .revocation_date(credential.revoked_at or now)
                .build()
            )
        crl = builder.sign(ca.key, SHA256()).public_bytes(Encoding.DER)
        self._crl = (mark, now, crl)
        return crl

    def new_signing_key(self) -> SigningKey:
        """Make a token key and keep it in its file."""
        key = SigningKey.generate()
        write_private(self._file_of(key.kid), key.to_pem())
        return key

    def signing_key(self, kid: str) -> SigningKey:
        """Return the token key `kid`.

        Raises:
            OSError: its file cannot be read.
        """
        key = self._signing.get(kid)
        if key is None:
            key = self._signing[kid] = SigningKey.from_pem(read_private(self._file_of(kid)))
        return key

    def forget_signing_key(self, kid: str) -> None:
        """Delete the private key of a retired token key."""
        self._signing.pop(kid, None)
        self._file_of(kid).unlink(missing_ok=True)

    def _file_of(self, kid: str) -> Path:
        return self._directory / f"token-{kid}.key"

    def _loaded(self) -> _Loaded:
        if self._ca is None:
            if not self.exists():
                raise ServiceUnavailable("The departments' CA does not exist yet.")
            certificate = x509.load_pem_x509_certificate((self._directory / "ca.pem").read_bytes())
            key = load_pem_private_key(read_private(self._directory / "ca.key"), None)
            if not isinstance(key, ec.EllipticCurvePrivateKey):
                raise ValueError("the CA's key is not a P-256 key")
            if key.public_key() != certificate.public_key():
                raise ValueError("the CA's key does not belong to its certificate")
            der = certificate.public_bytes(Encoding.DER)
            pem = certificate.public_bytes(Encoding.PEM).decode()
            self._ca = _Loaded(key, certificate, der, pem)
        return self._ca


def _serial() -> int:
    """Return a serial of 128 random bits, never zero (RFC 5280 section 4.1.2.2)."""
    return int.from_bytes(os.urandom(16), "big") or 1


def _builder(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePublicKey,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
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
