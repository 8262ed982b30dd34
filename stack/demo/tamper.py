"""Five forgeries of an evidence package, of which each must be found.

Two of them are made by somebody who holds the log's signing key: what catches that forger is the
checkpoint that the auditor noted before, and the dense sequences.
"""

import base64
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from datong.verifier.merkle import GrowingTree, leaf_hash
from datong.verifier.notes import key_identity
from datong.verifier.tiles import bundle_paths, read_bundle

FORGERIES: Final = ("changed-byte", "left-out", "re-signed", "truncated", "other-key")


def forge(package: Path, seed: bytes, noted_size: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """Write all forgeries of `package` into `folder`; yield name and file of each.

    Args:
        seed: the log's Ed25519 seed.
        noted_size: size in the checkpoint that the auditor noted; at least 1.
    """
    original = _Original(package)
    last = len(original.records) - 1
    victim = next(
        index
        for index in range(last - 1, noted_size - 1, -1)
        if b'"type":"call"' in original.records[index]
    )
    changed = list(original.records)
    changed[victim] = _alter(changed[victim])
    yield "changed-byte", original.write(folder / "changed-byte.zip", changed)

    left_out = original.records[:victim] + original.records[victim + 1 :]
    yield "left-out", original.sign_and_write(folder / "left-out.zip", left_out, seed)

    rewritten = list(original.records)
    rewritten[0] = _alter(rewritten[0])
    yield "re-signed", original.sign_and_write(folder / "re-signed.zip", rewritten, seed)

    short = original.records[: noted_size - 1]
    yield "truncated", original.sign_and_write(folder / "truncated.zip", short, seed)

    other = bytes(byte ^ 0xFF for byte in seed)
    yield (
        "other-key",
        original.sign_and_write(folder / "other-key.zip", list(original.records), other),
    )


def _alter(record: bytes) -> bytes:
    """Change one digit of the record's time, so that it stays a well-formed record."""
    at = record.index(b'"at":"') + len(b'"at":"2026-')
    digit = b"1" if record[at : at + 1] != b"1" else b"0"
    return record[:at] + digit + record[at + 1 :]


class _Original:
    """The package that is forged: its records, what it claims, its checkpoint."""

    def __init__(self, package: Path) -> None:
        with zipfile.ZipFile(package) as opened:
            self.claims = json.loads(opened.read("package.json"))
            self.checkpoint = opened.read("checkpoint")
            self.records: list[bytes] = []
            for path, _ in bundle_paths(self.claims["size"]):
                self.records += read_bundle(opened.read(path))

    def sign_and_write(self, target: Path, records: list[bytes], seed: bytes) -> Path:
        """Write `records` under a new checkpoint, signed with `seed`."""
        tree = GrowingTree()
        for record in records:
            tree.add(leaf_hash(record))
        origin = self.checkpoint.split(b"\n", 1)[0].decode()
        root = base64.b64encode(tree.root()).decode()
        text = f"{origin}\n{len(records)}\n{root}\n"
        private = Ed25519PrivateKey.from_private_bytes(seed)
        public = private.public_key().public_bytes_raw()
        signature = key_identity(origin, b"\x01" + public) + private.sign(text.encode())
        note = f"{text}\n— {origin} {base64.b64encode(signature).decode()}\n"
        return self.write(target, records, note.encode())

    def write(self, target: Path, records: list[bytes], checkpoint: bytes | None = None) -> Path:
        """Write `records` as a package of the right shape."""
        size = len(records)
        claims = self.claims | {"size": size, "last": size}
        text = json.dumps(claims, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        with zipfile.ZipFile(target, "w") as out:
            out.writestr("package.json", text)
            out.writestr("checkpoint", checkpoint or self.checkpoint)
            first = 0
            for path, width in bundle_paths(size):
                of_bundle = records[first : first + width]
                out.writestr(path, b"".join(len(r).to_bytes(2, "big") + r for r in of_bundle))
                first += width
        return target
