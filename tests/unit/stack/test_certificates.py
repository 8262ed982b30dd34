"""The internal certificates: accepted by strict verification, one identity each."""

import os
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socket import socketpair

import pytest
from cryptography import x509

from stack.certificates import Certificates, Pair, issue

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return issue(tmp_path_factory.mktemp("tls") / "tls", ["gateway", "audit"], NOW)


def context(purpose: ssl.Purpose, certificates: Certificates, pair: Pair) -> ssl.SSLContext:
    made = ssl.create_default_context(purpose, cafile=str(certificates.ca))
    made.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    made.verify_mode = ssl.CERT_REQUIRED
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(pair.certificate, pair.key)
    return made


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_two_parts_verify_each_other_strictly(certificates: Certificates, host: str) -> None:
    here, there = socketpair()
    accept = context(ssl.Purpose.CLIENT_AUTH, certificates, certificates.parts["audit"])
    connect = context(ssl.Purpose.SERVER_AUTH, certificates, certificates.parts["gateway"])
    seen: list[object] = []

    def serve() -> None:
        with accept.wrap_socket(there, server_side=True) as tls:
            seen.append((tls.getpeercert() or {})["subjectAltName"])
            tls.sendall(b"x")

    server = threading.Thread(target=serve)
    server.start()
    with connect.wrap_socket(here, server_hostname=host) as tls:
        assert tls.recv(1) == b"x"
    server.join()

    assert ("URI", "spiffe://datong.local/gateway") in seen[0]  # type: ignore[operator]


def test_each_part_has_exactly_one_identity(certificates: Certificates) -> None:
    for part, pair in certificates.parts.items():
        names = x509.load_pem_x509_certificate(
            pair.certificate.read_bytes()
        ).extensions.get_extension_for_class(x509.SubjectAlternativeName)

        identities = names.value.get_values_for_type(x509.UniformResourceIdentifier)

        assert identities == [f"spiffe://datong.local/{part}"]


def test_the_outward_certificate_is_no_part(certificates: Certificates) -> None:
    certificate = x509.load_pem_x509_certificate(certificates.server.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

    assert names.get_values_for_type(x509.UniformResourceIdentifier) == []
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_keys_are_readable_by_their_owner_alone(certificates: Certificates) -> None:
    keys = [pair.key for pair in (*certificates.parts.values(), certificates.server)]

    assert {oct(os.stat(key).st_mode & 0o777) for key in keys} == {"0o600"}


def test_a_new_issue_renews_certificates_under_the_same_ca(tmp_path: Path) -> None:
    first = issue(tmp_path / "tls", ["audit"], NOW)
    before = first.ca.read_bytes(), first.parts["audit"].certificate.read_bytes()

    second = issue(tmp_path / "tls", ["audit"], NOW)

    assert second.ca.read_bytes() == before[0]
    assert second.parts["audit"].certificate.read_bytes() != before[1]


def test_a_ca_that_would_end_too_soon_is_replaced(tmp_path: Path) -> None:
    first = issue(tmp_path / "tls", ["audit"], NOW - timedelta(days=9 * 365)).ca.read_bytes()

    second = issue(tmp_path / "tls", ["audit"], NOW).ca.read_bytes()

    assert first != second
