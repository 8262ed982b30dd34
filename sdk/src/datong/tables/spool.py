"""Segments on disk: downloaded with resume, checked, kept until their delivery has its receipt."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from datong.client.asynchronous import AsyncClient
from datong.errors import AnswerMalformed, InputInvalid
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
        on_segment: Callable[[Json], None] | None = None,
    ) -> list[Path]:
        """Have all segments of a delivery on disk; what is there already is not fetched again.

        Returns:
            Files in the order of the segments.

        Raises:
            ProofFailed: a segment's bytes are not the listed ones.
        """
        folder = self._folder / _plain(delivery["id"])
        folder.mkdir(mode=0o700, exist_ok=True)
        turns = asyncio.Semaphore(AT_ONCE)

        async def fetch_one(segment: Json) -> Path:
            file = folder / f"{int(segment['number']):05}.arrow"
            async with turns:
                # A file of an earlier run may not have reached the disk whole: it is checked anew.
                if file.exists():
                    file.replace(file.with_name(file.name + ".partial"))
                await client.download_segment(
                    resource, delivery["id"], segment, file, purpose=purpose, grant=grant
                )
            if on_segment is not None:
                on_segment(segment)
            return file

        listed = sorted(delivery["segments"], key=lambda segment: int(segment["number"]))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch_one(segment)) for segment in listed]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors  # the others were cancelled because of it
        return [task.result() for task in tasks]

    def drop(self, delivery: str) -> None:
        """Remove what is there of a delivery."""
        shutil.rmtree(self._folder / _plain(delivery), ignore_errors=True)


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
