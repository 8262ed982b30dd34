"""Certificate signing requests (RFC 2986): proof of possession and the key policy."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from services.identity.domain.credentials import CsrInvalid

_DIGESTS: Final = (SHA256, SHA384, SHA512)


def requested_key(pem: str) -> ec.EllipticCurvePublicKey:
    """Return the public key of a CSR whose sender has shown to hold the private one.

    Subject and extensions of the CSR are ignored: identity knows better who the holder is.

    Args:
        pem: one `CERTIFICATE REQUEST`.

    Raises:
        CsrInvalid: unreadable, another kind of key than P-256, or not signed by that key.
    """
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key, digest = csr.public_key(), csr.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise CsrInvalid("The CSR is not a readable PEM certificate request.") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CsrInvalid("The CSR's key is not a P-256 key.")
    if not isinstance(digest, _DIGESTS):
        raise CsrInvalid("The CSR is signed with another digest than SHA-256, 384 or 512.")
    try:
        proven = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm):
        proven = False
    if not proven:
        raise CsrInvalid("The CSR is not signed by the key that it names.")
    return key
