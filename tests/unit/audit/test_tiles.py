"""Paths, tiles and entry bundles of C2SP tlog-tiles against the vectors."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain import tiles, tree
from services.audit.domain.tiles import Edge, Tile, decode_bundle, encode_bundle, tile_path
from services.audit.domain.tree import LevelArrays, leaf_hash

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "tlog.json").read_text("utf-8")
)


def decimals(size: int) -> list[bytes]:
    return [str(i).encode() for i in range(size)]


def listed_records() -> list[bytes]:
    return [bytes.fromhex(leaf["hex"]) for leaf in VECTORS["leaves"]]


def final_tiles(records: list[bytes]) -> dict[str, bytes]:
    """Tiles of a tree that grew by all records at once."""
    changed = Edge().extend([leaf_hash(record) for record in records])
    return {tile.path: data for tile, data in changed.items()}


@pytest.mark.parametrize("name", ["tiles_decimal", "tiles_records"])
def test_tiles_and_bundles_are_those_of_the_vectors(name: str) -> None:
    for case in VECTORS[name]:
        size = case["size"]
        records = (decimals(size) if name == "tiles_decimal" else listed_records())[:size]
        made = final_tiles(records)
        assert sorted(made) == sorted(tile["path"] for tile in case["tiles"])
        for tile in case["tiles"]:
            data = made[tile["path"]]
            assert len(data) == tile["bytes"]
            assert sha256(data).hexdigest() == tile["sha256"]
            address = tiles.parse_path(tile["path"])
            assert (address.level, address.index, address.width) == (
                tile["level"],
                tile["index"],
                tile["width"],
            )
        for number, bundle in enumerate(case["entry_bundles"]):
            data = encode_bundle(records[number * 256 : number * 256 + 256])
            assert Tile(None, number, bundle["entries"]).path == bundle["path"]
            assert (len(data), sha256(data).hexdigest()) == (bundle["bytes"], bundle["sha256"])
            assert "hex" not in bundle or data.hex() == bundle["hex"]


def test_paths_are_those_of_the_vectors() -> None:
    for case in VECTORS["tile_paths"]:
        level, index, width = (int(case[k]) for k in ("level", "index", "partial_width"))
        assert tile_path(level, index, width) == case["tile_path"]
        assert tile_path(None, index, width) == case["entries_path"]
        assert tiles.parse_path(case["tile_path"]) == Tile(level, index, width or 256)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/1",
        "tile/0/0000",
        "tile/0/x000/001",
        "tile/0/001/002",
        "tile/0/x001/x002",
        "tile/64/000",
        "tile/00/000",
        "tile/-1/000",
        "tile/entries/000.p/0",
        "tile/entries/000.p/256",
        "tile/entries/000.p/01",
        "tile/0/../000",
        "tile/0/000\n",
        "tile/0/００0",
        "",
    ],
)
def test_any_other_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"tlog-tiles path|canonical spelling"):
        tiles.parse_path(path)


def test_edges_of_entry_bundles() -> None:
    for case in VECTORS["entry_bundle_edge"]:
        if "hex" in case:
            records = [bytes.fromhex(entry) for entry in case["entries_hex"]]
            assert encode_bundle(records).hex() == case["hex"]
            assert decode_bundle(bytes.fromhex(case["hex"])) == records
        else:
            record = b"a" * 65_535
            data = encode_bundle([record])
            assert (len(data), sha256(data).hexdigest()) == (case["bytes"], case["sha256"])
            assert leaf_hash(record).hex() == case["leaf_hash"]
            assert decode_bundle(data) == [record]


@pytest.mark.parametrize("case", VECTORS["entry_bundle_negative"], ids=lambda case: case["why"])
def test_a_malformed_bundle_is_refused(case: dict[str, Any]) -> None:
    if "hex" in case:
        with pytest.raises(tiles.BundleMalformed):
            decode_bundle(bytes.fromhex(case["hex"]))
    else:
        with pytest.raises(tiles.BundleMalformed):
            encode_bundle([b"a" * 65_536])


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_bundles_give_back_their_records(records: list[bytes]) -> None:
    assert decode_bundle(encode_bundle(records)) == records


@given(st.lists(st.integers(1, 700), min_size=1, max_size=6))
def test_the_edge_proves_that_each_step_extends_the_one_before(steps: list[int]) -> None:
    whole, edge, stored = LevelArrays(), Edge(), {}
    for step in steps:
        old, old_root = edge.size, edge.root()
        leaves = [leaf_hash(f"{old}+{i}".encode()) for i in range(step)]
        whole.extend(leaves)
        stored.update(edge.extend(leaves))
        assert edge.root() == whole.root()
        if old:
            proof = tree.consistency_proof(edge.node, old, edge.size)
            assert proof == tree.consistency_proof(whole.node, old, edge.size)
            assert tree.verify_consistency(old, edge.size, old_root, edge.root(), proof)

    def fetch(level: int, index: int) -> bytes:
        return stored[Tile(level, index, tiles.width_at(level, index, edge.size))]

    node = tiles.node_from_tiles(fetch)
    for index in {0, edge.size // 2, edge.size - 1}:
        proof = tree.inclusion_proof(node, index, edge.size)
        assert proof == tree.inclusion_proof(whole.node, index, edge.size)
    partial = [
        fetch(level, (edge.size >> 8 * level) // 256) if (edge.size >> 8 * level) % 256 else b""
        for level in range(8)
        if edge.size >> 8 * level
    ]
    assert Edge(edge.size, partial).root() == whole.root()


def test_an_edge_does_not_start_from_tiles_of_another_size() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        Edge(3, [bytes(64)])
    with pytest.raises(ValueError, match="missing"):
        Edge(256, [b""])
