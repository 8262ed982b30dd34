"""Commits in memory: found by where they lie, forgotten when passed or when they are too many."""

from gateway.evidence.recent import Recent
from gateway.evidence.segment import Entry


def entry(sequence: int) -> Entry:
    return Entry(sequence, b"r" * 36, b"a" * 27, b"", b"{}")


def recent_of_three(limit: int = 1000) -> Recent:
    recent = Recent(limit)
    recent.add(1, 0, 100, [entry(0), entry(1)])
    recent.add(1, 100, 200, [entry(2)])
    recent.add(2, 0, 100, [entry(3)])
    return recent


def test_a_page_holds_whole_commits_of_one_segment() -> None:
    assert recent_of_three().page(1, 0, 1000) == (200, [entry(0), entry(1), entry(2)])


def test_a_page_ends_with_the_commit_that_fills_it() -> None:
    recent = recent_of_three()
    assert recent.page(1, 0, 50) == (100, [entry(0), entry(1)])
    assert recent.page(1, 100, 50) == (200, [entry(2)])
    assert recent.page(2, 0, 50) == (100, [entry(3)])


def test_the_same_page_is_given_again_until_the_next_one_is_asked_for() -> None:
    recent = recent_of_three()
    assert recent.page(1, 0, 50) == recent.page(1, 0, 50)
    recent.page(1, 100, 50)
    assert recent.page(1, 0, 50) is None


def test_what_is_older_than_the_memory_must_be_read_from_the_disk() -> None:
    recent = recent_of_three(limit=200)
    assert recent.page(1, 0, 1000) is None
    assert recent.page(1, 100, 1000) == (200, [entry(2)])


def test_a_page_from_within_a_commit_is_not_here() -> None:
    assert recent_of_three().page(1, 50, 1000) is None
