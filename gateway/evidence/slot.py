"""One slot's folder: locked by one process at a time, recovered before it is written."""

import fcntl
import os
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Final

from gateway.evidence.disk import sync_path
from gateway.evidence.segment import NotASegment, Scan, read_header, scan
from kit.logging import get_logger

SUFFIX: Final = ".spool"
HEADER_BYTES: Final = 4096
"""More than any header takes."""

log = get_logger()


class SlotHeld(Exception):
    """Another process holds the slot."""


@dataclass(slots=True)
class Segment:
    """A segment as its owner sees it.

    Attributes:
        number: rises by one per segment of a slot and orders them; not an epoch.
        last_sequence: of the last durable record.
        end: bytes that are durable and whole.
        size: bytes that the file takes on the disk.
    """

    number: int
    path: Path
    instance: str
    epoch: str
    first_sequence: int
    last_sequence: int
    end: int
    size: int = field(default=0)


class Slot:
    """The folder of one slot below the gateway's spool directory.

    Args:
        directory: the gateway's spool directory; created with the slot's folder, mode 0700.
        number: the slot.
    """

    def __init__(self, directory: Path, number: int) -> None:
        self.number = number
        self.path = directory / str(number)
        self._lock: int | None = None

    def try_lock(self) -> bool:
        """Take the slot's lock unless another process has it; tell whether it is ours.

        Raises:
            OSError: the folder cannot be created or written.
        """
        if not self.path.exists():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            # A folder whose name is lost takes the durable records in it along.
            sync_path(self.path.parent)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def lock(self, seconds: float) -> None:
        """Take the lock, waiting for a worker that is just shipping what this slot left behind.

        Blocks: run it in a thread.

        Raises:
            SlotHeld: another process still holds it after `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not self.try_lock():
            if time.monotonic() >= deadline:
                raise SlotHeld(f"another process holds slot {self.number}")
            time.sleep(0.05)

    def unlock(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sizes(self) -> tuple[tuple[str, int], ...]:
        """Return the names and sizes of the slot's segments, oldest first."""
        paths = sorted(self.path.glob(f"*{SUFFIX}"))
        return tuple((path.name, path.stat().st_size) for path in paths)

    def recover(self) -> list[Segment]:
        """Return the segments that a predecessor left, oldest first, after making them sound.

        The torn tail of the newest is kept aside (`.cut`) and cut off: nothing in it was ever
        released, since a release follows the fdatasync. What is then read back is synced, so that
        the sequence that the next epoch names cannot vanish. Damage that is no torn tail is left
        as it is, in the newest segment too: whole commits are shipped and audit reports the gap.

        Only for the holder of the lock. Reads the newest segment of each epoch whole.

        Raises:
            OSError: the folder cannot be read or cut.
        """
        paths = sorted(self.path.glob(f"*{SUFFIX}"))
        while paths and not self._sound(paths[-1]):
            paths.pop()
        segments = [self._described(path) for path in paths]
        found = [segment for segment in segments if segment is not None]
        for segment, after in pairwise(found):
            if after.epoch == segment.epoch:
                segment.last_sequence = after.first_sequence - 1
            else:
                segment.last_sequence = _last(scan(segment.path))
        if found:
            found[-1].last_sequence = _last(scan(found[-1].path))
            sync_path(found[-1].path)
        return found

    def _sound(self, path: Path) -> bool:
        """Cut what is torn off the newest segment; remove it when nothing whole is left."""
        try:
            found = scan(path)
        except NotASegment:
            found = None
        keep = 0 if found is None or found.last_sequence is None else found.end
        if found is not None and found.damaged:
            log.error("damaged commit in the spool", segment=path.name, commits=found.damaged)
        data = path.read_bytes()
        if keep == len(data):
            return True
        log.warning("torn tail of the spool cut", segment=path.name, bytes=len(data) - keep)
        aside = path.with_suffix(".cut")
        aside.write_bytes(data[keep:])
        sync_path(aside)
        if keep:
            os.truncate(path, keep)
            sync_path(path)
        else:
            path.unlink()
        sync_path(self.path)
        return keep > 0

    def _described(self, path: Path) -> Segment | None:
        with path.open("rb") as file:
            beginning = file.read(HEADER_BYTES)
        size = path.stat().st_size
        try:
            header, _ = read_header(beginning)
        except NotASegment:
            log.error("damaged segment of the spool left aside", segment=path.name)
            return None
        return Segment(
            number=int(path.stem),
            path=path,
            instance=header.instance,
            epoch=header.epoch,
            first_sequence=header.first_sequence,
            last_sequence=header.first_sequence - 1,
            end=size,
            size=size,
        )


def _last(found: Scan) -> int:
    return found.header.first_sequence - 1 if found.last_sequence is None else found.last_sequence
