"""The Merkle tree of the log (RFC 6962 section 2.1): roots, inclusion, consistency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

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


def _siblings(position: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Walk up from node `position` of a level whose last node is `last`.

    Gives each hash of the proof and whether it stands on the left.
    """
    for sibling in proof:
        if last == 0:
            raise ProofRefused("the proof is too long")
        is_left = bool(position & 1) or position == last
        yield sibling, is_left
        while is_left and position and not position & 1:  # alone on its level: it moves up as it is
            position >>= 1
            last >>= 1
        position >>= 1
        last >>= 1
    if last != 0:
        raise ProofRefused("the proof is too short")


def check_inclusion(
    *, index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that `leaf` is leaf `index` of `size` under `root` (RFC 9162 section 2.1.3.2).

    The proof does not commit to `size` by itself: take size and root from one signed checkpoint.

    Raises:
        ProofRefused: it is not, or the proof has the wrong shape.
    """
    if not 0 <= index < size:
        raise ProofRefused(f"index {index} lies outside a tree of {size} leaves")
    _require_hashes([leaf, root, *proof])
    computed = leaf
    for sibling, is_left in _siblings(index, size - 1, proof):
        computed = node_hash(sibling, computed) if is_left else node_hash(computed, sibling)
    if computed != root:
        raise ProofRefused("the inclusion proof leads to another root")


def check_consistency(
    *, old_size: int, new_size: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that the tree of `new_size` extends that of `old_size` (RFC 9162 section 2.1.4.2).

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
    is_complete = old_size & (old_size - 1) == 0  # a complete subtree is its own first node
    path = [old_root, *proof] if is_complete else list(proof)
    if not path:
        raise ProofRefused("the consistency proof is empty")
    computed = _roots_of_path(old_size, new_size, path)
    if computed != (old_root, new_root):
        side = "old" if computed[0] != old_root else "new"
        raise ProofRefused(f"the consistency proof leads to another {side} root")


def _roots_of_path(old_size: int, new_size: int, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Both roots, from the node that the trees share and its siblings upwards."""
    position, last = old_size - 1, new_size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_computed = new_computed = path[0]
    for sibling, is_left in _siblings(position, last, path[1:]):
        if is_left:
            old_computed = node_hash(sibling, old_computed)
            new_computed = node_hash(sibling, new_computed)
        else:
            new_computed = node_hash(new_computed, sibling)
    return old_computed, new_computed
