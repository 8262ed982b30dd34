"""The departments' CA: what it issues passes strict verification, and its files are private."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from kit.problems import ServiceUnavailable
from services.identity.clients.authority import Authority
from services.identity.domain.subjects import System

NOW = datetime.now(UTC)
SYSTEM = System("01937b6e-5f00-7000-8000-000000000003", "civil-affairs", "门户")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = Authority(tmp_path / "authority", "datong.test")
    made.create(NOW)
    return made


def test_the_ca_signs_certificates_and_lists_and_no_other_ca(authority: Authority) -> None:
    ca = x509.load_pem_x509_certificate(authority.pem.encode())

    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = ca.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert usage.critical
    assert (constraints.value.ca, constraints.value.path_length) == (True, 0)
    assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
    assert not usage.value.digital_signature
    public = ca.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert isinstance(public.curve, ec.SECP256R1)


def test_private_files_are_private_and_a_second_creation_changes_nothing(
    authority: Authority, tmp_path: Path
) -> None:
    folder = tmp_path / "authority"
    before = authority.pem

    again = Authority(folder, "datong.test")
    again.create(NOW)

    assert again.pem == before
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


def test_a_key_that_others_can_read_is_refused(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "authority" / "ca.key").chmod(0o644)

    with pytest.raises(PermissionError):
        _ = Authority(tmp_path / "authority", "datong.test").digest


def test_a_missing_ca_is_an_outage(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable):
        _ = Authority(tmp_path / "nothing", "datong.test").digest


def test_serials_have_128_random_bits(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()

    serials = {authority.certify(SYSTEM, key, NOW)[0].serial for _ in range(50)}

    assert len(serials) == 50
    assert {len(serial) for serial in serials} == {32}
    assert len({serial[0] for serial in serials}) > 4


def test_a_certificate_never_outlives_the_ca(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    late = NOW + timedelta(days=3640)

    credential, _ = authority.certify(SYSTEM, key, late)

    ca = x509.load_pem_x509_certificate(authority.pem.encode())
    assert credential.not_after == ca.not_valid_after_utc


def test_an_issued_certificate_passes_strict_verification_in_a_handshake(
    authority: Authority, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    credential, pem = authority.certify(SYSTEM, key.public_key(), NOW)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    _load(client, tmp_path / "client.pem", pem, key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.verify_mode = ssl.CERT_REQUIRED
    server.verify_flags |= ssl.VERIFY_X509_STRICT
    server.load_verify_locations(cadata=authority.pem)
    _load(server, tmp_path / "server.pem", pem, key)

    peer = _handshake(server, client)

    names = peer["subjectAltName"]
    assert names == (("URI", f"spiffe://datong.test/department/civil-affairs/system/{SYSTEM.id}"),)
    assert int(str(peer["serialNumber"]), 16) == int(credential.serial, 16)


def test_a_token_key_survives_in_its_file_until_it_is_forgotten(
    authority: Authority, tmp_path: Path
) -> None:
    made = authority.new_signing_key()
    again = Authority(tmp_path / "authority", "datong.test")

    assert again.signing_key(made.kid).jwk == made.jwk
    again.forget_signing_key(made.kid)
    with pytest.raises(FileNotFoundError):
        again.signing_key(made.kid)


def _load(context: ssl.SSLContext, file: Path, pem: str, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    file.write_text(pem + private, encoding="ascii")
    context.load_cert_chain(file)


def _handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> dict[str, object]:
    """Return what the server learned of the client's certificate, over memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    at_server = server.wrap_bio(to_server, to_client, server_side=True)
    at_client = client.wrap_bio(to_client, to_server)
    waiting = [at_client, at_server]
    for _ in range(10):
        for side in list(waiting):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            waiting.remove(side)
        if not waiting:
            break
    return dict(at_server.getpeercert() or {})
