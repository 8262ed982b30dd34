"""The verifier's tree agrees with independent implementations (tests/vectors/tlog.json)."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from datong.verifier import merkle, tiles

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "tlog.json").read_text("utf-8"))
RECORDS = [bytes.fromhex(leaf["hex"]) for leaf in VECTORS["leaves"]]


def _hashes(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def _root_of_decimals(size: int) -> bytes:
    tree = merkle.GrowingTree()
    for number in range(size):
        tree.add(merkle.leaf_hash(str(number).encode()))
    return tree.root()


def test_every_leaf_hash_is_right() -> None:
    for leaf in VECTORS["leaves"]:
        assert merkle.leaf_hash(bytes.fromhex(leaf["hex"])).hex() == leaf["leaf_hash"]


def test_every_root_of_the_growing_tree_is_right() -> None:
    tree = merkle.GrowingTree()
    roots = [tree.root().hex()]
    for record in RECORDS:
        tree.add(merkle.leaf_hash(record))
        roots.append(tree.root().hex())

    assert len(VECTORS["roots"]) == 71
    for case in VECTORS["roots"]:
        assert roots[case["size"]] == case["root"]


def test_roots_of_large_trees_are_right() -> None:
    for case in VECTORS["decimal_roots"]:
        assert _root_of_decimals(case["size"]).hex() == case["root"]


def _check(case: dict[str, Any]) -> None:
    if case.get("kind", "inclusion") == "inclusion" and "leaf_hash" in case:
        merkle.check_inclusion(
            index=case["index"],
            size=case.get("claimed_size", case.get("size")),
            leaf=bytes.fromhex(case["leaf_hash"]),
            proof=_hashes(case["proof"]),
            root=bytes.fromhex(case["root"]),
        )
    else:
        merkle.check_consistency(
            old_size=case["old_size"],
            new_size=case["new_size"],
            old_root=bytes.fromhex(case["old_root"]),
            new_root=bytes.fromhex(case["new_root"]),
            proof=_hashes(case["proof"]),
        )


def test_every_proof_is_accepted() -> None:
    assert len(VECTORS["inclusion"]) == 104
    assert len(VECTORS["consistency"]) == 68
    for case in [*VECTORS["inclusion"], *VECTORS["consistency"]]:
        _check(case)


def test_every_wrong_proof_is_refused() -> None:
    assert len(VECTORS["negative"]) == 142
    for case in VECTORS["negative"]:
        with pytest.raises(merkle.ProofRefused):
            _check(case)


def test_a_bare_proof_does_not_commit_to_the_size() -> None:
    for case in VECTORS["size_ambiguity"]:
        _check(case)


def test_nothing_is_consistent_with_the_empty_tree_by_proof() -> None:
    root = _root_of_decimals(2)

    with pytest.raises(merkle.ProofRefused):
        merkle.check_consistency(
            old_size=0, new_size=2, old_root=merkle.EMPTY_ROOT, new_root=root, proof=[]
        )


def test_a_leaf_hash_of_another_length_cannot_be_added() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        merkle.GrowingTree().add(b"short")


def test_paths_of_tiles_and_bundles_are_right() -> None:
    for case in VECTORS["tile_paths"]:
        width = case["partial_width"] or tiles.TILE_WIDTH
        assert tiles.tile_path(case["level"], case["index"], width) == case["tile_path"]
        assert tiles.bundle_path(case["index"], width) == case["entries_path"]


def test_a_tile_has_1_to_256_hashes() -> None:
    with pytest.raises(ValueError, match="1 to 256"):
        tiles.tile_path(0, 0, 257)


@pytest.mark.parametrize("tree", ["tiles_records", "tiles_decimal"])
def test_bundles_hold_the_records_of_the_tree(tree: str) -> None:
    for case in VECTORS[tree]:
        listed = {bundle["path"]: bundle for bundle in case["entry_bundles"]}
        paths = list(tiles.bundle_paths(case["size"]))
        offset = 0
        for path, width in paths:
            records = RECORDS if tree == "tiles_records" else None
            expected = [
                records[number] if records else str(number).encode()
                for number in range(offset, offset + width)
            ]
            offset += width
            data = b"".join(len(item).to_bytes(2, "big") + item for item in expected)
            if path in listed:
                assert hashlib.sha256(data).hexdigest() == listed[path]["sha256"]
            assert tiles.read_bundle(data) == expected
        assert offset == case["size"]
        assert set(listed) <= {path for path, _ in paths}


def test_bundles_at_the_edge_are_read() -> None:
    for case in VECTORS["entry_bundle_edge"]:
        if "hex" in case:
            assert tiles.read_bundle(bytes.fromhex(case["hex"])) == _hashes(case["entries_hex"])


def test_every_broken_bundle_is_refused() -> None:
    for case in VECTORS["entry_bundle_negative"]:
        if "hex" in case:
            with pytest.raises(tiles.BundleMalformed):
                tiles.read_bundle(bytes.fromhex(case["hex"]))
