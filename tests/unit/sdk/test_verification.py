"""A package is proved, and every way of tampering is named."""

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from datong.verifier.report import Report, Verdict
from datong.verifier.verification import verify

Prove = Callable[..., Report]
Builders = dict[str, Callable[..., dict[str, Any]]]
OTHER_SEED = b"\x08" * 32
NEXT_EPOCH = "01990000-0000-7000-8000-00000000000b"


@pytest.fixture
def prove(log: Any, tmp_path: Path) -> Prove:
    """Verify a log as the auditor who noted the true log's key and its first 300 records."""

    def run(
        shown: Any, *, noted: int | None = 300, checkpoints: list[bytes] | None = None
    ) -> Report:
        kept = checkpoints if checkpoints is not None else [log.checkpoint(noted)]
        return verify(shown.save(tmp_path / "package.zip"), vkey=log.signer.vkey, checkpoints=kept)

    return run


def _whats(report: Report) -> set[str]:
    return {problem.what for problem in report.problems}


def test_a_true_package_is_verified(log: Any, prove: Prove) -> None:
    report = prove(log)

    assert report.problems == []
    assert report.verdict is Verdict.VERIFIED
    assert (report.records, report.verified, report.size) == (600, 600, 600)
    assert (report.epochs, report.open, report.gaps) == (2, 0, 0)
    assert report.noted == [300]
    assert report.types == {"beat": 588, "end": 1, "epoch": 1, "fact": 10}
    assert report.as_json()["ok"] is True


def test_the_checkpoint_of_the_whole_log_may_be_the_noted_one(log: Any, prove: Prove) -> None:
    assert prove(log, noted=None).ok


def test_an_empty_log_is_verified_and_says_what_it_proves(log: Any, prove: Prove) -> None:
    report = prove(replace(log, records=[]), noted=0)

    assert report.ok
    assert "proves nothing" in report.notes[0]


def test_one_changed_byte_in_a_record_is_refused(log: Any, prove: Prove) -> None:
    changed = replace(
        log.with_record(450, at="2026-11-24T09:00:00.000000Z"), signed=log.checkpoint()
    )

    report = prove(changed)

    assert report.verdict is Verdict.REFUSED
    assert _whats(report) == {"tree"}
    assert "between records 300 and 599" in report.problems[0].detail
    assert report.verified == 0


def test_one_changed_byte_of_the_file_names_the_damaged_bundle(log: Any, tmp_path: Path) -> None:
    path = log.save(tmp_path / "package.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as file:
        at = file.getinfo("tile/entries/001").header_offset + 200
    data[at] ^= 1
    path.write_bytes(data)

    report = verify(path, vkey=log.signer.vkey, checkpoints=[log.checkpoint(10)])

    assert report.verdict is Verdict.REFUSED
    assert any("tile/entries/001" in problem.detail for problem in report.problems)


def test_a_record_left_out_is_named_by_its_sequence(log: Any, prove: Prove) -> None:
    missing = json.loads(log.records[450])
    bundles = log.without_record(450)
    report = prove(replace(bundles, signed=bundles.checkpoint()))

    assert report.verdict is Verdict.INCOMPLETE
    assert report.gaps == 1
    assert report.problems[0].what == "sequence-gap"
    assert report.problems[0].sequence == missing["sequence"]
    assert report.problems[0].epoch == missing["epoch"]


def test_a_record_left_out_under_the_true_checkpoint_is_refused(log: Any, prove: Prove) -> None:
    report = prove(replace(log.without_record(450), signed=log.checkpoint()))

    assert report.verdict is Verdict.REFUSED
    assert "claims" in _whats(report)


def test_a_record_left_out_of_a_bundle_is_refused_and_named(log: Any, prove: Prove) -> None:
    records = log.records[256:511]
    short = b"".join(len(record).to_bytes(2, "big") + record for record in records)

    report = prove(replace(log, members={"tile/entries/001": short}))

    assert report.verdict is Verdict.REFUSED
    assert _whats(report) == {"member", "tree", "sequence-gap"}
    assert "255 records instead of 256" in report.problems[0].detail


def test_a_record_changed_and_signed_again_is_refused(log: Any, prove: Prove) -> None:
    report = prove(log.with_record(120, at="2026-11-24T09:00:00.000000Z"))

    assert report.verdict is Verdict.REFUSED
    assert _whats(report) == {"consistency"}
    assert "rewritten" in report.problems[0].detail
    assert report.verified == 0


def test_a_truncated_log_is_refused(log: Any, prove: Prove) -> None:
    report = prove(replace(log, records=log.records[:299]))

    assert report.verdict is Verdict.REFUSED
    assert "consistency" in _whats(report)
    assert "truncated" in report.problems[0].detail


def test_a_log_truncated_under_the_true_checkpoint_is_refused(log: Any, prove: Prove) -> None:
    report = prove(replace(log, records=log.records[:400], signed=log.checkpoint()))

    assert report.verdict is Verdict.REFUSED


def test_another_key_is_refused(log: Any, prove: Prove) -> None:
    other = replace(log, signer=replace(log.signer, seed=OTHER_SEED))

    report = prove(other)

    assert report.verdict is Verdict.REFUSED
    assert _whats(report) == {"checkpoint"}
    assert "key that you noted" in report.problems[0].detail


def test_a_checkpoint_of_another_key_among_the_noted_is_refused(log: Any, prove: Prove) -> None:
    other = replace(log, signer=replace(log.signer, seed=OTHER_SEED))

    report = prove(log, checkpoints=[log.checkpoint(10), other.checkpoint(20)])

    assert report.verdict is Verdict.REFUSED


def test_two_kept_checkpoints_of_one_size_that_differ_are_an_alarm(log: Any, prove: Prove) -> None:
    rewritten = log.with_record(5, at="2026-11-24T09:00:00.000000Z")

    report = prove(log, checkpoints=[log.checkpoint(10), rewritten.checkpoint(10)])

    assert "rewritten" in report.problems[0].detail


def test_without_a_checkpoint_of_ones_own_nothing_is_verified(log: Any, prove: Prove) -> None:
    assert not prove(log, checkpoints=[]).ok


def test_a_malformed_key_is_named(log: Any, tmp_path: Path) -> None:
    report = verify(
        log.save(tmp_path / "p.zip"), vkey="PRIVATE+KEY", checkpoints=[log.checkpoint()]
    )

    assert _whats(report) == {"key"}


@pytest.mark.parametrize(
    "data",
    [
        b'{"at":"x","at":"y"}',
        b'{"at": "x"}',
        b"[]",
        b"{}",
        b'{"at":"2026-11-24T08:00:00.000000Z","epoch":"e","instance":"i","record":"r","sequence":1.5,"type":"beat"}',
        b'{"at":"2026-11-24T08:00:00.000000Z","epoch":"e","instance":"i","record":"r","sequence":true,"type":"beat"}',
        b'{"at":"2026-11-24T08:00:00.000000Z","epoch":"e","instance":"i","record":"r","sequence":-1,"type":"beat"}',
        b"\xff",
    ],
)
def test_a_record_of_another_form_is_named_by_its_index(
    log: Any, prove: Prove, data: bytes
) -> None:
    report = prove(replace(log, records=[*log.records, data]))

    assert report.verdict is Verdict.REFUSED
    assert [problem.index for problem in report.problems] == [600]
    assert report.verified == 600


def test_the_same_sequence_with_other_bytes_is_a_conflict(
    log: Any, prove: Prove, records: Builders
) -> None:
    report = prove(log.plus(records["record"](7, at="2026-11-24T09:00:00.000000Z")))

    assert report.verdict is Verdict.INCOMPLETE
    assert report.conflicts == 1
    assert report.problems[0].what == "sequence-conflict"
    assert report.problems[0].index == 600


def test_an_epoch_that_continues_another_is_complete(
    log: Any, prove: Prove, records: Builders
) -> None:
    begin = records["record"](
        0, "epoch", epoch=NEXT_EPOCH, previous_epoch=json.loads(log.records[0])["epoch"]
    )
    report = prove(log.plus(begin | {"previous_sequence": 589}))

    assert report.ok
    assert report.open == 1
    assert f"epoch {NEXT_EPOCH} of gateway-0/0 is open: last sequence 0" in report.notes[0]


def test_an_epoch_whose_predecessor_is_shorter_than_named_is_incomplete(
    log: Any, prove: Prove, records: Builders
) -> None:
    begin = records["record"](
        0,
        "epoch",
        epoch=NEXT_EPOCH,
        previous_epoch=json.loads(log.records[0])["epoch"],
        previous_sequence=591,
    )
    report = prove(log.plus(begin))

    assert report.verdict is Verdict.INCOMPLETE
    assert report.gaps == 2
    assert report.problems[0].what == "epoch-chain"


def test_an_epoch_whose_predecessor_is_absent_is_incomplete(
    log: Any, prove: Prove, records: Builders
) -> None:
    begin = records["record"](
        0, "epoch", epoch=NEXT_EPOCH, previous_epoch="gone", previous_sequence=3
    )
    report = prove(log.plus(begin))

    assert [problem.what for problem in report.problems] == ["epoch-chain"]
    assert "absent" in report.problems[0].detail


def test_an_epoch_without_its_beginning_is_incomplete(
    log: Any, prove: Prove, records: Builders
) -> None:
    report = prove(log.plus(records["record"](3, epoch=NEXT_EPOCH)))

    assert [problem.what for problem in report.problems] == ["epoch-begin"]
    assert report.gaps == 3


def test_facts_begin_with_sequence_1(log: Any, prove: Prove, records: Builders) -> None:
    report = prove(log.plus(records["fact"](2, epoch="2")))

    assert [problem.what for problem in report.problems] == ["epoch-begin"]
    assert report.gaps == 1


def test_nothing_comes_after_the_end(log: Any, prove: Prove, records: Builders) -> None:
    report = prove(log.plus(records["record"](590)))

    assert [problem.what for problem in report.problems] == ["epoch-end"]


def test_a_selected_package_is_proved_with_hashes_for_the_rest(log: Any, prove: Prove) -> None:
    selected = replace(
        log,
        hashed_bundles=frozenset({0}),
        claims={"selection": "time", "first": 256, "last": 600},
    )

    report = prove(selected)

    assert report.ok
    assert (report.records, report.verified) == (344, 344)


def test_a_selected_package_may_end_within_an_epoch(log: Any, prove: Prove) -> None:
    selected = replace(
        log,
        hashed_bundles=frozenset({1, 2}),
        claims={"selection": "time", "first": 0, "last": 256},
    )

    report = prove(selected)

    assert report.ok
    assert (report.records, report.open, report.gaps) == (256, 0, 0)


@pytest.mark.parametrize(
    ("hashed", "claims"),
    [
        ({0}, {}),
        ({2}, {}),
        ({0}, {"selection": "time", "first": 0, "last": 600}),
        ({1}, {"selection": "time", "first": 0, "last": 600}),
        ({0}, {"selection": "time", "first": 512, "last": 600}),
        (set(), {"selection": "time", "first": 0, "last": 0}),
    ],
)
def test_a_package_shows_the_records_that_it_names(
    log: Any, prove: Prove, hashed: set[int], claims: dict[str, Any]
) -> None:
    report = prove(replace(log, hashed_bundles=frozenset(hashed), claims=claims))

    assert report.verdict is Verdict.REFUSED
    assert "shows others" in report.problems[0].detail


def test_a_changed_hash_in_a_selected_package_is_refused(log: Any, prove: Prove) -> None:
    selected = replace(
        log,
        hashed_bundles=frozenset({0}),
        claims={"selection": "time", "first": 256, "last": 600},
        members={"tile/0/000": b"\x00" * 32 * 256},
    )

    assert _whats(prove(selected)) == {"tree", "consistency"}


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"package.json": b"{}"}, "claims"),
        ({"package.json": b'{"a":1,"a":2}'}, "claims"),
        ({"package.json": None}, "member"),
        ({"checkpoint": None}, "member"),
        ({"checkpoint": b"no note\n"}, "checkpoint"),
        ({"extra": b""}, "member"),
        ({"tile/0/000": b"\x00" * 32 * 256}, "member"),
        ({"tile/entries/000": None}, "member"),
        ({"tile/entries/000": b"\x00"}, "member"),
        ({"tile/entries/000": b"\x00" * (256 * 65_537 + 1)}, "zip"),
        ({"tile/entries/000": None, "tile/0/000": b"short"}, "member"),
    ],
)
def test_a_package_of_another_form_is_refused(
    log: Any, prove: Prove, members: dict[str, bytes | None], what: str
) -> None:
    report = prove(replace(log, members=members))

    assert report.verdict is Verdict.REFUSED
    assert report.problems[0].what == what


@pytest.mark.parametrize(
    "claims",
    [
        {"size": -1},
        {"size": "600"},
        {"first": 1},
        {"selection": "some"},
        {"selection": "time", "first": 5, "last": 2},
        {"selection": "time", "first": 5, "last": 601},
        {"origin": 5},
        {"size": 599, "last": 599},
        {"origin": "other.example/log"},
    ],
)
def test_a_package_that_claims_another_log_is_refused(
    log: Any, prove: Prove, claims: dict[str, Any]
) -> None:
    report = prove(replace(log, claims=claims))

    assert report.verdict is Verdict.REFUSED
    assert report.problems[0].what == "claims"


def test_a_file_that_is_no_package_is_refused(log: Any, tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    path.write_bytes(b"not a zip file")
    for file in (path, tmp_path / "absent.zip"):
        report = verify(file, vkey=log.signer.vkey, checkpoints=[log.checkpoint()])
        assert _whats(report) == {"zip"}


def test_compressed_members_are_refused(log: Any, tmp_path: Path) -> None:
    path = tmp_path / "package.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("package.json", b"{}" * 100)

    report = verify(path, vkey=log.signer.vkey, checkpoints=[log.checkpoint()])

    assert "compressed" in report.problems[0].detail
