"""Certificate requests: proof of possession, P-256 only."""

from base64 import encodebytes

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from services.identity.clients.csr import requested_key
from services.identity.domain.credentials import CsrInvalid

KEY = ec.generate_private_key(ec.SECP256R1())


def a_request(digest: hashes.HashAlgorithm) -> x509.CertificateSigningRequest:
    return x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(KEY, digest)


DER = a_request(hashes.SHA256()).public_bytes(Encoding.DER)


def pem_of(der: bytes) -> str:

    body = encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_the_key_of_a_request_that_it_signed_is_taken(digest: hashes.HashAlgorithm) -> None:
    pem = a_request(digest).public_bytes(Encoding.PEM).decode()

    assert requested_key(pem) == KEY.public_key()


def test_a_request_signed_by_another_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    der = a_request(hashes.SHA256()).public_bytes(Encoding.DER)
    mine = KEY.public_key().public_numbers()
    theirs = other.public_key().public_numbers()
    point = mine.x.to_bytes(32, "big") + mine.y.to_bytes(32, "big")
    forged = der.replace(point, theirs.x.to_bytes(32, "big") + theirs.y.to_bytes(32, "big"))
    assert forged != der

    with pytest.raises(CsrInvalid, match="not signed"):
        requested_key(pem_of(forged))


def test_a_certificate_is_not_a_request() -> None:
    with pytest.raises(CsrInvalid):
        requested_key("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")


@given(st.data())
def test_no_broken_request_breaks_the_reader(data: st.DataObject) -> None:
    der = bytearray(DER)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(der) - 1))
        der[at] ^= data.draw(st.integers(1, 255))

    try:
        key = requested_key(pem_of(bytes(der)))
    except CsrInvalid:
        return
    assert isinstance(key, ec.EllipticCurvePublicKey)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with pytest.raises(CsrInvalid):
        requested_key(text)
