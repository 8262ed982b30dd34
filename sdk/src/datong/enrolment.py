"""One-time codes, keys and signing requests; and what is checked before anything is kept."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from datong import identity
from datong.calls import CallLog
from datong.client.asynchronous import AsyncClient
from datong.errors import InputInvalid, ProofFailed

_CODE = re.compile(r"dt1\.([A-Za-z0-9_-]{43})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class OneTimeCode:
    """`dt1.<secret>.<SHA-256 of the CA>`, both base64url of 32 bytes.

    The secret never appears in `repr`, errors or logs.
    """

    text: str = field(repr=False)
    ca_sha256: bytes

    @classmethod
    def find(cls, text: str) -> OneTimeCode:
        """Read the one code in a text, such as the JSON answer that issued it.

        Raises:
            InputInvalid: none or several.
        """
        found = {match[0] for match in _CODE.finditer(text)}
        return cls.parse(found.pop() if len(found) == 1 else text)

    @classmethod
    def parse(cls, text: str) -> OneTimeCode:
        """Read a code as it was handed over.

        Raises:
            InputInvalid: the shape is another.
        """
        found = _CODE.fullmatch(text.strip())
        if found is None:
            raise InputInvalid(
                "This is not a one-time code: it reads dt1.<43 characters>.<43 characters>.",
                next_step="Copy the whole code, or ask your agency's security officer for another.",
            )
        return cls(text.strip(), base64.urlsafe_b64decode(found[2] + "="))


@dataclass(frozen=True)
class NewKey:
    """A private key that has no certificate yet."""

    key: ec.EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> NewKey:
        """A new P-256 key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    def csr(self) -> str:
        """A signing request (PEM); its subject is ignored, the platform fills in its own."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "datong")])
        request = x509.CertificateSigningRequestBuilder().subject_name(name)
        signed = request.sign(self.key, hashes.SHA256())
        return signed.public_bytes(serialization.Encoding.PEM).decode()

    def pem(self) -> bytes:
        """The private key in PKCS #8, unencrypted: the file's mode protects it."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


@dataclass(frozen=True)
class Issued:
    """What enrolment or renewal answered, checked."""

    certificate: x509.Certificate
    certificate_pem: bytes
    ca_pem: bytes
    about: dict[str, Any]


def check_issued(answer: dict[str, Any], key: NewKey, ca_sha256: bytes) -> Issued:
    """Check an answer before trusting it.

    Args:
        ca_sha256: SHA-256 of the DER of the only CA that may have issued the certificate.

    Raises:
        ProofFailed: another CA, not issued by it, or for another key.
    """
    try:
        certificate_pem, ca_pem = answer["certificate"].encode(), answer["ca"].encode()
        certificate = x509.load_pem_x509_certificate(certificate_pem)
        ca = x509.load_pem_x509_certificate(ca_pem)
        about = {name: answer[name] for name in ("kind", "id", "agency", "not_after")}
    except (KeyError, ValueError, AttributeError) as error:
        raise ProofFailed(f"The answer holds no certificate that can be read: {error}.") from error
    if hashlib.sha256(ca.public_bytes(serialization.Encoding.DER)).digest() != ca_sha256:
        raise ProofFailed(
            "The CA in the answer is not the one that the code pins; nothing was kept.",
            next_step="Do not use this gateway address. Tell your agency's security officer.",
        )
    try:
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError) as error:
        raise ProofFailed(
            "The certificate in the answer was not issued by the pinned CA; nothing was kept.",
            next_step="Tell your agency's security officer.",
        ) from error
    if certificate.public_key() != key.key.public_key():
        raise ProofFailed("The certificate in the answer is for another key; nothing was kept.")
    return Issued(certificate, certificate_pem, ca_pem, about)


def ca_sha256_of(file: Path) -> bytes:
    """Pin of a CA that is already trusted, for renewals."""
    ca = x509.load_pem_x509_certificate(file.read_bytes())
    return hashlib.sha256(ca.public_bytes(serialization.Encoding.DER)).digest()


def keep(
    directory: Path, issued: Issued, key: NewKey, *, gateway: str, server_ca: Path | None
) -> identity.Identity:
    """Write a new identity folder (mode 0700) and read it back."""
    trusted = None if server_ca is None else server_ca.read_bytes()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in (identity.ABOUT, identity.TOKEN, identity.SERVER_CA):  # of an identity before
        (directory / name).unlink(missing_ok=True)
    identity.write_private(directory / identity.KEY, key.pem())
    identity.write_private(directory / identity.CERTIFICATE, issued.certificate_pem)
    identity.write_private(directory / identity.CA, issued.ca_pem)
    if trusted is not None:
        identity.write_private(directory / identity.SERVER_CA, trusted)
    identity.save_about(directory, {**issued.about, "gateway": gateway})
    return identity.Identity.load(directory)


def require_free(directory: Path, *, replace: bool) -> None:
    """Check that enrolment will not overwrite an identity.

    Raises:
        InputInvalid: the folder holds one and `replace` is not set.
    """
    if (directory / identity.ABOUT).exists() and not replace:
        raise InputInvalid(
            f"{directory} already holds an identity.",
            next_step="Name another folder, renew the certificate, or use --replace.",
        )


async def enrol(
    code: str,
    directory: Path,
    *,
    gateway: str,
    server_ca: Path | None = None,
    call_log: CallLog | Path | None = None,
    replace: bool = False,
) -> identity.Identity:
    """Turn a one-time code into an identity folder.

    The private key is made here and never leaves. The certificate is kept only when it comes from
    the CA that the code pins.

    Args:
        code: `dt1.<secret>.<SHA-256 of the departments' CA>`.
        directory: new identity folder.
        gateway: address `host:port`.
        server_ca: CA of the gateway's server certificate; the system's trust by default.
        replace: overwrite an identity in `directory`.

    Raises:
        InputInvalid: not a code, or the folder holds an identity.
        Refused: the code is unknown, spent or expired.
        Unreachable: no answer.
        ProofFailed: the answer is not from the pinned CA; nothing was kept.
    """
    parsed = OneTimeCode.parse(code)
    require_free(directory, replace=replace)
    key = NewKey.generate()
    async with AsyncClient(gateway=gateway, server_ca=server_ca, call_log=call_log) as client:
        answer = await client.enrol(parsed.text, key.csr())
        after = client.revisions.header()
    issued = check_issued(answer, key, parsed.ca_sha256)
    issued.about["after"] = after
    return keep(directory, issued, key, gateway=gateway, server_ca=server_ca)


async def renew(directory: Path, *, call_log: CallLog | Path | None = None) -> identity.Identity:
    """Replace key and certificate of an identity; the old certificate stays valid until its end.

    Raises:
        IdentityUnusable: no identity in `directory`.
        Refused: suspended, revoked or expired.
        Unreachable: no answer.
        ProofFailed: the answer is not from the CA of the identity; nothing was changed.
    """
    present = identity.Identity.load(directory)
    key = NewKey.generate()
    async with AsyncClient(present, call_log=call_log) as client:
        answer = await client.renew(key.csr())
        after = client.revisions.header()
    issued = check_issued(answer, key, ca_sha256_of(present.ca_file))
    issued.about["after"] = after
    identity.save_renewed(directory, key=key.pem(), certificate=issued.certificate_pem)
    identity.save_about(directory, {**issued.about, "gateway": present.gateway})
    return identity.Identity.load(directory)
