"""Effects seen through fewer items."""

from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.transfer.domain import Item, ItemType, TableDigest
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
    projected = project(_effects(before, after), ITEMS[:width])

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

    assert project(effects, (KEY, NAME)).table.num_rows == 0
    assert project(effects, ITEMS).table.to_pylist() == [
        {"_op": "updated", "code": "a", "name": "x", "level": "2"}
    ]
