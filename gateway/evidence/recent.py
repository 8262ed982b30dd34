"""Commits that were just made durable, kept in memory so that the shipper need not read them."""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.evidence.segment import Entry

RECENT_BYTES: Final = 4 << 20


class _Commit(NamedTuple):
    number: int
    begin: int
    end: int
    entries: Sequence[Entry]


class Recent:
    """The newest commits of a slot, by where they lie on the disk.

    Args:
        limit: bytes on the disk of what is kept; older commits are forgotten and must be read.
    """

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self._limit = limit
        self._commits: deque[_Commit] = deque()
        self._bytes = 0

    def add(self, number: int, begin: int, end: int, entries: Sequence[Entry]) -> None:
        """Keep a commit that is durable from `begin` to `end` in segment `number`."""
        self._commits.append(_Commit(number, begin, end, entries))
        self._bytes += end - begin
        while self._bytes > self._limit:
            self._forget()

    def page(self, number: int, offset: int, size: int) -> tuple[int, list[Entry]] | None:
        """Return the offset behind whole commits from `offset` on, and what they hold.

        What lies before `offset` is forgotten. None when the commit at `offset` is not here.

        Args:
            size: bytes after which no further commit is added.
        """
        commits = self._commits
        while commits and commits[0][:2] < (number, offset):
            self._forget()
        if not commits or commits[0][:2] != (number, offset):
            return None
        entries: list[Entry] = []
        behind = offset
        for commit in commits:
            if commit.number != number or behind - offset >= size:
                break
            entries += commit.entries
            behind = commit.end
        return behind, entries

    def _forget(self) -> None:
        commit = self._commits.popleft()
        self._bytes -= commit.end - commit.begin
