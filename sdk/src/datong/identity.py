"""An identity folder: private key, certificate, the departments' CA, and where the gateway is.

| file | content |
|---|---|
| `key.pem` | P-256 private key, mode 0600 |
| `certificate.pem` | client certificate |
| `ca.pem` | CA that issued it |
| `server-ca.pem` | CA of the gateway's server certificate; absent when the system trusts it |
| `identity.json` | gateway address, kind, id, agency, end of validity |
| `token.json` | the last access token, mode 0600; may be deleted at any time |

`curl` takes the same files: `--cert certificate.pem --key key.pem --cacert server-ca.pem`.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from datong.errors import IdentityUnusable

KEY = "key.pem"
CERTIFICATE = "certificate.pem"
CA = "ca.pem"
SERVER_CA = "server-ca.pem"
ABOUT = "identity.json"
TOKEN = "token.json"  # noqa: S105 - a file name
_NEXT = ".next"
NEW_SECONDS = 60.0
"""A certificate that is older has reached every gateway that works."""


@dataclass(frozen=True)
class Identity:
    """One person's or system's credentials on disk.

    Attributes:
        kind: `person` or `system`.
        thumbprint: `x5t#S256` of the certificate (RFC 8705).
        not_after: end of validity, RFC 3339.
        after: states that a certificate of the last minute rests on, for `Datong-After`: not
            every gateway may have heard of it yet. None when it is older.
    """

    directory: Path
    gateway: str
    kind: str
    id: str
    agency: str
    not_after: str
    thumbprint: str
    after: str | None = None

    @property
    def subject(self) -> str:
        """How records and tokens name the holder, such as `system/<id>`."""
        return f"{self.kind}/{self.id}"

    @property
    def key_file(self) -> Path:
        """The private key."""
        return self.directory / KEY

    @property
    def certificate_file(self) -> Path:
        """The client certificate."""
        return self.directory / CERTIFICATE

    @property
    def ca_file(self) -> Path:
        """The departments' CA."""
        return self.directory / CA

    @property
    def server_ca_file(self) -> Path | None:
        """CA of the gateway's server certificate; None: the system's trust."""
        file = self.directory / SERVER_CA
        return file if file.exists() else None

    @property
    def token_file(self) -> Path:
        """Where the access token is kept between runs."""
        return self.directory / TOKEN

    @classmethod
    def load(cls, directory: Path) -> Identity:
        """Read an identity folder; finishes a renewal that was interrupted.

        Raises:
            IdentityUnusable: absent, incomplete, the key is readable by others, or it does not
                belong to the certificate.
        """
        try:
            about = json.loads((directory / ABOUT).read_bytes())
            _finish_renewal(directory)
            certificate = x509.load_pem_x509_certificate((directory / CERTIFICATE).read_bytes())
            _require_private(directory / KEY)
            if _public_of_key(directory / KEY) != _public_of(certificate):
                raise IdentityUnusable(
                    f"The key in {directory} does not belong to its certificate.",
                    next_step="Ask for a one-time code and enrol again.",
                )
            return cls(
                directory=directory,
                gateway=str(about["gateway"]),
                kind=str(about["kind"]),
                id=str(about["id"]),
                agency=str(about["agency"]),
                not_after=str(about["not_after"]),
                thumbprint=thumbprint(certificate),
                after=about.get("after") if _is_new(directory) else None,
            )
        except FileNotFoundError as error:
            raise IdentityUnusable(
                f"There is no identity in {directory}.",
                next_step="Enrol with a one-time code: datong enrol CODE --gateway HOST:PORT",
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IdentityUnusable(
                f"The identity in {directory} cannot be read: {error}.",
                next_step="Ask for a one-time code and enrol again.",
            ) from error

    def tls(self) -> ssl.SSLContext:
        """A TLS 1.3 context that presents the certificate and checks the gateway's."""
        context = server_trust(self.server_ca_file)
        context.load_cert_chain(self.certificate_file, self.key_file)
        return context


def _is_new(directory: Path) -> bool:
    return time.time() - (directory / ABOUT).stat().st_mtime < NEW_SECONDS


def server_trust(server_ca: Path | None) -> ssl.SSLContext:
    """A TLS 1.3 context that checks the gateway's certificate and presents none.

    Raises:
        IdentityUnusable: the CA file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=server_ca)
    except OSError as error:
        raise IdentityUnusable(
            f"The CA file {server_ca} cannot be read: {error}.",
            next_step="Name the PEM file of the CA that issued the gateway's certificate.",
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def thumbprint(certificate: x509.Certificate) -> str:
    """`x5t#S256`: SHA-256 of the DER in unpadded base64url, 43 characters."""
    digest = certificate.fingerprint(hashes.SHA256())
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def write_private(file: Path, data: bytes) -> None:
    """Replace `file` durably with `data`, readable by its owner only."""
    waiting = file.with_name(file.name + ".writing")
    with contextlib.suppress(FileNotFoundError):
        waiting.unlink()
    descriptor = os.open(waiting, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    waiting.replace(file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in `directory` durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_about(directory: Path, about: dict[str, Any]) -> None:
    """Write what the identity is; the folder counts as an identity from here on."""
    data = json.dumps(about, ensure_ascii=False, indent=2, sort_keys=True).encode() + b"\n"
    write_private(directory / ABOUT, data)


def save_renewed(directory: Path, *, key: bytes, certificate: bytes) -> None:
    """Replace key and certificate together; a crash in between is finished by `Identity.load`."""
    write_private(directory / (CERTIFICATE + _NEXT), certificate)
    write_private(directory / KEY, key)
    _finish_renewal(directory)


def _finish_renewal(directory: Path) -> None:
    waiting = directory / (CERTIFICATE + _NEXT)
    if not waiting.exists():
        return
    certificate = x509.load_pem_x509_certificate(waiting.read_bytes())
    if _public_of_key(directory / KEY) == _public_of(certificate):
        waiting.replace(directory / CERTIFICATE)
    else:  # the crash came before the new key: the old pair is still whole
        waiting.unlink()
    sync_directory(directory)


def _public_of(certificate: x509.Certificate) -> bytes:
    return _public_bytes(certificate.public_key())


def _public_of_key(file: Path) -> bytes:
    key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    return _public_bytes(key.public_key())


def _public_bytes(key: Any) -> bytes:
    data: bytes = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return data


def _require_private(file: Path) -> None:
    if file.stat().st_mode & 0o077:
        raise IdentityUnusable(
            f"The private key {file} can be read by others.",
            next_step=f"chmod 600 {file}; if others had access, have the certificate revoked.",
        )
