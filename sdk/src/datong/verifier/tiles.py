"""Paths and entry bundles of C2SP tlog-tiles."""

from __future__ import annotations

from collections.abc import Iterator

TILE_WIDTH = 256
"""Hashes of a full tile and records of a full bundle."""

_LENGTH_BYTES = 2


class BundleMalformed(Exception):
    """Bytes that are not an entry bundle."""


def _index_path(index: int) -> str:
    """Write `index` in groups of three digits; all but the last begin with `x`."""
    digits = f"{index % 1000:03d}"
    index //= 1000
    while index:
        digits = f"x{index % 1000:03d}/{digits}"
        index //= 1000
    return digits


def tile_path(level: int, index: int, width: int = TILE_WIDTH) -> str:
    """Path of a hash tile; a `width` below 256 names a partial tile."""
    return f"tile/{level}/{_index_path(index)}{_suffix(width)}"


def bundle_path(index: int, width: int = TILE_WIDTH) -> str:
    """Path of an entry bundle; a `width` below 256 names a partial bundle."""
    return f"tile/entries/{_index_path(index)}{_suffix(width)}"


def _suffix(width: int) -> str:
    if not 0 < width <= TILE_WIDTH:
        raise ValueError("a tile holds 1 to 256 hashes")
    return "" if width == TILE_WIDTH else f".p/{width}"


def bundle_paths(size: int) -> Iterator[tuple[str, int]]:
    """Paths and numbers of records of all bundles of a log of `size` records, in order."""
    for index in range(size // TILE_WIDTH):
        yield bundle_path(index), TILE_WIDTH
    if size % TILE_WIDTH:
        yield bundle_path(size // TILE_WIDTH, size % TILE_WIDTH), size % TILE_WIDTH


def read_bundle(data: bytes) -> list[bytes]:
    """Split an entry bundle into its records; each follows its length as 16 bits, big-endian.

    Raises:
        BundleMalformed: the bytes end inside a length or a record.
    """
    records: list[bytes] = []
    offset = 0
    while offset < len(data):
        begin = offset + _LENGTH_BYTES
        if begin > len(data):
            raise BundleMalformed("ends inside a length")
        end = begin + int.from_bytes(data[offset:begin], "big")
        if end > len(data):
            raise BundleMalformed("ends inside a record")
        records.append(data[begin:end])
        offset = end
    return records
