"""The spool of one worker: order, epochs, failure, limits, recovery."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.evidence import Evidence, EvidenceUnavailable, SlotHeld, SpoolFull
from gateway.evidence.slot import Slot
from tests.support.spools import (
    SALT,
    FailingDisk,
    an_evidence,
    entries_of,
    eventually,
    put,
    records_of,
)


async def run_through(directory: Path, records: int = 0) -> Evidence:
    """Open an epoch, write records, end it in order."""
    evidence = an_evidence(directory)
    await evidence.start()
    await asyncio.gather(*(put(evidence) for _ in range(records)))
    await evidence.stop()
    evidence.close()
    return evidence


async def test_records_are_numbered_from_the_epoch_record_to_the_end(tmp_path: Path) -> None:
    evidence = await run_through(tmp_path, 200)

    records = records_of(tmp_path)
    assert [record["sequence"] for record in records] == list(range(202))
    assert [record["type"] for record in records] == ["epoch", *["call"] * 200, "end"]
    assert {record["epoch"] for record in records} == {evidence.epoch}
    assert {record["instance"] for record in records} == {"gateway-0/0"}
    assert len({record["record"] for record in records}) == 202
    assert "case" not in records[1]


async def test_a_record_is_on_the_disk_when_it_is_released(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    await evidence.start()
    missing: list[int] = []
    released: list[int] = []
    done = asyncio.Event()

    def release(number: int) -> None:
        present = {record.get("status") for record in records_of(tmp_path)}
        released.append(number)
        if number not in present:
            missing.append(number)
        if number + 10 < 100:
            append(number + 10)
        if len(released) == 100:
            done.set()

    def append(number: int) -> None:
        evidence.append({"status": number}, SALT, lambda: release(number), raise_error)

    for number in range(10):
        append(number)
    async with asyncio.timeout(20):
        await done.wait()
    await evidence.stop()
    evidence.close()

    assert not missing
    assert sorted(released) == list(range(100))


def raise_error(error: Exception) -> None:
    raise error


async def test_releases_come_in_the_order_of_appends(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    await evidence.start()
    released: list[int] = []
    for number in range(500):
        evidence.append({}, b"", lambda number=number: released.append(number), raise_error)
    assert not released, "append itself never calls back"
    await put(evidence)
    await evidence.stop()
    evidence.close()

    assert released == list(range(500))


async def test_what_waits_together_is_committed_together(tmp_path: Path) -> None:
    disk = FailingDisk()
    evidence = an_evidence(tmp_path, disk=disk)
    await evidence.start()
    before = evidence.commits
    disk.let_go.clear()
    waiting = [put(evidence) for _ in range(1000)]
    disk.let_go.set()
    await asyncio.gather(*waiting)
    await evidence.stop()
    evidence.close()

    assert evidence.commits - before <= 4
    assert evidence.durable_records == 1002


async def test_a_callback_that_raises_does_not_keep_the_others_waiting(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    await evidence.start()
    reported: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    evidence.append({}, b"", lambda: raise_error(ValueError("a bug")), raise_error)
    await put(evidence)
    await evidence.stop()
    evidence.close()

    assert len(reported) == 1


async def test_an_epoch_names_its_predecessor_and_its_last_sequence(tmp_path: Path) -> None:
    first = await run_through(tmp_path, 5)
    second = await run_through(tmp_path)

    opening = [record for record in records_of(tmp_path) if record["type"] == "epoch"]
    assert "previous_epoch" not in opening[0]
    assert "previous_sequence" not in opening[0]
    assert opening[1]["epoch"] == second.epoch
    assert opening[1]["previous_epoch"] == first.epoch
    assert opening[1]["previous_sequence"] == 6


async def test_an_epoch_beats_with_its_last_sequence(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, beat_seconds=0.02)
    await evidence.start()
    await eventually(lambda: evidence.durable_records >= 4)
    await evidence.stop()
    evidence.close()

    types = [record["type"] for record in records_of(tmp_path)]
    assert set(types[1:-1]) == {"beat"}
    assert types[-1] == "end"


async def test_refusals_are_counted_in_one_record(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, refusals_seconds=0.05)
    await evidence.start()
    for _ in range(3):
        evidence.count_refusal("certificate-missing")
    evidence.count_refusal("call-malformed")
    await eventually(lambda: evidence.durable_records >= 2)
    await put(evidence)
    evidence.count_refusal("route-unknown")
    await evidence.stop()
    evidence.close()

    counted = [record["counts"] for record in records_of(tmp_path) if record["type"] == "refusals"]
    assert counted == [{"call-malformed": 1, "certificate-missing": 3}, {"route-unknown": 1}]


async def test_nothing_is_written_when_nothing_was_refused(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, refusals_seconds=0.01, beat_seconds=0.05)
    await evidence.start()
    await eventually(lambda: evidence.durable_records >= 3)
    await evidence.stop()
    evidence.close()

    assert "refusals" not in {record["type"] for record in records_of(tmp_path)}


@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_the_first_failure_of_the_disk_is_fatal_and_tells_everybody(
    tmp_path: Path, operation: str
) -> None:
    disk, fatal = FailingDisk(), list[Exception]()
    evidence = an_evidence(tmp_path, disk=disk, fatal=fatal)
    await evidence.start()
    disk.fails = operation
    waiting = [put(evidence) for _ in range(20)]

    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    later = await asyncio.gather(put(evidence), return_exceptions=True)

    assert {type(outcome) for outcome in [*outcomes, *later]} == {EvidenceUnavailable}
    assert len(fatal) == 1
    assert isinstance(fatal[0], OSError)
    assert not evidence.healthy
    assert not evidence.accepts_control
    await evidence.stop()
    evidence.close()


async def test_a_record_that_waits_for_a_failing_sync_and_one_behind_it_both_fail(
    tmp_path: Path,
) -> None:
    disk, fatal = FailingDisk(), list[Exception]()
    evidence = an_evidence(tmp_path, disk=disk, fatal=fatal)
    await evidence.start()
    disk.let_go.clear()
    first = put(evidence)
    await asyncio.sleep(0)
    second = put(evidence)
    disk.fails = "sync"
    disk.let_go.set()

    outcomes = await asyncio.gather(first, second, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {EvidenceUnavailable}
    assert len(fatal) == 1
    await evidence.stop()
    evidence.close()


async def test_a_record_without_canonical_form_fails_and_leaves_no_gap(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    await evidence.start()
    with pytest.raises(EvidenceUnavailable):
        await put(evidence, rows=2**60)
    await put(evidence, rows=1)
    await evidence.stop()
    evidence.close()

    assert [record["sequence"] for record in records_of(tmp_path)] == [0, 1, 2]


async def test_the_spool_keeps_its_last_eighth_for_the_control_plane(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, limit=160_000)
    await evidence.start()
    assert evidence.accepts
    while not evidence.full:
        await put(evidence)
    assert not evidence.accepts
    assert evidence.accepts_control
    assert evidence.healthy

    while evidence.accepts_control:
        await put(evidence)
    with pytest.raises(SpoolFull):
        await put(evidence)
    assert evidence.healthy, "a full spool is no broken one"
    assert evidence.used_bytes < 170_000
    await evidence.stop()
    evidence.close()


async def test_trimming_removes_accepted_segments_and_makes_room(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, limit=160_000)
    await evidence.start()
    while not evidence.full:
        await put(evidence)
    segments = len(evidence.segments)
    assert segments > 8

    await evidence.trim(lambda segment: segment.last_sequence <= 100)

    assert evidence.accepts
    assert len(evidence.segments) < segments
    assert min(record["sequence"] for record in records_of(tmp_path)) <= 101
    assert max(record["sequence"] for record in records_of(tmp_path)) == evidence.last_sequence
    await evidence.trim(lambda _: True)
    assert len(evidence.segments) == 1, "the newest stays: the next epoch reads it back"
    size = sum(path.stat().st_size for path in (tmp_path / "0").glob("*.spool"))
    assert evidence.used_bytes == size
    await evidence.stop()
    evidence.close()


async def test_a_trimmed_spool_still_tells_the_next_epoch_where_it_ended(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, limit=160_000)
    await evidence.start()
    await asyncio.gather(*(put(evidence) for _ in range(100)))
    await evidence.stop()
    await evidence.trim(lambda _: True)
    evidence.close()

    await run_through(tmp_path)

    opening = [record for record in records_of(tmp_path) if record["type"] == "epoch"][-1]
    assert opening["previous_epoch"] == evidence.epoch
    assert opening["previous_sequence"] == 101


async def test_a_slot_is_held_by_one_process(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    await evidence.start()
    other = Slot(tmp_path, 0)

    assert not other.try_lock()
    with pytest.raises(SlotHeld):
        other.lock(0.1)
    await evidence.stop()
    assert not other.try_lock(), "held until the shipper has finished"
    evidence.close()
    assert other.try_lock()
    other.unlock()


async def test_appends_before_the_start_and_after_the_end_fail(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path)
    with pytest.raises(EvidenceUnavailable):
        await put(evidence)
    await evidence.start()
    await evidence.stop()
    with pytest.raises(EvidenceUnavailable):
        await put(evidence)
    evidence.close()

    assert [record["type"] for record in records_of(tmp_path)] == ["epoch", "end"]


async def test_folder_and_segments_are_for_the_owner_alone(tmp_path: Path) -> None:
    await run_through(tmp_path / "spool")

    assert (tmp_path / "spool" / "0").stat().st_mode & 0o777 == 0o700
    for path in (tmp_path / "spool" / "0").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


async def test_a_torn_tail_is_cut_at_every_byte_and_kept_aside(tmp_path: Path) -> None:
    await run_through(tmp_path, 3)
    (segment,) = (tmp_path / "0").glob("*.spool")
    whole = segment.read_bytes()
    counts = set()
    before = [entry.record for entry in entries_of(tmp_path)]

    for length in range(len(whole) - 1, 0, -7):
        segment.write_bytes(whole[:length])
        slot = Slot(tmp_path, 0)
        assert slot.try_lock()
        found = slot.recover()
        slot.unlock()
        kept = [entry.record for entry in entries_of(tmp_path)]
        assert kept == before[: len(kept)]
        if found:
            assert found[-1].last_sequence == len(kept) - 1
            assert found[-1].end == segment.stat().st_size
        else:
            assert not kept
            assert not segment.exists()
        counts.add(len(kept))
    assert {0, 1} <= counts


async def test_a_commit_with_one_changed_byte_is_void_as_a_whole(tmp_path: Path) -> None:
    disk = FailingDisk()
    evidence = an_evidence(tmp_path, disk=disk)
    await evidence.start()
    disk.let_go.clear()
    waiting = [put(evidence) for _ in range(20)]
    disk.let_go.set()
    await asyncio.gather(*waiting)
    evidence.close()
    (segment,) = (tmp_path / "0").glob("*.spool")
    data = bytearray(segment.read_bytes())
    data[-40] ^= 1
    await evidence.stop()
    segment.write_bytes(data)  # as before the end record, which would show that this is no tail

    await run_through(tmp_path)

    records = records_of(tmp_path)
    opening = records[-2]
    assert opening["type"] == "epoch"
    assert opening["previous_sequence"] == records[-3]["sequence"] < 20
    assert (tmp_path / "0" / segment.with_suffix(".cut").name).exists()


async def test_segments_of_one_epoch_join_without_a_gap(tmp_path: Path) -> None:
    evidence = an_evidence(tmp_path, limit=400_000)
    await evidence.start()
    for _ in range(40):
        await asyncio.gather(*(put(evidence) for _ in range(10)))
    await evidence.stop()
    evidence.close()

    assert len(evidence.segments) > 4
    for segment, after in pairwise(evidence.segments):
        assert after.first_sequence == segment.last_sequence + 1
        assert after.number == segment.number + 1
    recovered = Slot(tmp_path, 0)
    assert recovered.try_lock()
    assert recovered.recover() == evidence.segments
    recovered.unlock()
    sequences = [record["sequence"] for record in records_of(tmp_path)]
    assert sequences == list(range(402))
