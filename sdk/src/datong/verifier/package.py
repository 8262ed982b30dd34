"""Reads an evidence package (`contracts/package.md` sections 1 and 2); trusts nothing in it."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeGuard

from datong.verifier import strict, tiles

FORMAT = "datong-evidence-package/1"
CLAIMS = "package.json"
CHECKPOINT = "checkpoint"
MAX_SMALL_BYTES = 64 * 1024
MAX_BUNDLE_BYTES = tiles.TILE_WIDTH * (2 + 0xFFFF)
_UNREADABLE = (
    zipfile.BadZipFile,
    EOFError,
    OSError,
    NotImplementedError,
    RuntimeError,
    ValueError,  # a name that is not UTF-8, an offset before the file
    struct.error,
)


class PackageRefused(Exception):
    """The file is not an evidence package; `what` names the part (see `Problem.what`)."""

    def __init__(self, what: str, detail: str) -> None:
        """Keep which part failed and why."""
        super().__init__(detail)
        self.what = what


@dataclass(frozen=True)
class Claims:
    """Content of `package.json`."""

    origin: str
    size: int
    selection: str
    first: int
    last: int

    @property
    def whole(self) -> bool:
        """Whether the package says that it holds every record."""
        return self.selection == "whole"


@dataclass(frozen=True)
class Slice:
    """Up to 256 leaves of the log: their records, or only their hashes when not selected."""

    path: str
    first: int
    width: int
    records: list[bytes] | None
    hashes: list[bytes]


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _claims(value: Any) -> Claims:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise PackageRefused("claims", f"{CLAIMS} does not name the format {FORMAT}")
    size, first, last = (value.get(name) for name in ("size", "first", "last"))
    if not (_is_count(size) and _is_count(first) and _is_count(last)):
        raise PackageRefused("claims", f"{CLAIMS} lacks size, first or last")
    origin, selection = value.get("origin"), value.get("selection")
    if not isinstance(origin, str) or selection not in ("whole", "time"):
        raise PackageRefused("claims", f"{CLAIMS} lacks its origin or its selection")
    claims = Claims(origin, size, str(selection), first, last)
    if claims.whole and (claims.first, claims.last) != (0, claims.size):
        raise PackageRefused("claims", f"{CLAIMS} says whole but selects a part")
    if not claims.first <= claims.last <= claims.size:
        raise PackageRefused("claims", f"{CLAIMS} selects records outside of the log")
    return claims


class Package:
    """An open package file.

    Raises:
        PackageRefused: from every method, when the file breaks the format.
    """

    def __init__(self, path: Path) -> None:
        """Open `path`, and check its table of contents."""
        try:
            self._zip = zipfile.ZipFile(path)
        except _UNREADABLE as error:
            raise PackageRefused(
                "zip", f"{path.name} is not a readable ZIP file: {error}"
            ) from error
        try:
            self._members = self._contents()
            self.claims = _claims(self._claimed())
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> Self:
        """The package itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the file."""
        self._zip.close()

    def _contents(self) -> dict[str, zipfile.ZipInfo]:
        members: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            name = info.filename
            if name in members:
                raise PackageRefused("zip", f"the member {name} occurs twice")
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
                raise PackageRefused("zip", f"the member {name} is compressed or encrypted")
            limit = MAX_SMALL_BYTES if name in (CLAIMS, CHECKPOINT) else MAX_BUNDLE_BYTES
            if info.file_size > limit:
                raise PackageRefused("zip", f"the member {name} is longer than {limit} bytes")
            members[name] = info
        return members

    def _read(self, name: str) -> bytes:
        info = self._members.get(name)
        if info is None:
            raise PackageRefused("member", f"the package lacks {name}")
        try:
            return self._zip.read(info)
        except _UNREADABLE as error:
            raise PackageRefused("member", f"the member {name} is damaged: {error}") from error

    def _claimed(self) -> Any:
        try:
            return strict.read_canonical(self._read(CLAIMS))
        except strict.NotStrict as error:
            raise PackageRefused("claims", f"{CLAIMS}: {error}") from error

    def checkpoint(self) -> bytes:
        """The signed note of the checkpoint, unchecked."""
        return self._read(CHECKPOINT)

    def require_members(self, size: int) -> None:
        """Check that the package of a log of `size` records holds what it must and nothing else."""
        left = set(self._members) - {CLAIMS, CHECKPOINT}
        for index, (path, _) in enumerate(tiles.bundle_paths(size)):
            kinds = {path, _tile_of(path)} & left
            if len(kinds) != 1:
                found = "both" if kinds else "neither"
                raise PackageRefused(
                    "member",
                    f"bundle {index}: {found} of {path} and {_tile_of(path)} in the package",
                )
            left -= kinds
        if left:
            raise PackageRefused("member", f"the package holds the foreign member {min(left)}")

    def slices(self, size: int) -> Iterator[Slice | PackageRefused]:
        """The leaves in order; a damaged slice is given as its refusal, and the rest is still read.

        Costs memory for one bundle at a time.
        """
        for index, (path, width) in enumerate(tiles.bundle_paths(size)):
            try:
                yield self._slice(index * tiles.TILE_WIDTH, path, width)
            except PackageRefused as refused:
                yield refused

    def _slice(self, first: int, path: str, width: int) -> Slice:
        where = f"records {first} to {first + width - 1}"
        if path not in self._members:
            data = self._read(_tile_of(path))
            if len(data) != 32 * width:
                raise PackageRefused(
                    "member", f"{_tile_of(path)} ({where}) does not hold {width} hashes"
                )
            hashes = [data[at : at + 32] for at in range(0, len(data), 32)]
            return Slice(_tile_of(path), first, width, None, hashes)
        try:
            records = tiles.read_bundle(self._read(path))
        except tiles.BundleMalformed as error:
            raise PackageRefused("member", f"{path} ({where}) {error}") from error
        return Slice(path, first, width, records, [])


def _tile_of(bundle: str) -> str:
    """Path of the leaf-hash tile that may stand for an entry bundle."""
    return bundle.replace("tile/entries/", "tile/0/", 1)
