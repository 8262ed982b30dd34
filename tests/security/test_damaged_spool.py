"""Damage to evidence that was durable is never taken for a torn tail and forgotten."""

import json
from pathlib import Path

from gateway.evidence.segment import read_commits, read_header
from gateway.evidence.shipper import Trail, Watermarks
from gateway.evidence.slot import Slot
from tests.support.spools import an_evidence, put, records_of


async def spool_of_five(folder: Path) -> None:
    """Leave a spool with five commits of one call each, after that of the epoch."""
    evidence = an_evidence(folder)
    await evidence.start()
    for _ in range(5):
        await put(evidence)
    await evidence.stop()
    evidence.close()


def damage_second_call(folder: Path) -> None:
    """Change one byte in the commit of the second call: sequence 2."""
    [path] = (folder / "0").glob("*.spool")
    data = bytearray(path.read_bytes())
    ends = [behind for behind, _ in read_commits(bytes(data), read_header(bytes(data))[1])]
    data[ends[2] - 3] ^= 1
    path.write_bytes(data)


async def test_the_next_epoch_names_the_last_sequence_behind_the_damage(tmp_path: Path) -> None:
    await spool_of_five(tmp_path)
    last = records_of(tmp_path)[-1]
    assert (last["type"], last["sequence"]) == ("end", 6)
    damage_second_call(tmp_path)

    evidence = an_evidence(tmp_path)
    await evidence.start()
    await evidence.stop()
    evidence.close()

    opening = next(r for r in records_of(tmp_path) if r["epoch"] == evidence.epoch)
    assert opening["previous_sequence"] == 6
    assert list((tmp_path / "0").glob("*.cut")) == []


async def test_what_lies_behind_the_damage_is_shipped(tmp_path: Path) -> None:
    await spool_of_five(tmp_path)
    damage_second_call(tmp_path)
    slot = Slot(tmp_path, 0)
    assert slot.try_lock()
    trail = Trail(slot.recover(), Watermarks({}))
    shipped: list[int] = []

    while (page := await trail.next_page()) is not None:
        _, messages, advance = page
        shipped += [json.loads(value)["sequence"] for value, _ in messages]
        advance()

    slot.unlock()
    assert shipped == [0, 1, 3, 4, 5, 6]
