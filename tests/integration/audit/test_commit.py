"""The commit protocol on a real folder: what is committed stays, what is not never shows."""

import os
import time
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from kit.clock import SystemClock
from services.audit.actions.commit import Committer, NotAnExtension, Superseded
from services.audit.actions.intake import CALLS, Intake
from services.audit.domain import notes, tree
from services.audit.domain.commits import FULL_EVERY, commit_name
from services.audit.domain.notes import NoteRefused
from services.audit.store.follower import LogFollower
from services.audit.store.keys import LogKey, is_signature
from services.audit.store.log import LogView, newest_number, read_commit, read_epochs
from services.audit.store.objects import FolderStore, ObjectDiffers, ObjectMissing
from services.audit.store.outside import OutsideCheckpoint
from tests.integration.audit.platform import ORIGIN, Gateway, Message, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, "", "")


def committer(place: Place) -> Committer:
    made = Committer(place.store, OutsideCheckpoint(place.outside), place.key, SystemClock())
    made.open()
    return made


def intake(made: Committer) -> Intake:
    newest = made.newest
    assert newest is not None
    positions = {topic: dict(offsets) for topic, offsets in newest.positions.items()}
    return Intake(
        made.ledger(),
        newest.size,
        positions,
        made.load_digests,
        made.load_record,
        SystemClock(),
    )


def messages(records: Iterable[bytes], first: int = 0) -> list[Message]:
    return [Message(CALLS, 0, offset, record) for offset, record in enumerate(records, first)]


def commit_all(made: Committer, taking: Intake, records: Iterable[bytes], first: int = 0) -> None:
    taking.take(messages(records, first))
    made.commit(taking.close(full=made.next_is_full()))


def log_of(place: Place) -> list[bytes]:
    view = place.view()
    return [record for _, record in view.records(0, view.size)]


def a_gateway(calls: int) -> Gateway:
    gateway = Gateway()
    for _ in range(calls):
        gateway.call()
    return gateway


def test_the_log_begins_empty_and_signed(place: Place) -> None:
    committer(place)
    view = place.view()
    checkpoint = notes.open_checkpoint(
        view.commit.checkpoint.encode(), place.key.verifier, ORIGIN, is_signature
    )
    assert (checkpoint.size, checkpoint.root) == (0, tree.EMPTY_ROOT)
    assert place.outside.read_text("utf-8") == view.commit.checkpoint
    assert LogFollower(place.store).verification_key() == place.key.verifier.vkey


def test_records_are_committed_in_the_order_of_arrival_and_byte_for_byte(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateway = a_gateway(700)
    for at in range(0, 701, 150):
        commit_all(made, taking, gateway.records[at : at + 150], at)
    assert log_of(place) == gateway.records
    view = place.view()
    assert view.commit.positions == {CALLS: {"0": 701}}
    assert tree.root(view.nodes, 701) == view.commit.root
    whole = tree.LevelArrays()
    whole.extend(tree.leaf_hash(record) for record in gateway.records)
    assert whole.root() == view.commit.root
    for leaf in (0, 255, 256, 700):
        proof = tree.inclusion_proof(view.nodes, leaf, view.size)
        assert tree.verify_inclusion(
            tree.leaf_hash(gateway.records[leaf]), leaf, view.size, proof, view.commit.root
        )


def test_a_restart_goes_on_where_the_last_commit_stopped(place: Place) -> None:
    gateway = a_gateway(999)
    at = 0
    for step in (1, 254, 1, 257, 300, 187):
        made = committer(place)
        commit_all(made, intake(made), gateway.records[at : at + step], at)
        at += step
    assert log_of(place) == gateway.records
    (epoch,) = committer(place).ledger().epochs.values()
    assert (epoch.last, epoch.missing) == (999, [])


def test_what_comes_again_enters_once_also_after_a_restart(place: Place) -> None:
    gateway = a_gateway(600)
    made = committer(place)
    commit_all(made, intake(made), gateway.records)
    made = committer(place)
    taking = intake(made)
    taking.take(messages(gateway.records))
    assert taking.records == []
    assert taking.take_repeated() == {(gateway.instance, gateway.epoch)}
    assert taking.positions == {CALLS: {"0": 601}}


def test_other_bytes_under_a_known_number_are_kept_with_an_alarm(place: Place) -> None:
    gateway = a_gateway(3)
    other = gateway.records[2].replace(b'"status":200', b'"status":500')
    made = committer(place)
    commit_all(made, intake(made), gateway.records)
    made = committer(place)
    taking = intake(made)
    commit_all(made, taking, [other, other, gateway.records[2]])
    *kept, conflict, alarm = log_of(place)
    assert (kept, conflict) == (gateway.records, other)
    assert b'"reason":"record-conflict"' in alarm
    assert b'"of_leaf":4,"of_sequence":2' in alarm.replace(
        f'"of_instance":"{gateway.instance}",'.encode(), b""
    )
    made = committer(place)
    taking = intake(made)
    taking.take(messages([other, gateway.records[2]]))
    assert taking.records == []


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"not json", b"record-unreadable"),
        (b"{}", b"record-unreadable"),
        (b'{"a":' + b"1" * 66_000 + b"}", b"record-unreadable"),
        (None, b"record-unreadable"),
    ],
)
def test_what_is_no_record_is_an_alarm_and_blocks_nothing(
    place: Place, value: bytes | None, reason: bytes
) -> None:
    gateway = a_gateway(1)
    made = committer(place)
    taking = intake(made)
    taking.take([Message(CALLS, 0, 0, value), *messages(gateway.records, 1)])
    made.commit(taking.close(full=False))
    alarm, *records = log_of(place)
    assert reason in alarm
    assert records == gateway.records


def test_headers_that_name_another_record_are_an_alarm_once(place: Place) -> None:
    gateway = a_gateway(0)
    made = committer(place)
    taking = intake(made)
    message = Message(CALLS, 0, 0, gateway.records[0], [("datong_sequence", b"7")])
    taking.take([message, message])
    assert taking.records[0] == gateway.records[0]
    assert [b'"reason":"headers-differ"' in record for record in taking.records] == [False, True]


def test_salts_wait_beside_the_log_and_never_in_it(place: Place) -> None:
    gateway = a_gateway(1)
    made = committer(place)
    taking = intake(made)
    salt = sha256(b"salt").digest()
    taking.take([Message(CALLS, 0, 0, gateway.records[1], [("datong_salt", salt)])])
    commit = made.commit(taking.close(full=False))
    assert commit.salts is not None
    assert salt.hex().encode() in place.store.read(commit.salts)
    assert not any(salt in record or salt.hex().encode() in record for record in log_of(place))


def test_two_writers_cannot_both_commit(place: Place) -> None:
    gateway = a_gateway(20)
    first = committer(place)
    first_intake = intake(first)
    commit_all(first, first_intake, gateway.records[:5])
    second = committer(place)
    commit_all(second, intake(second), gateway.records[5:10], 5)
    with pytest.raises(Superseded):
        commit_all(first, first_intake, gateway.records[5:20], 5)
    assert log_of(place) == gateway.records[:10]
    third = committer(place)
    commit_all(third, intake(third), gateway.records[10:], 10)
    assert log_of(place) == gateway.records


def test_a_writer_that_was_overtaken_after_its_commit_tells_nobody(place: Place) -> None:
    gateway = a_gateway(20)
    first = committer(place)
    first_intake = intake(first)

    commit_all(first, first_intake, gateway.records[:5])
    second = committer(place)
    commit_all(second, intake(second), gateway.records[5:], 5)
    newest = place.outside.read_text("utf-8")
    late = read_commit(place.store, 1)
    assert late is not None
    with pytest.raises(Superseded):
        first._publish(late)
    assert place.outside.read_text("utf-8") == newest


def test_a_crash_after_the_commit_is_finished_by_the_next_writer(place: Place) -> None:
    gateway = a_gateway(600)
    made = committer(place)
    commit_all(made, intake(made), gateway.records[:300])
    commit = made.newest
    assert commit is not None
    for path in commit.files:
        place.store.remove(path)
    assert log_of(place) == gateway.records[:300]  # staged objects serve until then
    made = committer(place)
    for path, staged in commit.files.items():
        assert place.store.read(path) == place.store.read(staged)
    commit_all(made, intake(made), gateway.records[300:], 300)
    assert log_of(place) == gateway.records


def test_what_was_staged_and_not_committed_never_shows(place: Place) -> None:
    gateway = a_gateway(600)
    made = committer(place)
    commit_all(made, intake(made), gateway.records[:10])
    taking = intake(made)
    taking.take(messages(gateway.records[10:], 10))

    def die(_number: int) -> None:
        raise KeyboardInterrupt

    made.before_commit = die
    with pytest.raises(KeyboardInterrupt):
        made.commit(taking.close(full=False))
    assert log_of(place) == gateway.records[:10]
    made = committer(place)
    commit_all(made, intake(made), gateway.records[10:400], 10)
    assert log_of(place) == gateway.records[:400]


def test_a_store_that_fell_behind_the_outside_checkpoint_is_refused(place: Place) -> None:
    gateway = a_gateway(20)
    made = committer(place)
    taking = intake(made)
    commit_all(made, taking, gateway.records[:10])
    commit_all(made, taking, gateway.records[10:], 10)
    place.store.remove(commit_name(2))
    with pytest.raises(NotAnExtension, match="behind"):
        committer(place)


def test_a_store_that_was_emptied_is_refused(place: Place) -> None:
    gateway = a_gateway(20)
    made = committer(place)
    commit_all(made, intake(made), gateway.records)
    for number in range(2):
        place.store.remove(commit_name(number))
    with pytest.raises(NotAnExtension, match="empty"):
        committer(place)


def test_a_rewritten_log_is_refused_by_its_own_signer(place: Place, tmp_path: Path) -> None:
    gateway, other = a_gateway(20), a_gateway(30)
    made = committer(place)
    commit_all(made, intake(made), gateway.records)
    forged = Place(tmp_path / "forged", "", "")
    made = committer(forged)
    commit_all(made, intake(made), other.records)
    forged.outside.write_bytes(place.outside.read_bytes())
    with pytest.raises(NotAnExtension, match="contradicts"):
        committer(forged)


def test_a_log_without_its_outside_checkpoint_is_refused(place: Place) -> None:
    committer(place)
    place.outside.unlink()
    with pytest.raises(NotAnExtension, match="no checkpoint is kept outside"):
        committer(place)


def test_a_log_keeps_its_key(place: Place) -> None:
    committer(place)
    place.key = LogKey(ORIGIN, sha256(b"another key").digest())
    with pytest.raises(NoteRefused):
        committer(place)


def test_names_that_are_not_needed_any_more_go_away(place: Place) -> None:
    gateway = a_gateway(1200)
    made = committer(place)
    taking = intake(made)
    for at in range(0, 1201, 30):
        commit_all(made, taking, gateway.records[at : at + 30], at)
    partial = sorted(str(p.relative_to(place.objects)) for p in place.objects.glob("tile/**/*.p/*"))
    assert partial == ["tile/0/004.p/177", "tile/1/000.p/4", "tile/entries/004.p/177"]
    numbers = {name.split("-")[0] for name in place.store.list("staged")}
    assert len(numbers) <= 16
    assert log_of(place) == gateway.records


def test_earlier_commits_can_be_read_after_their_partial_tiles_went(place: Place) -> None:
    gateway = a_gateway(400)
    made = committer(place)
    taking = intake(made)
    for at in range(0, 401, 20):
        commit_all(made, taking, gateway.records[at : at + 20], at)
    for number in range(1, 22):
        commit = read_commit(place.store, number)
        assert commit is not None
        view = LogView(place.store, commit)
        assert [r for _, r in view.records(0, view.size)] == gateway.records[: view.size]
        assert tree.root(view.nodes, view.size) == commit.root


def test_all_epochs_are_found_across_full_commits(place: Place) -> None:
    made = committer(place)
    taking = intake(made)
    gateways = [Gateway(f"gateway-{n}/0") for n in range(FULL_EVERY + 10)]
    follower = LogFollower(place.store)
    for gateway in gateways[:3]:
        commit_all(made, taking, gateway.records)
    assert len(follower.epochs()[1]) == 3
    for gateway in gateways[3:]:
        commit_all(made, taking, gateway.records)
    view, epochs = follower.epochs()
    assert {key[0] for key in epochs} == {gateway.instance for gateway in gateways}
    assert read_epochs(place.store, view.commit) == epochs
    assert newest_number(place.store) == len(gateways)


def test_objects_are_written_once(place: Place) -> None:
    store = place.store
    assert store.create_if_absent("a/b/c", b"one")
    assert not store.create_if_absent("a/b/c", b"two")
    assert store.read("a/b/c") == b"one"
    store.create_all({"staged/1": b"two", "staged/2": b"one"})
    store.copy_all({"x/y": "staged/1"})
    store.copy_all({"x/y": "staged/1"})
    with pytest.raises(ObjectDiffers):
        store.copy_all({"a/b/c": "staged/1"})
    with pytest.raises(ObjectMissing):
        store.copy_all({"z": "staged/9"})
    with pytest.raises(ObjectMissing):
        store.read("a/b")
    assert list(store.list("a")) == []
    assert sorted(store.list("staged")) == ["staged/1", "staged/2"]
    assert list(FolderStore(place.objects).list("nothing")) == []


def test_half_written_files_of_the_dead_go_away_and_fresh_ones_stay(place: Place) -> None:
    for name, age in (("old", 7200), ("fresh", 60)):
        path = place.objects / "writing" / name
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age,) * 2)
    place.store.remove_leftovers(time.time() - 3600)
    assert list(place.store.list("writing")) == ["writing/fresh"]
