"""Ed25519 keys of the log: loading the signing key, checking signatures."""

from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.audit.domain.notes import ED25519, Checkpoint, VerifierKey, sign_note

SEED_BYTES: Final = 32


def is_signature(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether `signature` is the Ed25519 signature of `message`; any bytes may be given."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


class LogKey:
    """The log's signing key.

    Args:
        origin: the log's name, also the key's name in notes.
        seed: the RFC 8032 private key, 32 bytes.
    """

    def __init__(self, origin: str, seed: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        public = self._private.public_key().public_bytes_raw()
        self.origin = origin
        self.verifier = VerifierKey(origin, ED25519, public)

    def sign(self, checkpoint: Checkpoint) -> bytes:
        """Return the signed note of a checkpoint."""
        return sign_note(checkpoint.text, self.verifier, self._private.sign)


def load_key(origin: str, path: Path) -> LogKey:
    """Read the seed from a file: 32 raw bytes, or 64 hexadecimal digits.

    Raises:
        ValueError: neither.
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    if len(data) != SEED_BYTES:
        data = bytes.fromhex(data.decode("ascii").strip())
    if len(data) != SEED_BYTES:
        raise ValueError(f"{path} holds no Ed25519 seed of 32 bytes")
    return LogKey(origin, data)
