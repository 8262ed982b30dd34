"""Merkle trees of RFC 6962 section 2.1: roots of any earlier size, inclusion and consistency.

Everything is computed from a *node source*: a function from (level, index) to the hash of the
complete subtree over leaves `index << level` to `(index + 1) << level` (exclusive). A source may
be memory (`LevelArrays`) or tiles (`services.audit.domain.tiles`); the proofs do not care.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()

Nodes = Callable[[int, int], bytes]


def leaf_hash(record: bytes) -> bytes:
    """Return the hash of one record as a leaf: SHA-256(0x00 ‖ record)."""
    return sha256(b"\x00" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an interior node: SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def _range(nodes: Nodes, start: int, size: int) -> bytes:
    """Hash `size` >= 1 leaves from `start`, which the recursion of the RFC has aligned."""
    parts: list[bytes] = []
    while size:
        level = size.bit_length() - 1
        parts.append(nodes(level, start >> level))
        start += 1 << level
        size -= 1 << level
    result = parts.pop()
    while parts:
        result = node_hash(parts.pop(), result)
    return result


def root(nodes: Nodes, size: int) -> bytes:
    """Return the root of the first `size` leaves; the empty tree's is SHA-256 of nothing."""
    return _range(nodes, 0, size) if size else EMPTY_ROOT


def _split(size: int) -> int:
    """Return the largest power of two smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return PATH(index, D[size]), from the leaf upwards.

    Raises:
        ValueError: not 0 <= index < size.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of size {size}")
    start, proof = 0, []
    while size > 1:
        half = _split(size)
        if index - start < half:
            proof.append(_range(nodes, start + half, size - half))
            size = half
        else:
            proof.append(_range(nodes, start, half))
            start, size = start + half, size - half
    proof.reverse()
    return proof


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return PROOF(old, D[new]) in the order of RFC 6962 section 2.1.2.

    Raises:
        ValueError: not 1 <= old <= new; from size 0 no proof is defined.
    """
    if not 1 <= old <= new:
        raise ValueError(f"no consistency proof from size {old} to {new}")
    start, proof, whole = 0, [], True
    while old != new:
        half = _split(new)
        if old <= half:
            proof.append(_range(nodes, start + half, new - half))
            new = half
        else:
            proof.append(_range(nodes, start, half))
            start, old, new, whole = start + half, old - half, new - half, False
    if not whole:
        proof.append(_range(nodes, start, new))
    proof.reverse()
    return proof


def _all_hashes(proof: Sequence[bytes], *roots: bytes) -> bool:
    return all(len(item) == HASH_BYTES for item in (*proof, *roots))


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes
) -> bool:
    """Tell whether `proof` leads from a leaf hash to root `expected` (RFC 9162 section 2.1.3.2).

    A proof does not bind the size: size and root must come from one signed checkpoint.
    """
    if not 0 <= index < size or not _all_hashes(proof, leaf, expected):
        return False
    node, last, result = index, size - 1, leaf
    for item in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            result = node_hash(item, result)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            result = node_hash(result, item)
        node >>= 1
        last >>= 1
    return last == 0 and result == expected


def verify_consistency(
    old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Tell whether the tree of `new` leaves extends that of `old` (RFC 9162 section 2.1.4.2)."""
    if not 1 <= old <= new or not _all_hashes(proof, old_root, new_root):
        return False
    if old == new:
        return not proof and old_root == new_root
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    trailing = (old ^ (old - 1)).bit_length() - 1
    return bool(hashes) and _walk(old - 1 >> trailing, new - 1 >> trailing, hashes) == (
        old_root,
        new_root,
    )


def _walk(node: int, last: int, hashes: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """Fold a consistency proof into the old and the new root; None when its length is wrong."""
    first = second = hashes[0]
    for item in hashes[1:]:
        if last == 0:
            return None
        if node & 1 or node == last:
            first, second = node_hash(item, first), node_hash(item, second)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            second = node_hash(second, item)
        node >>= 1
        last >>= 1
    return (first, second) if last == 0 else None


class LevelArrays:
    """A whole tree in memory: one array of 32-byte nodes of complete subtrees per level.

    Appending costs two hashes per leaf; levels grow at their end only; 64 bytes per leaf.
    """

    def __init__(self) -> None:
        self._levels: list[bytearray] = [bytearray()]

    @property
    def size(self) -> int:
        """Return the number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def extend(self, leaves: Iterable[bytes]) -> None:
        """Append leaf hashes, level by level over all new pairs."""
        self._levels[0] += b"".join(leaves)
        level = 0
        while len(self._levels[level]) >= 2 * HASH_BYTES:
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            below, above = self._levels[level], self._levels[level + 1]
            pairs = len(below) // (2 * HASH_BYTES)
            for pair in range(len(above) // HASH_BYTES, pairs):
                at = pair * 2 * HASH_BYTES
                above += sha256(b"\x01" + below[at : at + 2 * HASH_BYTES]).digest()
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """Return the hash of one complete subtree: the node source of this tree.

        Raises:
            LookupError: the subtree is not complete.
        """
        at = index * HASH_BYTES
        row = self._levels[level] if level < len(self._levels) else b""
        if at + HASH_BYTES > len(row):
            raise LookupError(f"subtree {index} of level {level} is not complete")
        return bytes(row[at : at + HASH_BYTES])

    def root(self, size: int | None = None) -> bytes:
        """Return the root of the first `size` leaves, or of all."""
        return root(self.node, self.size if size is None else size)
