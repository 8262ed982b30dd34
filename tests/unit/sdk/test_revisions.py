"""States seen are sent back, the latest sixteen."""

from datong import Revisions


def test_nothing_seen_sends_nothing() -> None:
    seen = Revisions()
    seen.note(None)
    seen.note("nonsense, sharing.grant/a@x")

    assert seen.header() is None


def test_the_highest_version_of_a_subject_counts() -> None:
    seen = Revisions()
    seen.note("sharing.grant/a@7, identity.system/b@2")
    seen.note("sharing.grant/a@5")

    assert seen.header() == "identity.system/b@2, sharing.grant/a@7"


def test_only_the_latest_sixteen_are_sent() -> None:
    seen = Revisions()
    for number in range(20):
        seen.note(f"sharing.grant/{number}@1")

    assert seen.header() == ", ".join(f"sharing.grant/{number}@1" for number in range(4, 20))
