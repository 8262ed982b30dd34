"""C2SP signed notes and checkpoints: their text, without the arithmetic of the keys.

https://c2sp.org/signed-note and https://c2sp.org/tlog-checkpoint. Signing and checking are
given as functions, so that this module stays free of libraries.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.audit.domain.tree import HASH_BYTES

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04
MAX_NOTE_BYTES: Final = 1_000_000
MAX_SIGNATURES: Final = 100

Check = Callable[[bytes, bytes, bytes], bool]
"""(public key, signature, message) to whether the Ed25519 signature is right."""


class NoteRefused(ValueError):
    """The note, its signatures, the checkpoint or the key is not acceptable; the text says why."""


def _is_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(letter.isspace() for letter in name)


def _base64(text: str) -> bytes | None:
    """Decode standard base64 with padding; only the canonical spelling."""
    try:
        data = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return None
    return data if b64encode(data).decode() == text else None


def key_id(name: str, kind: int, public_key: bytes) -> bytes:
    """Return the four bytes by which a signature line names its key."""
    return sha256(name.encode() + b"\n" + bytes([kind]) + public_key).digest()[:4]


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A public key with its name: what an auditor keeps. `kind` is 0x01 or 0x04 (cosignature)."""

    name: str
    kind: int
    public_key: bytes

    @property
    def id(self) -> bytes:
        """Return the key id of this key."""
        return key_id(self.name, self.kind, self.public_key)

    @property
    def vkey(self) -> str:
        """Return the line `<name>+<key id>+<base64 of kind and key>`."""
        encoded = b64encode(bytes([self.kind]) + self.public_key).decode()
        return f"{self.name}+{self.id.hex()}+{encoded}"


def parse_vkey(text: str) -> VerifierKey:
    """Return the key that a vkey line names.

    Raises:
        NoteRefused: malformed, of an unknown kind, or its key id is not that of the key.
    """
    name, _, rest = text.partition("+")
    identity, _, encoded = rest.partition("+")
    data = _base64(encoded)
    if not _is_name(name) or re.fullmatch(r"[0-9a-f]{8}", identity) is None or data is None:
        raise NoteRefused("not a verifier key: name+hex key id+base64 is expected")
    if len(data) != 1 + HASH_BYTES or data[0] not in (ED25519, COSIGNATURE):
        raise NoteRefused("not an Ed25519 verifier key")
    key = VerifierKey(name, data[0], data[1:])
    if key.id.hex() != identity:
        raise NoteRefused("the key id does not belong to the key")
    return key


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line: the key's name and id, and the signature (for 0x04 with its time)."""

    name: str
    key_id: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Note:
    """A note that was opened: its text, the keys that signed it, lines of unknown keys."""

    text: str
    verified: tuple[VerifierKey, ...]
    unverified: tuple[Signature, ...]


def sign_note(text: str, key: VerifierKey, sign: Callable[[bytes], bytes]) -> bytes:
    """Return the signed note of `text`, which ends with a newline, with one Ed25519 line."""
    return text.encode() + b"\n" + signature_line(key, sign(text.encode()))


def signature_line(key: VerifierKey, signature: bytes) -> bytes:
    """Return the line `— <name> <base64 of key id and signature>` with its newline."""
    return f"— {key.name} {b64encode(key.id + signature).decode()}\n".encode()


def cosigned_message(text: str, timestamp: int) -> bytes:
    """Return what a cosignature/v1 signs: `timestamp` is in seconds since 1970."""
    return f"cosignature/v1\ntime {timestamp}\n{text}".encode()


def _split_note(note: bytes) -> tuple[str, list[Signature]]:
    if len(note) > MAX_NOTE_BYTES:
        raise NoteRefused("the note is too long")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteRefused("the note is not UTF-8") from error
    if any((letter < " " and letter != "\n") for letter in whole):
        raise NoteRefused("the note holds a control character")
    at = whole.rfind("\n\n")
    if at < 0 or not whole.endswith("\n"):
        raise NoteRefused("the note has no signatures after a blank line")
    lines = whole[at + 2 : -1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteRefused("the note has too many signatures")
    return whole[: at + 1], [_signature(line) for line in lines]


def _signature(line: str) -> Signature:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not _is_name(parts[1]):
        raise NoteRefused("a signature line is malformed")
    data = _base64(parts[2])
    if data is None or len(data) < 5:
        raise NoteRefused("a signature line is malformed")
    return Signature(parts[1], data[:4], data[4:])


def _is_right(key: VerifierKey, signature: bytes, text: str, check: Check) -> bool:
    if key.kind == ED25519:
        return len(signature) == 64 and check(key.public_key, signature, text.encode())
    if len(signature) != 72:
        return False
    message = cosigned_message(text, int.from_bytes(signature[:8], "big"))
    return check(key.public_key, signature[8:], message)


def open_note(note: bytes, keys: Sequence[VerifierKey], check: Check) -> Note:
    """Return the note when at least one of `keys` signed it and none of them signed it wrongly.

    Raises:
        NoteRefused: malformed, no signature of a known key, or one that is wrong.
    """
    text, lines = _split_note(note)
    known = {(key.name, key.id): key for key in keys}
    verified: list[VerifierKey] = []
    unverified: list[Signature] = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            unverified.append(line)
        elif key not in verified:
            if not _is_right(key, line.signature, text, check):
                raise NoteRefused(f"the signature of {key.name} is wrong")
            verified.append(key)
    if not verified:
        raise NoteRefused("no known key signed the note")
    return Note(text, tuple(verified), tuple(unverified))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log commits to: its origin, size and root; extension lines are kept as they are."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Return the text of the note (C2SP tlog-checkpoint)."""
        lines = [self.origin, str(self.size), b64encode(self.root).decode(), *self.extensions]
        return "".join(f"{line}\n" for line in lines)


def parse_checkpoint(text: str) -> Checkpoint:
    """Return the checkpoint in the text of an opened note.

    Raises:
        NoteRefused: fewer than three lines, an empty line, a size or root not in canonical form.
    """
    lines = text.removesuffix("\n").split("\n")
    if len(lines) < 3 or not all(lines):
        raise NoteRefused("a checkpoint has at least three lines, none of them empty")
    origin, size, encoded, *extensions = lines
    if re.fullmatch(r"0|[1-9][0-9]{0,19}", size, re.ASCII) is None or int(size) >= 1 << 64:
        raise NoteRefused("the size is not a canonical decimal of 64 bits")
    root = _base64(encoded)
    if root is None or len(root) != HASH_BYTES:
        raise NoteRefused("the root is not the base64 of 32 bytes")
    return Checkpoint(origin, int(size), root, tuple(extensions))


def open_checkpoint(note: bytes, key: VerifierKey, origin: str, check: Check) -> Checkpoint:
    """Return the checkpoint that `key` signed for the log `origin`.

    Raises:
        NoteRefused: the note, its signature or its origin is not acceptable.
    """
    checkpoint = parse_checkpoint(open_note(note, [key], check).text)
    if checkpoint.origin != origin:
        raise NoteRefused(f"the checkpoint is of the log {checkpoint.origin!r}, not {origin!r}")
    return checkpoint
