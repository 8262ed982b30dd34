"""Effects seen through fewer items."""

import hmac
from base64 import b32encode
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain import (
    Condition,
    ConsumerKeys,
    Item,
    ItemType,
    Layout,
    Mask,
    Sight,
    TableDigest,
    View,
    sight_of,
    whole,
)
from services.exchange.transfer.domain.effects import effect_names, project

KEY = Item("code", ItemType.TEXT, True, True, False)
NAME = Item("name", ItemType.TEXT, False, False, False)
LEVEL = Item("level", ItemType.INTEGER, False, False, False)
ITEMS = (KEY, NAME, LEVEL)

Row = tuple[str, str | None, str | None]
Tables = dict[str, Row]


def _effects(before: Tables, after: Tables) -> Any:
    lines: list[list[str | None]] = []
    for code in sorted(before.keys() | after.keys()):
        old, new = before.get(code), after.get(code)
        if old != new:
            operation = "added" if old is None else "deleted" if new is None else "updated"
            lines.append([operation, *(old or [None] * 3), *(new or [None] * 3)])
    columns = zip(*lines, strict=True) if lines else [()] * 7
    arrays = [pa.array(column, pa.utf8()) for column in columns]
    return pa.Table.from_arrays(arrays, names=effect_names(ITEMS))


def _digest(rows: Tables, width: int) -> TableDigest:
    columns = list(zip(*rows.values(), strict=True)) or [()] * 3
    table = pa.table({i.name: pa.array(c, pa.utf8()) for i, c in zip(ITEMS, columns, strict=True)})
    digest = TableDigest()
    digest.add(table, ITEMS[:width])
    return digest


_ROWS = st.dictionaries(
    st.sampled_from("abcdef"),
    st.tuples(st.none() | st.sampled_from(["x", "y"]), st.none() | st.sampled_from(["1", "2"])),
).map(lambda rows: {code: (code, *row) for code, row in rows.items()})


@given(_ROWS, _ROWS, st.integers(1, 3))
def test_projected_effects_lead_from_the_old_projection_to_the_new(
    before: Tables, after: Tables, width: int
) -> None:
    projected = project(_effects(before, after), whole(ITEMS[:width]))

    table = {code: row[:width] for code, row in before.items()}
    counts = dict.fromkeys(("added", "updated", "deleted"), 0)
    for operation, *row in zip(*projected.table.to_pydict().values(), strict=True):
        counts[operation] += 1
        if operation == "deleted":
            assert row[1:] == [None] * (width - 1)
            del table[row[0]]
        else:
            assert (row[0] in table) is (operation == "updated")
            assert table.get(row[0]) != tuple(row)
            table[row[0]] = tuple(row)
    assert table == {code: row[:width] for code, row in after.items()}
    assert counts == {
        "added": projected.added,
        "updated": projected.updated,
        "deleted": projected.deleted,
    }
    expected = _digest(before, width).minus(projected.before).plus(projected.after)
    assert expected.hexdigest() == _digest(after, width).hexdigest()
    assert expected.count == len(after)


def test_an_update_of_other_items_is_no_effect() -> None:
    effects = _effects({"a": ("a", "x", "1")}, {"a": ("a", "x", "2")})

    assert project(effects, whole((KEY, NAME))).table.num_rows == 0
    assert project(effects, whole(ITEMS)).table.to_pylist() == [
        {"_op": "updated", "code": "a", "name": "x", "level": "2"}
    ]


KEYS = ConsumerKeys(bytes(32))
VIEWS = [
    View(("code", "name"), (Condition("level", ("1",)),)),
    View(("code", "name", "level"), (Condition("level", None, "1", "2"),)),
    View(("code", "level"), (Condition("name", ("x", "y")), Condition("level", None, "2", None))),
    View(("code", "name", "level"), (), (("name", Mask.MOBILE),)),
    View(("code", "name"), (Condition("code", ("a", "b")),), (("code", Mask.PSEUDONYM),), "health"),
    View(("code",), (Condition("area", ("1",)),)),
    View(("code",), (Condition("level", ("one",)),)),
]
"""Fewer rows, less of a value, both; and filters that no row meets any more."""


def _through(view: View, rows: Tables) -> dict[str, tuple[str | None, ...]]:
    """Rows as they are seen, one after the other."""
    seen = {}
    for row in rows.values():
        values: dict[str, str | None] = dict(zip(("code", "name", "level"), row, strict=True))
        if all(_meets(condition, values.get(condition.item)) for condition in view.row_filter):
            shown = {name: _shown(dict(view.masks).get(name), values[name]) for name in view.items}
            seen[str(shown["code"])] = tuple(shown.values())
    return seen


def _meets(condition: Condition, value: str | None) -> bool:
    if value is None:
        return False
    if condition.values is not None:
        return value in condition.values
    low, high = condition.low, condition.high
    return (low is None or int(value) >= int(low)) and (high is None or int(value) < int(high))


def _shown(by: Mask | None, value: str | None) -> str | None:
    if by is None or value is None:
        return value
    if by is Mask.MOBILE:
        return "*" * len(value)
    key = KEYS.pseudonyms("health")
    return b32encode(hmac.digest(key, value.encode(), "sha256")).decode().lower()[:26]


@given(_ROWS, _ROWS, st.sampled_from(VIEWS))
def test_effects_through_a_view_lead_from_what_was_seen_to_what_is_seen(
    before: Tables, after: Tables, view: View
) -> None:
    sight = sight_of(view, Layout(ITEMS), KEYS)
    projected = project(_effects(before, after), sight)

    table = _through(view, before)
    codes = []
    for operation, *row in zip(*projected.table.to_pydict().values(), strict=True):
        codes.append(row[0])
        if operation == "deleted":
            assert row[1:] == [None] * (len(view.items) - 1)
            del table[row[0]]
        else:
            assert (row[0] in table) is (operation == "updated")
            assert table.get(row[0]) != tuple(row), "what is not seen to change is no effect"
            table[row[0]] = tuple(row)
    assert table == _through(view, after)
    if sight.hides_key:
        assert codes == sorted(codes), "the order tells nothing of what is masked"
    change = TableDigest().plus(projected.after).minus(projected.before)
    assert change.count == len(_through(view, after)) - len(_through(view, before))
    whole_before, whole_after = _shown_digest(sight, before), _shown_digest(sight, after)
    assert whole_before.plus(change).hexdigest() == whole_after.hexdigest()


def _shown_digest(sight: Sight, rows: Tables) -> TableDigest:
    columns = list(zip(*rows.values(), strict=True)) or [()] * 3
    table = pa.table({i.name: pa.array(c, pa.utf8()) for i, c in zip(ITEMS, columns, strict=True)})
    digest = TableDigest()
    digest.add(sight.show(table.filter(sight.covers(table))), sight.seen)
    return digest


def test_a_row_that_leaves_the_filter_is_deleted_and_one_that_enters_it_is_added() -> None:
    before: Tables = {"a": ("a", "x", "1"), "b": ("b", "x", "2"), "c": ("c", "x", "1")}
    after: Tables = {"a": ("a", "x", "2"), "b": ("b", "x", "1"), "c": ("c", "y", "1")}
    sight = sight_of(View(("code", "name"), (Condition("level", ("1",)),)), Layout(ITEMS), None)

    assert project(_effects(before, after), sight).table.to_pylist() == [
        {"_op": "deleted", "code": "a", "name": None},
        {"_op": "added", "code": "b", "name": "x"},
        {"_op": "updated", "code": "c", "name": "y"},
    ]


def test_an_update_that_the_mask_hides_is_no_effect() -> None:
    effects = _effects({"a": ("a", "xy", "1")}, {"a": ("a", "xz", "1")})
    masked = View(("code", "name"), (), (("name", Mask.NAME),))

    assert project(effects, sight_of(masked, Layout(ITEMS), None)).table.num_rows == 0
