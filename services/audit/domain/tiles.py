"""C2SP tlog-tiles: paths, hash tiles of height 8, entry bundles.

https://c2sp.org/tlog-tiles. A tile of level L holds up to 256 hashes of subtrees of level 8·L.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from services.audit.domain.tree import HASH_BYTES, root

WIDTH: Final = 256
HEIGHT: Final = 8
MAX_RECORD_BYTES: Final = 65_535
ENTRIES: Final = "entries"

_path = re.compile(
    r"tile/(entries|0|[1-9]|[1-5][0-9]|6[0-3])/((?:x[0-9]{3}/)*[0-9]{3})"
    r"(?:\.p/([1-9]|[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5]))?"
)


class BundleMalformed(ValueError):
    """The bytes are not an entry bundle, or a record does not fit into one."""


@dataclass(frozen=True, slots=True, order=True)
class Tile:
    """Address of one tile or bundle.

    `level` is None for an entry bundle; `width` is 256 for a full one, else 1 to 255.
    """

    level: int | None
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Return the path, such as `tile/0/x001/234.p/7`."""
        return tile_path(self.level, self.index, 0 if self.width == WIDTH else self.width)


def tile_path(level: int | None, index: int, partial_width: int = 0) -> str:
    """Return the tlog-tiles path; `level` None is an entry bundle, width 0 a full tile."""
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.append(f"x{index % 1000:03d}")
    name = "/".join(reversed(groups))
    kind = ENTRIES if level is None else str(level)
    return f"tile/{kind}/{name}" + (f".p/{partial_width}" if partial_width else "")


def parse_path(path: str) -> Tile:
    """Return the address that `path` names; only the one canonical spelling is accepted.

    Raises:
        ValueError: not a tlog-tiles path.
    """
    match = _path.fullmatch(path)
    if match is None:
        raise ValueError(f"{path[:200]!r} is not a tlog-tiles path")
    kind, name, width = match.groups()
    index = int(name.replace("x", "").replace("/", ""))
    tile = Tile(
        None if kind == ENTRIES else int(kind), index, WIDTH if width is None else int(width)
    )
    if tile.path != path:
        raise ValueError(f"{path[:200]!r} is not the canonical spelling")
    return tile


def width_at(level: int | None, index: int, size: int) -> int:
    """Return how many hashes (or records) tile `index` of `level` has in a tree of `size`."""
    whole = size >> (HEIGHT * (level or 0))
    return max(0, min(WIDTH, whole - index * WIDTH))


def encode_bundle(records: Iterable[bytes]) -> bytes:
    """Return records as an entry bundle: big-endian uint16 length and bytes, one after another.

    Raises:
        BundleMalformed: a record has more than 65,535 bytes.
    """
    parts: list[bytes] = []
    for record in records:
        if len(record) > MAX_RECORD_BYTES:
            raise BundleMalformed(f"a record of {len(record)} bytes exceeds {MAX_RECORD_BYTES}")
        parts.append(len(record).to_bytes(2, "big"))
        parts.append(record)
    return b"".join(parts)


def decode_bundle(data: bytes) -> list[bytes]:
    """Return the records of an entry bundle.

    Raises:
        BundleMalformed: it ends inside a length or a record.
    """
    records: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        body = at + 2
        if body > end:
            raise BundleMalformed("the bundle ends inside a length")
        at = body + int.from_bytes(data[at:body], "big")
        if at > end:
            raise BundleMalformed("the bundle ends inside a record")
        records.append(data[body:at])
    return records


def fold(hashes: bytes) -> bytes:
    """Return the root of a complete subtree over `hashes`, a power of two of them."""
    row = hashes
    while len(row) > HASH_BYTES:
        row = b"".join(
            sha256(b"\x01" + row[at : at + 2 * HASH_BYTES]).digest()
            for at in range(0, len(row), 2 * HASH_BYTES)
        )
    return row


def node_from_tiles(fetch: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    """Return a node source over tiles.

    Args:
        fetch: from (tile level, tile index) to the bytes of that tile, at least as wide as asked.
    """

    def node(level: int, index: int) -> bytes:
        tile_level, rows = divmod(level, HEIGHT)
        first = index << rows
        at = (first % WIDTH) * HASH_BYTES
        end = at + (HASH_BYTES << rows)
        hashes = fetch(tile_level, first // WIDTH)
        if len(hashes) < end:
            raise LookupError(f"tile {first // WIDTH} of level {tile_level} is too narrow")
        return fold(hashes[at:end])

    return node


class Edge:
    """The right edge of a growing tree: what a writer must know, whatever the log's size.

    Holds, per tile level, the hashes of the last, partial tile, and the tiles that the last
    `extend` completed, so that a consistency proof from the size before it can be made.
    """

    def __init__(self, size: int = 0, partial: Sequence[bytes] = ()) -> None:
        """Start at `size` with the partial tiles of each level, lowest first.

        Raises:
            ValueError: a partial tile does not have the width that `size` asks for.
        """
        self.size = size
        self._partial = [bytearray(tile) for tile in partial]
        self._completed: dict[tuple[int, int], bytes] = {}
        for level, tile in enumerate(self._partial):
            if len(tile) // HASH_BYTES != (size >> (HEIGHT * level)) % WIDTH:
                raise ValueError(f"the partial tile of level {level} does not fit size {size}")
        if size >> (HEIGHT * len(self._partial)):
            raise ValueError(f"partial tiles for size {size} are missing")

    def extend(self, leaves: Sequence[bytes]) -> dict[Tile, bytes]:
        """Append leaf hashes; return every tile that changed, full and partial, with its bytes."""
        self._completed = {}
        changed: dict[Tile, bytes] = {}
        level, new = 0, b"".join(leaves)
        while new:
            if level == len(self._partial):
                self._partial.append(bytearray())
            row, index = self._partial[level], (self.size >> (HEIGHT * level)) // WIDTH
            row += new
            above: list[bytes] = []
            tile_bytes = WIDTH * HASH_BYTES
            while len(row) >= tile_bytes:
                full = bytes(row[:tile_bytes])
                del row[:tile_bytes]
                changed[Tile(level, index)] = self._completed[level, index] = full
                above.append(fold(full))
                index += 1
            if row:
                changed[Tile(level, index, len(row) // HASH_BYTES)] = bytes(row)
            level, new = level + 1, b"".join(above)
        self.size += len(leaves)
        return changed

    def _fetch(self, level: int, index: int) -> bytes:
        done = self._completed.get((level, index))
        if done is not None:
            return done
        if level < len(self._partial) and index == (self.size >> (HEIGHT * level)) // WIDTH:
            return bytes(self._partial[level])
        raise LookupError(f"tile {index} of level {level} lies behind the edge")

    def node(self, level: int, index: int) -> bytes:
        """Return a node of the edge: the node source for roots and fresh consistency proofs."""
        return node_from_tiles(self._fetch)(level, index)

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        return root(self.node, self.size)
