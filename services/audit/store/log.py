"""Reading the log from its objects: the newest commit, tiles, bundles, all epochs.

Only what a commit names is ever read. A partial tile may have been replaced by a wider one in
the meantime; a prefix of that one is then the same thing.
"""

from collections.abc import Iterator
from typing import Final

from kit.canonical import canonical, strict_loads
from services.audit.domain import tiles
from services.audit.domain.commits import FULL_EVERY, Commit, commit_name
from services.audit.domain.epochs import Epoch, Key
from services.audit.domain.tiles import HEIGHT, WIDTH, Tile, decode_bundle, width_at
from services.audit.domain.tree import HASH_BYTES, Nodes
from services.audit.store.objects import ObjectMissing, ObjectStore

MAX_COMMIT_BYTES: Final = 64 << 20


class LogDamaged(RuntimeError):
    """The store lacks, or contradicts, what a commit promises."""


def encode_commit(commit: Commit) -> bytes:
    """Return the bytes of a commit."""
    return canonical(commit.as_data())


def read_commit(store: ObjectStore, number: int) -> Commit | None:
    """Return commit `number`, or None when it does not exist."""
    try:
        data = store.read(commit_name(number))
    except ObjectMissing:
        return None
    return Commit.from_data(strict_loads(data, max_bytes=MAX_COMMIT_BYTES), number)


def _exists(store: ObjectStore, number: int) -> bool:
    try:
        store.read(commit_name(number))
    except ObjectMissing:
        return False
    return True


def newest_number(store: ObjectStore, known: int = -1) -> int:
    """Return the number of the newest commit, or -1; commits are dense, so it can be searched.

    Args:
        known: a number that is known to exist.
    """
    low, step = known, 1
    while _exists(store, low + step):
        low, step = low + step, step * 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if _exists(store, middle):
            low = middle
        else:
            high = middle
    return low


def read_epochs(store: ObjectStore, newest: Commit) -> dict[Key, Epoch]:
    """Return all epochs as of `newest`: those of the last full commit, then the changes."""
    start = newest.number - newest.number % FULL_EVERY
    found: dict[Key, Epoch] = {}
    for number in range(start, newest.number):
        commit = read_commit(store, number)
        if commit is None or (number == start and not commit.full):
            raise LogDamaged(f"commit {number} is missing or lacks its epochs")
        found.update({(e.instance, e.epoch): e for e in commit.epochs})
    found.update({(e.instance, e.epoch): e for e in newest.epochs})
    return found


class LogView:
    """The log as of one commit.

    Args:
        store: the objects.
        commit: the commit; nothing behind its size is ever returned.
    """

    def __init__(self, store: ObjectStore, commit: Commit) -> None:
        self._store = store
        self.commit = commit

    @property
    def size(self) -> int:
        """Return the number of records."""
        return self.commit.size

    def tile(self, tile: Tile) -> bytes:
        """Return a tile's or bundle's bytes, at exactly the width asked.

        Raises:
            ObjectMissing: the log, as of this commit, does not have it.
            LogDamaged: it should be there and is not.
        """
        held = width_at(tile.level, tile.index, self.size)
        if tile.width > held:
            raise ObjectMissing(tile.path)
        return _cut(tile, self._widest(Tile(tile.level, tile.index, held)))

    def _widest(self, tile: Tile) -> bytes:
        """Return the tile under its own name, its staged name, or a wider one that replaced it."""
        names = [tile.path]
        if tile.path in self.commit.files:
            names.append(self.commit.files[tile.path])
        names.append(tiles.tile_path(tile.level, tile.index))
        for name in names:
            try:
                return self._store.read(name)
            except ObjectMissing:
                continue
        return self._wider_partial(tile)

    def _wider_partial(self, tile: Tile) -> bytes:
        folder = tiles.tile_path(tile.level, tile.index) + ".p"
        widths = (int(name.rpartition("/")[2]) for name in self._store.list(folder))
        for width in sorted((w for w in widths if w >= tile.width), reverse=True):
            try:
                return self._store.read(f"{folder}/{width}")
            except ObjectMissing:
                continue
        raise LogDamaged(f"{tile.path} of commit {self.commit.number} is missing")

    def fetch(self, level: int, index: int) -> bytes:
        """Return a hash tile at its width as of this commit: the source of proofs."""
        return self.tile(Tile(level, index, width_at(level, index, self.size)))

    @property
    def nodes(self) -> Nodes:
        """Return a node source over this commit's tiles, with a memory of its own."""
        seen: dict[tuple[int, int], bytes] = {}

        def fetch(level: int, index: int) -> bytes:
            data = seen.get((level, index))
            if data is None:
                data = seen[level, index] = self.fetch(level, index)
            return data

        return tiles.node_from_tiles(fetch)

    def bundle(self, index: int) -> list[bytes]:
        """Return the records of bundle `index` as of this commit."""
        return decode_bundle(self.tile(Tile(None, index, width_at(None, index, self.size))))

    def record(self, leaf: int) -> bytes:
        """Return the bytes of one record; `leaf` is below the size."""
        return self.bundle(leaf // WIDTH)[leaf % WIDTH]

    def records(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Yield (leaf, bytes) of the records from `first` to `last`, exclusive."""
        for index in range(first // WIDTH, -(-last // WIDTH)):
            for leaf, record in enumerate(self.bundle(index), index * WIDTH):
                if first <= leaf < last:
                    yield leaf, record

    def edge(self) -> tiles.Edge:
        """Return the edge from which a writer goes on."""
        partial = []
        level = 0
        while whole := self.size >> (HEIGHT * level):
            partial.append(self.fetch(level, whole // WIDTH) if whole % WIDTH else b"")
            level += 1
        return tiles.Edge(self.size, partial)

    def edge_records(self) -> list[bytes]:
        """Return the records of the last, partial bundle."""
        return self.bundle(self.size // WIDTH) if self.size % WIDTH else []


def _cut(tile: Tile, data: bytes) -> bytes:
    if tile.level is not None:
        return data[: tile.width * HASH_BYTES]
    records = decode_bundle(data)
    return data if len(records) == tile.width else tiles.encode_bundle(records[: tile.width])
