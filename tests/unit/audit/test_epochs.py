"""Sequences: once each, late ones, holes, tails, other bytes under a known number."""

from hypothesis import given
from hypothesis import strategies as st

from services.audit.domain.epochs import (
    DIGEST_BYTES,
    WINDOW,
    Arrival,
    Digests,
    Epoch,
    Ledger,
    first_sequence,
)

KEY = ("gateway-0/0", "019aa5ef-ffff-7000-8000-00000000000e")


def digest(number: int) -> bytes:
    return (number + 1).to_bytes(DIGEST_BYTES, "big")


def entered(*sequences: int) -> Ledger:
    ledger = Ledger()
    for leaf, sequence in enumerate(sequences):
        ledger.enter(KEY, sequence, digest(sequence), leaf, f"t{sequence}")
    return ledger


def test_gateways_count_from_zero_and_facts_from_one() -> None:
    assert first_sequence(KEY[1]) == 0
    assert first_sequence("1732435200000") == 1


def test_a_record_is_new_once() -> None:
    ledger = Ledger()
    assert ledger.arrival(KEY, 0, digest(0)) is Arrival.NEW
    ledger.enter(KEY, 0, digest(0), 0, "t0")
    assert ledger.arrival(KEY, 0, digest(0)) is Arrival.DUPLICATE


def test_other_bytes_under_a_number_are_a_conflict_and_then_known() -> None:
    ledger = entered(0, 1)
    assert ledger.arrival(KEY, 1, digest(99)) is Arrival.CONFLICT
    ledger.enter_conflict(KEY, 1, digest(99), 2)
    assert ledger.arrival(KEY, 1, digest(99)) is Arrival.REPEATED_CONFLICT
    assert ledger.arrival(KEY, 1, digest(1)) is Arrival.DUPLICATE
    assert ledger.arrival(KEY, 1, digest(98)) is Arrival.CONFLICT


def test_a_late_record_fills_its_hole() -> None:
    ledger = entered(0, 1, 5)
    epoch = ledger.epochs[KEY]
    assert (epoch.accepted, epoch.missing) == (1, [(2, 4)])
    assert ledger.arrival(KEY, 3, digest(3)) is Arrival.NEW
    ledger.enter(KEY, 3, digest(3), 3, "t3")
    assert (epoch.accepted, epoch.missing) == (1, [(2, 2), (4, 4)])
    ledger.enter(KEY, 2, digest(2), 4, "t2")
    ledger.enter(KEY, 4, digest(4), 5, "t4")
    assert (epoch.accepted, epoch.missing, epoch.last_at) == (5, [], "t5")


def test_an_epoch_that_begins_in_the_middle_misses_its_beginning() -> None:
    epoch = entered(2).epochs[KEY]
    assert (epoch.accepted, epoch.gaps) == (-1, [(0, 1)])


def test_the_next_epoch_tells_how_far_the_one_before_it_went() -> None:
    ledger = entered(0, 1, 2)
    following = (KEY[0], "019aa5f0-ffff-7000-8000-00000000000f")
    ledger.enter(following, 0, digest(0), 3, "t")
    ledger.follow(following, KEY[1], 4, 3)
    epoch = ledger.epochs[KEY]
    assert (epoch.gaps, epoch.is_open, epoch.accepted) == ([(3, 4)], False, 2)
    ledger.enter(KEY, 3, digest(3), 4, "t3")
    ledger.enter(KEY, 4, digest(4), 5, "t4")
    assert epoch.gaps == []


def test_an_epoch_of_which_nothing_arrived_is_missing_as_a_whole() -> None:
    ledger = Ledger()
    ledger.enter(KEY, 0, digest(0), 0, "t")
    ledger.follow(KEY, "019aa5e0-0000-7000-8000-00000000000d", 7, 0)
    epoch = ledger.epochs[(KEY[0], "019aa5e0-0000-7000-8000-00000000000d")]
    assert (epoch.gaps, epoch.accepted) == ([(0, 7)], -1)


def test_an_end_record_closes_an_epoch() -> None:
    ledger = entered(0, 1)
    assert ledger.epochs[KEY].is_open
    ledger.end(KEY)
    assert not ledger.epochs[KEY].is_open


def test_changed_epochs_are_copies_and_are_told_once() -> None:
    ledger = entered(0, 3)
    (taken,) = ledger.take_changed()
    ledger.enter(KEY, 1, digest(1), 2, "t1")
    assert taken.missing == [(1, 2)]
    assert [epoch.missing for epoch in ledger.take_changed()] == [[(2, 2)]]
    assert ledger.take_changed() == ()
    assert len(ledger.take_changed(all_of_them=True)) == 1


@given(st.permutations(range(12)), st.integers(0, 12))
def test_any_order_of_arrival_leads_to_the_same_holes(order: list[int], count: int) -> None:
    epoch = Epoch(*KEY, -1)
    for sequence in order[:count]:
        assert not epoch.holds(sequence)
        epoch.add(sequence)
        assert epoch.holds(sequence)
    have = set(order[:count])
    missing = {n for low, high in epoch.missing for n in range(low, high + 1)}
    assert missing == set(range(epoch.last + 1)) - have
    assert epoch.last == max(have, default=-1)
    assert all(n in have for n in range(epoch.accepted + 1))
    assert epoch.accepted + 1 not in have
    assert Epoch.from_data(epoch.as_data()) == epoch


def test_old_numbers_leave_the_window_and_can_be_loaded_again() -> None:
    digests = Digests()
    for number in range(3 * WINDOW):
        digests.put(number, digest(number))
    assert digests.get(3 * WINDOW - 1) == digest(3 * WINDOW - 1)
    assert digests.get(5) is None
    digests.put(5, digest(5))
    assert digests.get(5) == digest(5)
    assert digests.get(3 * WINDOW) is None


def test_a_number_that_is_no_longer_remembered_is_unknown_not_new() -> None:
    epoch = Epoch(*KEY, 10)
    assert Ledger([epoch]).arrival(KEY, 4, digest(4)) is Arrival.UNKNOWN


def test_an_absurd_jump_costs_no_memory() -> None:
    ledger = entered(0)
    ledger.enter(KEY, 2**53 - 1, digest(1), 1, "t")
    assert ledger.arrival(KEY, 2**53 - 1, digest(1)) is Arrival.DUPLICATE
    assert ledger.epochs[KEY].missing == [(1, 2**53 - 2)]
