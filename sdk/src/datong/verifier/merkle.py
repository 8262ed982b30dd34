"""The Merkle tree of the log (RFC 6962 section 2.1): roots, inclusion, consistency."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class ProofRefused(Exception):
    """A proof does not prove what it claims."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of one leaf: SHA-256(0x00 ‖ data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an interior node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class GrowingTree:
    """A tree that only grows; keeps one hash per complete subtree, so memory is logarithmic."""

    def __init__(self) -> None:
        """Begin with no leaves."""
        self._peaks: list[bytes] = []
        self.size = 0

    def add(self, leaf: bytes) -> None:
        """Append one leaf hash (32 bytes).

        Raises:
            ValueError: `leaf` is not 32 bytes long.
        """
        if len(leaf) != HASH_BYTES:
            raise ValueError("a leaf hash has 32 bytes")
        size = self.size
        while size & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            size >>= 1
        self._peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Root of the leaves so far; the empty tree has SHA-256 of nothing."""
        if not self._peaks:
            return EMPTY_ROOT
        root = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            root = node_hash(peak, root)
        return root


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(item) != HASH_BYTES for item in hashes):
        raise ProofRefused("a hash in the proof does not have 32 bytes")


def check_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` is leaf `index` of the tree of `size` leaves with `root` (RFC 9162 §2.1.3.2).

    The proof does not commit to `size` by itself: take size and root from one signed checkpoint.

    Raises:
        ProofRefused: it is not, or the proof has the wrong shape.
    """
    if not 0 <= index < size:
        raise ProofRefused(f"index {index} lies outside a tree of {size} leaves")
    _require_hashes([leaf, root, *proof])
    position, last, computed = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofRefused("the inclusion proof is too long")
        if position & 1 or position == last:
            computed = node_hash(sibling, computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            computed = node_hash(computed, sibling)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofRefused("the inclusion proof is too short")
    if computed != root:
        raise ProofRefused("the inclusion proof leads to another root")


def check_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` extends the tree of `old_size` (RFC 9162 §2.1.4.2).

    Raises:
        ProofRefused: it does not, the proof has the wrong shape, or `old_size` is 0 (RFC 6962
            defines no such proof: every tree extends the empty one).
    """
    if not 0 < old_size <= new_size:
        raise ProofRefused(f"no tree of {new_size} leaves extends one of {old_size}")
    _require_hashes([old_root, new_root, *proof])
    if old_size == new_size:
        if proof or old_root != new_root:
            raise ProofRefused("two trees of one size differ or carry a proof")
        return
    _check_growth(old_size, new_size, old_root, new_root, list(proof))


def _check_growth(
    old_size: int, new_size: int, old_root: bytes, new_root: bytes, path: list[bytes]
) -> None:
    if old_size & (old_size - 1) == 0:  # a complete subtree is its own first node
        path.insert(0, old_root)
    if not path:
        raise ProofRefused("the consistency proof is empty")
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_computed = new_computed = path[0]
    for node in path[1:]:
        if last == 0:
            raise ProofRefused("the consistency proof is too long")
        if position & 1 or position == last:
            old_computed = node_hash(node, old_computed)
            new_computed = node_hash(node, new_computed)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            new_computed = node_hash(new_computed, node)
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofRefused("the consistency proof is too short")
    if old_computed != old_root:
        raise ProofRefused("the consistency proof leads to another old root")
    if new_computed != new_root:
        raise ProofRefused("the consistency proof leads to another new root")
