"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint, tlog-cosignature)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = 1
"""Signature type of a key that signs the text itself."""
COSIGNATURE = 4
"""Signature type of a witness that signs the text with a timestamp (cosignature/v1)."""

MAX_NOTE_BYTES = 1_000_000
MAX_SIGNATURES = 100
_SIZE = re.compile(r"0|[1-9][0-9]{0,19}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f\ufffd]")


class NoteRefused(Exception):
    """A note, a checkpoint or a key is malformed, or not signed by a trusted key."""


@dataclass(frozen=True)
class LogKey:
    """A verifier key: what the auditor noted about the log (or a witness)."""

    name: str
    key_id: bytes
    kind: int
    public_key: bytes

    @classmethod
    def from_vkey(cls, text: str) -> LogKey:
        """Read `<name>+<8 hex digits of the key id>+<base64 of type and key>`.

        Raises:
            NoteRefused: malformed, an unknown type, or a key id that does not fit.
        """
        parts = text.strip().split("+", 2)
        if len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{8}", parts[1]):
            raise NoteRefused("a verifier key reads <name>+<key id>+<key>")
        name, key_id, blob = parts[0], bytes.fromhex(parts[1]), _base64(parts[2])
        if not _is_name(name):
            raise NoteRefused("the name of the key is empty or holds a space or a plus sign")
        if len(blob) != 33 or blob[0] not in (ED25519, COSIGNATURE):
            raise NoteRefused("the key is not an Ed25519 key of a known type")
        if key_identity(name, blob) != key_id:
            raise NoteRefused("the key id does not belong to this name and key")
        return cls(name, key_id, blob[0], blob[1:])

    def is_signed(self, text: bytes, signature: bytes) -> bool:
        """Tell whether `signature` is this key's over `text`."""
        message = text
        if self.kind == COSIGNATURE:
            if len(signature) != 72:
                return False
            stamp, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            message = f"cosignature/v1\ntime {stamp}\n".encode() + text
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


def key_identity(name: str, typed_key: bytes) -> bytes:
    """First four bytes of SHA-256(name ‖ 0x0a ‖ type ‖ key)."""
    return hashlib.sha256(name.encode() + b"\n" + typed_key).digest()[:4]


@dataclass(frozen=True)
class Checkpoint:
    """A size and a root that the log signed."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class OpenedNote:
    """A note whose signatures were checked."""

    text: str
    verified: tuple[LogKey, ...]
    unverified: int


def _is_name(name: str) -> bool:
    return bool(name) and not re.search(r"[\s+]", name)


def _base64(text: str) -> bytes:
    """Decode canonical standard base64.

    Raises:
        NoteRefused: other alphabet, missing padding, or bits set that mean nothing.
    """
    try:
        decoded = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise NoteRefused("not base64") from error
    if base64.b64encode(decoded).decode() != text:
        raise NoteRefused("base64 that is not canonical")
    return decoded


def open_note(note: bytes, keys: Sequence[LogKey]) -> OpenedNote:
    """Check a signed note against the trusted `keys`.

    Signatures of unknown keys are ignored, a wrong one of a trusted key refuses the whole note.

    Raises:
        NoteRefused: malformed, a wrong signature, or none of a trusted key.
    """
    text, lines = _split(note)
    verified: list[LogKey] = []
    unverified = 0
    for line in lines:
        name, key_id, signature = _signature(line)
        key = next((key for key in keys if key.name == name and key.key_id == key_id), None)
        if key is None:
            unverified += 1
        elif not key.is_signed(text.encode(), signature):
            raise NoteRefused(f"the signature of {name}+{key_id.hex()} is wrong")
        elif key not in verified:
            verified.append(key)
    if not verified:
        raise NoteRefused("no trusted key has signed")
    return OpenedNote(text, tuple(verified), unverified)


def _split(note: bytes) -> tuple[str, list[str]]:
    if len(note) > MAX_NOTE_BYTES:
        raise NoteRefused("the note is too large")
    try:
        content = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteRefused("the note is not UTF-8") from error
    if _CONTROL.search(content):
        raise NoteRefused("the note holds a control character")
    cut = content.rfind("\n\n")
    if cut < 0 or not content.endswith("\n"):
        raise NoteRefused("the note is not a text, an empty line and signatures")
    lines = content[cut + 2 :].split("\n")[:-1]
    if not 0 < len(lines) <= MAX_SIGNATURES:
        raise NoteRefused("the note has no signature or too many")
    return content[: cut + 1], lines


def _signature(line: str) -> tuple[str, bytes, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "\u2014" or not _is_name(parts[1]):
        raise NoteRefused("a signature line reads — <name> <base64>")
    blob = _base64(parts[2])
    if len(blob) < 5:
        raise NoteRefused("a signature is too short")
    return parts[1], blob[:4], blob[4:]


def read_checkpoint(text: str) -> Checkpoint:
    """Read the body of a checkpoint: origin, size, root, extension lines.

    Raises:
        NoteRefused: the body breaks C2SP tlog-checkpoint.
    """
    lines = text.split("\n")
    if lines[-1] != "" or len(lines) < 4:
        raise NoteRefused("a checkpoint has at least three lines")
    lines = lines[:-1]
    if "" in lines:
        raise NoteRefused("a checkpoint has no empty line")
    if not _SIZE.fullmatch(lines[1]) or int(lines[1]) >= 2**64:
        raise NoteRefused("the size is not a plain decimal number")
    root = _base64(lines[2])
    if len(root) != 32:
        raise NoteRefused("the root does not have 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root, tuple(lines[3:]))


def open_checkpoint(note: bytes, key: LogKey, *, origin: str | None = None) -> Checkpoint:
    """Check a signed checkpoint of the log with `key`; its origin is the key's name by default.

    Raises:
        NoteRefused: not a checkpoint of this log, or not signed by it.
    """
    checkpoint = read_checkpoint(open_note(note, [key]).text)
    expected = key.name if origin is None else origin
    if checkpoint.origin != expected:
        raise NoteRefused(f"the checkpoint is of {checkpoint.origin}, not of {expected}")
    return checkpoint


def require_agreement(first: Checkpoint, second: Checkpoint) -> None:
    """Two checkpoints of one size must have one root.

    Raises:
        NoteRefused: both are signed and contradict each other: the log is not append-only.
    """
    if first.size == second.size and first.root != second.root:
        raise NoteRefused(
            f"two signed checkpoints of size {first.size} have different roots: "
            "the log was rewritten"
        )
