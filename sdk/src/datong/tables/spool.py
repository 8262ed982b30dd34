"""Segments on disk: downloaded with resume, checked, kept until their delivery has its receipt."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from datong.client.asynchronous import AsyncClient
from datong.errors import AnswerMalformed, DatongError, InputInvalid
from datong.operations.operation import Json

AT_ONCE: Final = 3
"""Segments of a delivery that are downloaded at the same time."""


class Spool:
    """A folder with one folder per delivery; nothing in it is needed when it is lost."""

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which only its owner may read; it is made when absent.

        Raises:
            InputInvalid: it cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InputInvalid(
                f"The folder {folder} cannot be made: {error.strerror}.",
                next_step="Name another one: --spool FOLDER",
            ) from error
        self._folder, self._lock = _take_slot(folder)

    def close(self) -> None:
        """Let others use the folder; what is in it stays."""
        os.close(self._lock)

    async def fetch(
        self,
        client: AsyncClient,
        resource: str,
        delivery: Json,
        *,
        purpose: str | None,
        grant: str | None,
    ) -> list[Path]:
        """Have all segments of a delivery on disk; what is there already is not fetched again.

        Returns:
            Files in the order of the segments.

        Raises:
            ProofFailed: a segment's bytes are not the listed ones.
        """
        folder = self._folder / _plain(delivery["id"])
        folder.mkdir(mode=0o700, exist_ok=True)
        listed = sorted(delivery["segments"], key=lambda segment: int(segment["number"]))
        files = [folder / f"{int(segment['number']):05}.arrow" for segment in listed]
        _check_anew(files)
        turns, failures = asyncio.Semaphore(AT_ONCE), 0

        async def fetch_one(segment: Json, file: Path) -> None:
            nonlocal failures
            async with turns:
                if failures:
                    return
                try:
                    await client.download_segment(
                        resource, delivery["id"], segment, file, purpose=purpose, grant=grant
                    )
                except DatongError:
                    failures += 1
                    raise

        # Calls under way are not cut when one fails: what came of them can be gone on with.
        ends = await asyncio.gather(*map(fetch_one, listed, files), return_exceptions=True)
        for error in ends:
            if error is not None:
                raise error
        return files

    def drop(self, delivery: str) -> None:
        """Remove what is there of a delivery."""
        shutil.rmtree(self._folder / _plain(delivery), ignore_errors=True)


def _check_anew(files: Sequence[Path]) -> None:
    """Have files of an earlier run checked like new ones: they may not have reached the disk."""
    for file in files:
        if file.exists():
            file.replace(file.with_name(file.name + ".partial"))


def _take_slot(folder: Path) -> tuple[Path, int]:
    """The first folder below `folder` that no other process works in, and the lock on it."""
    number = 0
    while True:
        slot = folder / str(number)
        slot.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(slot / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            number += 1
            continue
        return slot, lock


def _plain(delivery: str) -> str:
    """The id as the name of a folder.

    Raises:
        AnswerMalformed: it would lead elsewhere.
    """
    if not delivery or not all(letter.isalnum() or letter == "-" for letter in delivery):
        raise AnswerMalformed("The id of a delivery is no plain id.")
    return delivery
