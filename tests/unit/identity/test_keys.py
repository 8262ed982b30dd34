"""Token keys in rotation."""

from datetime import UTC, datetime, timedelta

from services.identity.domain.keys import PublicKey, Stage, Use, retired, rotated

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_key(kid: str, stage: Stage, retire_at: datetime | None = None) -> PublicKey:
    return PublicKey(kid, Use.TOKEN, {}, stage, retire_at)


def test_the_next_key_signs_and_the_old_one_outlives_its_tokens() -> None:
    keys = [a_key("a", Stage.CURRENT), a_key("b", Stage.NEXT), a_key("z", Stage.RETIRED)]

    changed = {key.kid: key for key in rotated(keys, a_key("c", Stage.NEXT), NOON)}

    assert {kid: key.stage for kid, key in changed.items()} == {
        "a": Stage.PREVIOUS,
        "b": Stage.CURRENT,
        "c": Stage.NEXT,
    }
    assert changed["a"].retire_at == NOON + timedelta(seconds=660)
    assert changed["a"].state == "active"
    assert (changed["a"].version, changed["b"].version) == (2, 2)


def test_a_key_is_retired_when_no_valid_token_can_be_by_it() -> None:
    due = NOON + timedelta(seconds=660)
    keys = [a_key("a", Stage.PREVIOUS, due), a_key("b", Stage.CURRENT)]

    assert retired(keys, due - timedelta(microseconds=1)) == []
    (done,) = retired(keys, due)
    assert (done.kid, done.state) == ("a", "retired")
