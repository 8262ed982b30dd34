"""The Merkle tree against the vectors and against the recursive definition of RFC 6962."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain import tree
from services.audit.domain.tree import LevelArrays, leaf_hash, node_hash

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tlog.json").read_text("utf-8")
)


def grown(leaves: list[bytes]) -> LevelArrays:
    arrays = LevelArrays()
    arrays.extend(leaves)
    return arrays


@pytest.fixture(scope="module")
def records() -> LevelArrays:
    return grown([leaf_hash(bytes.fromhex(leaf["hex"])) for leaf in VECTORS["leaves"]])


@pytest.fixture(scope="module")
def decimal() -> LevelArrays:
    return grown([leaf_hash(str(i).encode()) for i in range(70_000)])


def hashes(proof: list[str]) -> list[bytes]:
    return [bytes.fromhex(item) for item in proof]


def test_leaf_hashes_and_roots_are_those_of_the_vectors(
    records: LevelArrays, decimal: LevelArrays
) -> None:
    for leaf in VECTORS["leaves"]:
        assert leaf_hash(bytes.fromhex(leaf["hex"])).hex() == leaf["leaf_hash"]
    for case in VECTORS["roots"]:
        assert records.root(case["size"]).hex() == case["root"]
    for case in VECTORS["decimal_roots"]:
        assert decimal.root(case["size"]).hex() == case["root"]


def test_every_inclusion_proof_is_made_and_verified(
    records: LevelArrays, decimal: LevelArrays
) -> None:
    for case in VECTORS["inclusion"]:
        arrays = records if case["tree"] == "records" else decimal
        proof = tree.inclusion_proof(arrays.node, case["index"], case["size"])
        assert [item.hex() for item in proof] == case["proof"]
        assert tree.verify_inclusion(
            bytes.fromhex(case["leaf_hash"]),
            case["index"],
            case["size"],
            proof,
            bytes.fromhex(case["root"]),
        )


def test_every_consistency_proof_is_made_and_verified(
    records: LevelArrays, decimal: LevelArrays
) -> None:
    for case in VECTORS["consistency"]:
        arrays = records if case["tree"] == "records" else decimal
        proof = tree.consistency_proof(arrays.node, case["old_size"], case["new_size"])
        assert [item.hex() for item in proof] == case["proof"]
        assert tree.verify_consistency(
            case["old_size"],
            case["new_size"],
            bytes.fromhex(case["old_root"]),
            bytes.fromhex(case["new_root"]),
            proof,
        )


@pytest.mark.parametrize("case", VECTORS["negative"], ids=lambda case: case["why"])
def test_a_wrong_proof_is_refused(case: dict[str, Any]) -> None:
    if case["kind"] == "inclusion":
        accepted = tree.verify_inclusion(
            bytes.fromhex(case["leaf_hash"]),
            case["index"],
            case["size"],
            hashes(case["proof"]),
            bytes.fromhex(case["root"]),
        )
    else:
        accepted = tree.verify_consistency(
            case["old_size"],
            case["new_size"],
            bytes.fromhex(case["old_root"]),
            bytes.fromhex(case["new_root"]),
            hashes(case["proof"]),
        )
    assert not accepted


def test_a_bare_proof_does_not_bind_the_size() -> None:
    for case in VECTORS["size_ambiguity"]:
        assert tree.verify_inclusion(
            bytes.fromhex(case["leaf_hash"]),
            case["index"],
            case["claimed_size"],
            hashes(case["proof"]),
            bytes.fromhex(case["root"]),
        )


def naive_root(leaves: list[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return node_hash(naive_root(leaves[:half]), naive_root(leaves[half:]))


def test_roots_and_proofs_agree_with_the_definition_for_all_small_sizes() -> None:
    leaves = [leaf_hash(bytes([i])) for i in range(66)]
    arrays = grown(leaves)
    roots = [tree.EMPTY_ROOT] + [naive_root(leaves[:size]) for size in range(1, 67)]
    for size in range(1, 67):
        assert arrays.root(size) == roots[size]
        for index in range(size):
            proof = tree.inclusion_proof(arrays.node, index, size)
            assert tree.verify_inclusion(leaves[index], index, size, proof, roots[size])
        for old in range(1, size + 1):
            proof = tree.consistency_proof(arrays.node, old, size)
            assert tree.verify_consistency(old, size, roots[old], roots[size], proof)


@given(st.lists(st.integers(0, 70), max_size=8))
def test_growing_in_steps_gives_the_same_tree_as_growing_at_once(steps: list[int]) -> None:
    leaves = [leaf_hash(str(i).encode()) for i in range(sum(steps))]
    arrays = LevelArrays()
    at = 0
    for step in steps:
        arrays.extend(leaves[at : at + step])
        at += step
    assert arrays.root() == grown(leaves).root()


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_inclusion_proof_outside_of_the_tree(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="not in a tree"):
        tree.inclusion_proof(LevelArrays().node, index, size)


def test_no_consistency_proof_from_nothing_or_backwards() -> None:
    for old, new in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match="no consistency proof"):
            tree.consistency_proof(LevelArrays().node, old, new)


def test_an_incomplete_subtree_has_no_hash() -> None:
    with pytest.raises(LookupError):
        grown([leaf_hash(b"a")]).node(1, 0)
