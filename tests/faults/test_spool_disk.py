"""The disk that forgets what came after the last fdatasync: nothing that was released is lost.

Each test has its control run: with the safeguard off, the same check must find losses.
"""

import asyncio
from pathlib import Path

import pytest

from gateway.evidence import EvidenceUnavailable
from tests.support.spools import SALT, ForgetfulDisk, an_evidence, records_of

ROUNDS = 8
RECORDS = 1500
WAITING = 64


async def lost_after_power_cut(
    work: Path, seed: int, *, syncs: bool = True, syncs_names: bool = True
) -> set[int]:
    """Release records until the power is cut at a moment given by `seed`.

    Returns:
        The records that had been released and that the next epoch does not find.
    """
    disk = ForgetfulDisk(seed, syncs=syncs, syncs_names=syncs_names)
    evidence = an_evidence(work / "before", disk=disk, limit=1 << 20)
    await evidence.start()
    released: set[int] = set()
    at_the_cut: list[set[int]] = []
    stop_after = 200 + seed * 150
    cut = asyncio.Event()
    numbers = iter(range(RECORDS))

    def append() -> None:
        number = next(numbers, None)
        if number is not None:
            evidence.append({"status": number}, SALT, lambda: release(number), ignore)

    def release(number: int) -> None:
        released.add(number)
        if len(released) == stop_after:
            disk.cut_power(work / "after")
            at_the_cut.append(set(released))
            cut.set()
        append()

    for _ in range(WAITING):
        append()
    async with asyncio.timeout(30):
        await cut.wait()
    await evidence.stop()
    evidence.close()

    successor = an_evidence(work / "after")
    await successor.start()
    await successor.stop()
    successor.close()
    records = records_of(work / "after")
    found = {record["status"] for record in records if record["type"] == "call"}
    opening = next(r for r in records if r["epoch"] == successor.epoch)
    if found:
        last = max(r["sequence"] for r in records if r["epoch"] == evidence.epoch)
        assert opening["previous_epoch"] == evidence.epoch
        assert opening["previous_sequence"] == last
    return at_the_cut[0] - found


def ignore(error: Exception) -> None:
    """After the cut nobody waits for the rest."""
    assert isinstance(error, EvidenceUnavailable)


async def lost_in_rounds(work: Path, **safeguards: bool) -> int:
    lost = 0
    for seed in range(ROUNDS):
        lost += len(await lost_after_power_cut(work / str(seed), seed, **safeguards))
    return lost


async def test_a_released_record_survives_a_power_cut(tmp_path: Path) -> None:
    assert await lost_in_rounds(tmp_path) == 0


async def test_without_fdatasync_the_same_check_finds_losses(tmp_path: Path) -> None:
    assert await lost_in_rounds(tmp_path, syncs=False) > 0


async def test_without_syncing_names_the_same_check_finds_losses(tmp_path: Path) -> None:
    assert await lost_in_rounds(tmp_path, syncs_names=False) > 0


@pytest.mark.parametrize("seed", range(3))
async def test_a_torn_piece_after_the_last_sync_is_never_taken_for_records(
    tmp_path: Path, seed: int
) -> None:
    await lost_after_power_cut(tmp_path, seed)

    sequences = [(record["epoch"], record["sequence"]) for record in records_of(tmp_path / "after")]
    assert len(sequences) == len(set(sequences))
    by_epoch: dict[str, list[int]] = {}
    for epoch, sequence in sequences:
        by_epoch.setdefault(epoch, []).append(sequence)
    for found in by_epoch.values():
        assert found == list(range(len(found)))
